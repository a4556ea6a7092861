"""A file is applied wholly or not at all, and every change leaves an audit row."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import pytest
from sqlalchemy import text

from sync_pipelines.apply import act
from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.catalog import audit
from tests.apply.conftest import Applier
from tests.apply.shop import LATER, SHOP, snapshot


def test_a_change_that_fails_leaves_nothing_of_the_others(
    apply: Applier, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply.environment["WAREHOUSE_URL"] = "sqlite:////tmp/house.db"
    before = snapshot(apply.catalog)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(act, "put_schedule", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        apply(SHOP)

    assert snapshot(apply.catalog) == before


def test_of_two_who_apply_at_once_the_second_finds_nothing_to_do(apply: Applier) -> None:
    apply.environment["WAREHOUSE_URL"] = "sqlite:////tmp/house.db"

    with ThreadPoolExecutor(4) as people:
        plans = list(people.map(apply, [SHOP] * 4))

    assert sorted(len(plan.changes) for plan in plans) == [0, 0, 0, 5]
    with apply.catalog.begin() as db:
        assert db.scalar(text("SELECT count(*) FROM sync.audit_log")) == 5


def test_one_mistake_keeps_the_rest_of_the_file_from_being_applied(apply: Applier) -> None:
    before = snapshot(apply.catalog)

    with pytest.raises(ManifestError, match=r"acme\.yaml:6: environment variable 'WAREHOUSE_URL'"):
        apply(SHOP)

    assert snapshot(apply.catalog) == before


def test_every_change_leaves_an_audit_row_in_an_unbroken_chain(shop: Applier) -> None:
    """R133."""
    shop(SHOP.replace("lag: 5m", "lag: 1h"), now=LATER)

    with shop.catalog.begin() as db:
        rows = db.execute(text("SELECT * FROM sync.audit_log ORDER BY id")).mappings().all()
    assert [(row["actor"], row["action"], row["subject"]) for row in rows] == [
        ("cli:tester", "tenant.created", "acme"),
        ("cli:tester", "connection.created", "acme/shop-db"),
        ("cli:tester", "connection.created", "acme/warehouse"),
        ("cli:tester", "sync.created", "acme/orders"),
        ("cli:tester", "schedule.created", "acme/orders/nightly"),
        ("cli:tester", "sync.changed", "acme/orders"),
    ]
    assert rows[-1]["before"]["streams"]["public.orders"]["lag"] == 300
    assert rows[-1]["after"]["streams"]["public.orders"]["lag"] == 3600
    assert rows[1]["after"] == {"connector": "database", "config": {}, "secrets": ["url"]}
    previous = rows[0]["previous_hash"]
    for row in rows:
        content = {key: row[key] for key in row if key not in ("id", "hash")}
        assert row["previous_hash"] == previous
        assert audit.digest({**content, "at": content["at"].astimezone(UTC)}) == row["hash"]
        previous = row["hash"]
