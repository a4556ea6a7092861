"""What applying a file makes of the catalog."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from sync_pipelines.apply.changes import Kind
from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.catalog.syncs import find_connection, find_sync
from tests.apply.conftest import Applier
from tests.apply.shop import LATER, SECRET, SHOP, schedules, snapshot, told


def test_a_file_makes_its_tenant_connections_syncs_and_schedules(shop: Applier) -> None:
    """R1, R13, R20."""
    with shop.catalog.begin() as db:
        sync = find_sync(db, shop.catalog.secrets, "acme/orders")

    orders, countries, currencies = sync.streams
    assert sync.dataset == "shop"
    assert (sync.source.name, sync.destination.name) == ("shop-db", "warehouse")
    assert sync.destination.config == {
        "url": "sqlite:////tmp/house.db",
        "connect_timeout_seconds": 3,
    }
    assert (orders.write_mode, orders.lag, orders.primary_key) == (
        "upsert",
        timedelta(minutes=5),
        ("id",),
    )
    assert (countries.sync_mode, countries.write_mode) == ("full", "replace")
    assert (currencies.sync_mode, currencies.write_mode) == ("full", "replace")
    assert sync.retry.ceiling == timedelta(minutes=15)
    # 02:00 in Edmonton, in winter, is 09:00 in UTC.
    nightly = schedules(shop.catalog)["nightly"]
    assert nightly.next_run_at == datetime(2026, 3, 3, 9, tzinfo=UTC)


def test_a_new_file_is_planned_as_all_new_in_an_order_that_can_be_done(apply: Applier) -> None:
    apply.environment["WAREHOUSE_URL"] = "sqlite:////tmp/house.db"

    plan = apply.preview(SHOP)

    assert [name for name, _ in told(plan)] == [
        "tenant acme",
        "connection acme/shop-db",
        "connection acme/warehouse",
        "sync acme/orders",
        "schedule acme/orders/nightly",
    ]
    assert all(change.is_new for change in plan.changes)


def test_a_preview_changes_nothing(apply: Applier) -> None:
    before = snapshot(apply.catalog)
    apply.environment["WAREHOUSE_URL"] = "sqlite:////tmp/house.db"

    apply.preview(SHOP)

    assert snapshot(apply.catalog) == before


def test_the_same_file_again_changes_nothing_at_all(shop: Applier) -> None:
    before = snapshot(shop.catalog)

    plan = shop(SHOP, now=LATER)

    assert (plan.changes, plan.unchanged) == ((), 5)
    assert snapshot(shop.catalog) == before


def test_secrets_are_encrypted_and_stand_nowhere_in_plain_text(shop: Applier) -> None:
    """R131, R132."""
    rows = snapshot(shop.catalog)

    assert SECRET not in rows
    assert "house.db" not in rows  # the whole URL is secret
    with shop.catalog.begin() as db:
        opened = find_connection(db, shop.catalog.secrets, "acme/shop-db")
    assert opened.config["url"] == f"postgresql://u:{SECRET}@h/db"


def test_another_secret_is_a_change_that_does_not_show_it(shop: Applier) -> None:
    plan = shop(SHOP.replace(SECRET, "swordfish"))

    (change,) = plan.changes
    assert told(plan) == [("connection acme/shop-db", ["config.url"])]
    assert SECRET not in repr(change)
    assert "swordfish" not in repr(change)
    with shop.catalog.begin() as db:
        opened = find_connection(db, shop.catalog.secrets, "acme/shop-db")
        (after,) = db.execute(
            text("SELECT after FROM sync.audit_log WHERE action = 'connection.changed'")
        ).one()
    assert opened.config["url"] == "postgresql://u:swordfish@h/db"
    assert after["changed_secrets"] == ["config.url"]
    assert "swordfish" not in snapshot(shop.catalog)


def test_changes_tell_from_what_to_what(shop: Applier) -> None:
    changed = (
        SHOP.replace("lag: 5m", "lag: 1h")
        .replace("connect_timeout_seconds: 3", "connect_timeout_seconds: 4")
        .replace("      - currencies\n", "      - {name: units, table: measures}\n")
        .replace("max_attempts: 3", "max_attempts: 5")
    )

    plan = shop(changed)

    assert [
        (field.field, field.before, field.after) for c in plan.changes for field in c.fields
    ] == [
        ("config.connect_timeout_seconds", 3, 4),
        ("streams.public.orders.lag", 300, 3600),
        ("streams.currencies", {}, None),
        ("streams.units", None, {"table": "measures"}),
        ("retry.max_attempts", 3, 5),
    ]
    assert (len(plan.changes), plan.unchanged) == (2, 3)


def test_another_order_of_the_streams_is_a_change(shop: Applier) -> None:
    line = "      - currencies\n"
    moved = SHOP.replace(line, "").replace("    streams:\n", "    streams:\n" + line)

    plan = shop(moved)

    assert told(plan) == [("sync acme/orders", ["order"])]


def test_what_the_file_does_not_name_is_left_alone(shop: Applier) -> None:
    shop(
        "tenant: acme\n"
        "syncs:\n"
        "  other: {source: shop-db, destination: warehouse, streams: [units]}\n"
    )

    with shop.catalog.begin() as db:
        orders = find_sync(db, shop.catalog.secrets, "acme/orders")
        other = find_sync(db, shop.catalog.secrets, "acme/other")
    assert len(orders.streams) == 3
    assert other.dataset == "other"
    assert other.source.config == orders.source.config
    assert set(schedules(shop.catalog)) == {"nightly"}


def test_a_key_that_is_taken_out_of_a_sync_takes_its_default_again(shop: Applier) -> None:
    shop(SHOP.replace(", lag: 5m", "").replace("    description: All that was ordered\n", ""))

    with shop.catalog.begin() as db:
        sync = find_sync(db, shop.catalog.secrets, "acme/orders")
        written = db.scalar(text("SELECT description FROM sync.syncs"))
    assert sync.streams[0].lag == timedelta(0)
    assert written is None


def test_a_sync_that_somebody_paused_stays_paused_unless_the_file_says_otherwise(
    shop: Applier,
) -> None:
    """R25."""
    paused = SHOP.replace("    dataset: shop", "    is_active: false\n    dataset: shop")
    shop(paused)

    silent = shop(SHOP)
    outspoken = shop(paused.replace("is_active: false", "is_active: true"), now=LATER)

    assert silent.changes == ()
    assert told(outspoken)[0] == ("sync acme/orders", ["is_active"])


def test_a_tenants_file_does_not_reach_another_tenant(shop: Applier) -> None:
    """R127, R128."""
    with pytest.raises(ManifestError, match="'shop-db' is no connection of the file or the tenant"):
        shop(
            "tenant: rival\n"
            "syncs:\n"
            "  theft: {source: shop-db, destination: shop-db, streams: [orders]}\n"
        )

    with shop.catalog.begin() as db:
        assert db.scalar(text("SELECT count(*) FROM sync.tenants")) == 1


def test_a_connection_cannot_become_one_of_another_system(shop: Applier, one_sided: None) -> None:
    """Its syncs, and their history in Dagster, are grouped by the connector."""
    with pytest.raises(ManifestError, match=r"acme\.yaml:3: .* cannot become a 'well' one"):
        shop("tenant: acme\nconnections:\n  shop-db: {connector: well}\n")


def test_secret_and_harmless_options_are_kept_apart(apply: Applier, one_sided: None) -> None:
    apply(
        "tenant: acme\nconnections:\n  src: {connector: well, config: {region: us, token: t0k}}\n"
    )

    with apply.catalog.begin() as db:
        config, secrets, key = db.execute(
            text("SELECT config, secrets, secrets_key_id FROM sync.connections")
        ).one()
    assert config == {"region": "us"}
    assert json.dumps(apply.catalog.secrets.open(secrets)) == '{"token": "t0k"}'
    assert key == apply.catalog.secrets.key_id


def test_a_secret_that_comes_or_goes_is_told_by_its_name(apply: Applier, one_sided: None) -> None:
    bare = "tenant: acme\nconnections:\n  src: {connector: well, config: {region: us}}\n"
    apply(bare)

    plan = apply(bare.replace("us}", "us, token: t0k}"))

    (field,) = plan.changes[0].fields
    assert (plan.changes[0].kind, field.field) == (Kind.CONNECTION, "secrets")
    assert (field.before, field.after) == ([], ["token"])
