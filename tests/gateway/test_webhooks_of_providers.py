"""Doubles of providers send to a gateway that really listens, as the providers would."""

from collections.abc import Iterator

import pytest

from connectors.errors import AuthError
from connectors.testing.fake_api import FakeApi
from sync_pipelines.catalog import endpoints, incidents
from sync_pipelines.catalog.incidents import Kind
from sync_pipelines.catalog.syncs import put_connection
from sync_pipelines.engine import webhooks
from sync_pipelines.engine.events import process
from sync_pipelines.engine.reviving import is_wanted, revive, revive_all
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.sync import Sync, SyncStream
from sync_pipelines.runtime.waiting import wait_until
from tests.engine.ending import executions_of
from tests.gateway.hooks import SECRET, endpoint, events_of
from tests.gateway.served import served
from tests.providers.quickbooks import QuickBooks
from tests.providers.quickbooks_hooks import CompanyHooks
from tests.providers.woocommerce import KEY, WooShop
from tests.providers.woocommerce import SECRET as SHOP_SECRET
from tests.providers.woocommerce_hooks import MOST_FAILURES, ShopHooks
from tests.world import World


@pytest.fixture
def address(doors) -> Iterator[str]:
    with served(create_app(doors)) as address:
        yield address


@pytest.fixture
def shop() -> Iterator[ShopHooks]:
    with FakeApi() as api:
        yield ShopHooks(WooShop(api))


@pytest.fixture
def sync(world: World) -> Sync:
    """Reads the shop's orders, whenever the shop says that something changed."""
    made = world.sync(streams=[SyncStream(name="orders")], connector="woocommerce")
    world.schedule(made, {"type": "realtime"})
    return made


@pytest.fixture
def hook(world: World, sync: Sync, shop: ShopHooks) -> Endpoint:
    """The shop's endpoint; its connection has the shop's key."""
    config = {"store_url": shop.shop.api.url, "allow_private_addresses": True}
    secrets = {"consumer_key": KEY, "consumer_secret": SHOP_SECRET}
    with world.catalog.begin() as db:
        put_connection(
            db,
            sync.tenant_id,
            name="orders-source",
            connector="woocommerce",
            config=config,
            sealed=world.catalog.secrets.seal(secrets),
            key_id=world.catalog.secrets.key_id,
            now=world.clock(),
        )
    return endpoint(world, connection="orders-source")


def fail(shop: ShopHooks, times: int) -> None:
    """So many changes are told of and not taken."""
    for number in range(times):
        shop.tell("order.updated", {"id": number})


def disabled(shop: ShopHooks, hook: Endpoint) -> int:
    """A webhook that leads to the endpoint, but whose gateway could not be reached for long."""
    made = shop.register("order.updated", f"http://127.0.0.1:9/webhooks/{hook.key}", SECRET)
    fail(shop, MOST_FAILURES + 2)
    return made


def of_kind(world: World, kind: Kind, *, is_open: bool) -> list[str]:
    with world.catalog.begin() as db:
        found = incidents.list_incidents_for_all_tenants(db, only_open=False)
    return [
        one.alarm.message
        for one in found
        if one.alarm.kind is kind and (one.resolved_at is None) == is_open
    ]


# --- WooCommerce -------------------------------------------------------------------------


def test_a_shops_webhook_is_tried_out_told_of_changes_and_starts_its_sync(
    world, address, shop, sync, hook, launched
):
    """R40, R41, R49."""
    made = shop.register("order.updated", f"{address}/webhooks/{hook.key}", SECRET)
    deleted = shop.register("order.deleted", f"{address}/webhooks/{hook.key}", SECRET)

    answers = [
        *shop.tell("order.updated", {"id": 7, "status": "processing", "total": "29.35"}),
        *shop.tell("order.updated", {"id": 8, "status": "processing", "total": "1.00"}),
        *shop.tell("order.deleted", {"id": 9, "status": "trash"}),
    ]

    assert wait_until(lambda: bool(launched), seconds=10)
    told = {one.entity_id: one for one in events_of(world, sync.tenant_id)}
    assert shop.pinged == [200, 200]
    assert answers == [200, 200, 200]
    assert (shop.status(made), shop.failures[deleted]) == ("active", 0)
    # The first two share a delivery id: they are of one webhook and one second.
    assert sorted(told) == ["7", "8", "9"]
    assert told["9"].payload == {"id": 9}


def test_a_shop_with_another_secret_is_refused_until_it_gives_up(address, shop, hook):
    made = shop.register("order.updated", f"{address}/webhooks/{hook.key}", "not the secret")

    fail(shop, MOST_FAILURES + 1)
    before = shop.status(made)
    fail(shop, 1)

    assert (before, shop.status(made)) == ("active", "disabled")


