"""What the calls of an execution came to is told with it: R121."""

from datetime import timedelta
from random import Random

import pytest

from connectors.surroundings import Heard
from connectors.testing.fake_api import FakeApi, FakeList, failing, throttled
from sync_pipelines.catalog import budgets, history
from sync_pipelines.catalog.syncs import find_sync, find_tenant_id, put_connection
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.engine.surroundings import surroundings_of
from sync_pipelines.model.execution import Status
from sync_pipelines.model.sync import SyncStream
from tests.connectors.rest_systems import config, orders


@pytest.fixture
def api():
    with FakeApi() as api:
        served = api.serve("/orders", FakeList())
        served.put({"id": 1, "changed_at": "2026-03-01T12:00:00Z", "note": "one"})
        yield api


def put(world, name, connector, settings):
    with world.catalog.begin() as db:
        put_connection(
            db,
            find_tenant_id(db, "acme"),
            name=name,
            connector=connector,
            config={},
            sealed=world.catalog.secrets.seal(settings),
            key_id=world.catalog.secrets.key_id,
            now=world.clock(),
        )


@pytest.fixture
def sync(world, api, tmp_path):
    key = world.sync("acme/orders", streams=[SyncStream(name="orders")]).key
    put(world, "orders-source", "rest_api", config(api.url, orders()))
    put(world, "orders-destination", "database", {"url": f"sqlite:///{tmp_path}/house.db"})
    with world.catalog.begin() as db:
        return find_sync(db, world.catalog.secrets, key)


def run(world, sync):
    execution_id = trigger(world.catalog, sync, now=world.clock())
    engine = Engine(catalog=world.catalog, clock=world.clock, rng=Random(1))
    report = engine.run(execution_id, attempt=1, run_id=None)
    with world.catalog.begin() as db:
        entry = history.find(db, execution_id, tenant_id=sync.tenant_id)
    return report, entry


def test_calls_throttles_and_waits_are_told_with_the_execution_and_its_attempt(world, api, sync):
    api.at(1, throttled("0", **{"X-RateLimit-Remaining": "41", "X-RateLimit-Reset": "60"}))

    report, entry = run(world, sync)

    told = entry.metadata["api"]["orders-source"]
    assert report.execution.status is Status.COMPLETED
    assert told["calls"] == len(api.requests)
    assert told["throttles"] == 1
    assert told["waited_seconds"] >= 0
    assert entry.attempts[0]["api"] == entry.metadata["api"]
    assert entry.metadata["api"].keys() == {"orders-source"}


def test_an_attempt_that_fails_tells_what_it_has_called(world, api, sync):
    for nth in (1, 2):
        api.at(nth, failing(503))

    report, entry = run(world, sync)

    assert report.execution.status is Status.PENDING
    assert entry.attempts[0]["api"]["orders-source"]["calls"] == 2


def test_the_catalog_adds_up_what_all_runs_have_called(world, api, sync):
    for _ in "12":
        run(world, sync)

    with world.catalog.begin() as db:
        [spent] = budgets.spent_for_all_tenants(db)

    named = (spent.tenant, spent.connection, spent.connector)
    assert named == ("acme", "orders-source", "rest_api")
    assert spent.calls == len(api.requests)


def test_how_long_calls_stood_still_is_added_up(world, sync):
    budget = surroundings_of(world.catalog, sync.source).budget
    budget.take("calls", None, wanted=1, heard=Heard())

    budget.tell("calls", Heard(waited=timedelta(seconds=1.5)))
    budget.take("calls", None, wanted=1, heard=Heard(waited=timedelta(seconds=2)))

    with world.catalog.begin() as db:
        [spent] = budgets.spent_for_all_tenants(db)
    assert spent.waited == timedelta(seconds=3.5)


def test_connections_beyond_the_busiest_are_one(world):
    for number in range(5):
        sync = world.sync(f"acme/s{number}")
        budget = surroundings_of(world.catalog, sync.source).budget
        budget.take("calls", None, wanted=1, heard=Heard(calls=number))

    with world.catalog.begin() as db:
        spent = budgets.spent_for_all_tenants(db, most=2)

    calls = {(one.tenant, one.connection): one.calls for one in spent}
    rest = (budgets.REST, budgets.REST)
    assert calls == {("acme", "s4-source"): 4, ("acme", "s3-source"): 3, rest: 3}