def test_a_webhook_that_the_shop_disabled_is_on_again_and_what_was_missed_is_read(
    world, shop, sync, hook
):
    """R50: the shop's own count is not set back, so the first success must do that."""
    made = disabled(shop, hook)
    before = shop.status(made)

    looked = revive_all(world.catalog, clock=world.clock, stop=lambda: False)
    process(world.catalog, world.clock())

    (event,) = events_of(world, sync.tenant_id)
    assert before == "disabled"
    assert (looked.asked, looked.revived) == (1, 1)
    assert shop.status(made) == "active"
    assert event.event_type == "webhook.revived"
    assert [one.id for one in executions_of(world, sync)] == [event.execution_id]
    (said,) = of_kind(world, Kind.DISABLED_WEBHOOK, is_open=False)
    assert "order.updated" in said


def test_only_what_the_shop_disabled_and_leads_here_is_switched_on(world, shop, hook):
    paused = shop.register("order.created", f"http://127.0.0.1:9/webhooks/{hook.key}", SECRET)
    shop.held[paused]["status"] = "paused"
    another = shop.register("order.updated", "http://127.0.0.1:9/webhooks/another", SECRET)
    shop.held[another]["status"] = "disabled"

    looked = revive_all(world.catalog, clock=world.clock, stop=lambda: False)

    assert looked.revived == 0
    assert (shop.status(paused), shop.status(another)) == ("paused", "disabled")


def test_a_key_that_may_only_read_is_an_incident_until_the_webhook_is_on(world, shop, hook):
    made = disabled(shop, hook)
    shop.read_only = True

    with pytest.raises(AuthError, match="write permissions"):
        revive(world.catalog, hook, now=world.clock(), actor="test")
    said = of_kind(world, Kind.DISABLED_WEBHOOK, is_open=True)
    shop.held[made]["status"] = "active"  # by somebody in the shop
    revive(world.catalog, hook, now=world.clock(), actor="test")

    assert len(said) == 1
    assert of_kind(world, Kind.DISABLED_WEBHOOK, is_open=True) == []


def test_a_shop_that_does_not_answer_holds_up_no_other(world, shop, hook):
    made = disabled(shop, hook)
    lost = world.sync("globex/orders", connector="woocommerce")
    with world.catalog.begin() as db:
        put_connection(
            db,
            lost.tenant_id,
            name="orders-source",
            connector="woocommerce",
            config={"store_url": "http://127.0.0.1:9"},  # a private address: never asked
            sealed=world.catalog.secrets.seal({"consumer_key": "k", "consumer_secret": "s"}),
            key_id=world.catalog.secrets.key_id,
            now=world.clock(),
        )
    endpoint(world, tenant="globex", connection="orders-source")

    looked = revive_all(world.catalog, clock=world.clock, stop=lambda: False)

    assert (looked.asked, looked.revived) == (1, 1)
    assert shop.status(made) == "active"


def test_nobody_is_asked_about_an_endpoint_that_is_off_or_has_no_such_connection(world, hook):
    endpoint(world, "apart")
    before = is_wanted(world.catalog)

    webhooks.switch(
        world.catalog, hook.name, tenant="acme", is_on=False, actor="test", now=world.clock()
    )

    with world.catalog.begin() as db:
        assert len(endpoints.list_endpoints(db, world.catalog.secrets, tenant="acme")) == 2
    assert (before, is_wanted(world.catalog)) == (True, False)


# --- QuickBooks --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["cloud_events", "old_form"])
def test_a_companys_changes_start_its_sync_once_in_the_form_of_today_and_the_old_one(
    world, address, launched, form
):
    """R40, R41, R43, R46."""
    sync = world.sync(streams=[SyncStream(name="invoices")], connector="quickbooks")
    world.schedule(sync, {"type": "realtime"})
    hook = endpoint(world, scheme="quickbooks", connection="orders-source")
    company = CompanyHooks(QuickBooks(world.clock), f"{address}/webhooks/{hook.key}", SECRET)
    changes = [("Invoice", "95", "Create"), ("Customer", "4", "Update")]
    body = getattr(company, form)(changes)

    answers = [company.send(body), company.send(body)]

    assert wait_until(lambda: bool(launched), seconds=10)
    told = events_of(world, sync.tenant_id)
    assert answers == [200, 200]
    assert sorted((one.entity_type, one.entity_id) for one in told) == [
        ("customer", "4"),
        ("invoice", "95"),
    ]
    assert len(executions_of(world, sync)) == 1


def test_a_companys_webhook_with_another_token_is_refused(world, address):
    world.sync(connector="quickbooks")
    hook = endpoint(world, scheme="quickbooks", connection="orders-source")
    company = CompanyHooks(
        QuickBooks(world.clock), f"{address}/webhooks/{hook.key}", "another token"
    )

    answer = company.send(company.cloud_events([("Invoice", "95", "Create")]))

    assert answer == 401
