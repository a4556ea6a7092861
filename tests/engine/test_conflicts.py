"""What schedules do to each other: measured durations, limited systems, every tenant's night."""

from datetime import timedelta
from random import Random

import dagster as dg
import pytest
from sqlalchemy import select, text

from connectors import registry
from sync_pipelines.apply import act
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.catalog import executions
from sync_pipelines.catalog.conflicts import of_tenant
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.catalog.tables import DecisionRow
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.definitions import defs
from sync_pipelines.defs import resources
from sync_pipelines.engine.conflicts import examine, review_for_all_tenants
from sync_pipelines.engine.dispatch import claim_due, ready, trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.execution import Status
from sync_pipelines.timing.clashes import Kind
from tests.world import START, make_catalog

CLASHING = ({"type": "daily", "at": "02:00"}, {"type": "cron", "cron": "0 2 * * *"})


def clash(world, key):
    sync = world.sync(key)
    for name, cadence in zip("ab", CLASHING, strict=True):
        world.schedule(sync, cadence, name=name)
    return sync


def found(world, tenant="acme"):
    with world.catalog.begin() as db:
        held = find_tenant(db, tenant)
        return examine(db, world.catalog.secrets, held, now=world.clock()).conflicts


def open_conflicts(world, tenant):
    with world.catalog.begin() as db:
        return of_tenant(db, tenant_id=find_tenant(db, tenant).id)


def end(world, execution_id, *, after=timedelta(0)):
    with world.catalog.begin() as db:
        held = executions.lock_for_all_tenants(db, execution_id)
        running = held.started(world.clock(), None)
        executions.save(db, held, running)
        ended = running.ended(Status.COMPLETED, world.clock() + after)
        executions.save(db, running, ended, duration_ms=after // timedelta(milliseconds=1))


def spoil(world, sync):
    """A row as a newer version may have written it."""
    with world.catalog.begin() as db:
        db.execute(
            text("UPDATE sync.sync_schedules SET config = '{}' WHERE sync_id = :sync"),
            {"sync": sync.id},
        )


def test_executions_that_take_longer_than_the_time_between_firings_are_a_warning(world):
    """R34: what was measured says so, not what was written."""
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 15})
    before = found(world)
    for _ in range(3):
        identity = trigger(world.catalog, sync, now=world.clock())
        end(world, identity, after=timedelta(minutes=40))

    (warning,) = found(world)

    assert before == ()
    assert warning.kind is Kind.OVERLAP
    assert "executions of acme/orders take up to 40 minutes" in warning.message


def test_a_connection_whose_key_is_lost_is_a_place_of_its_own(world, catalog_url):
    """Nothing certain is said about what cannot be read."""
    for name in ("orders", "units"):
        sync = world.sync(f"acme/{name}", destination={"url": catalog_url})
        world.schedule(sync, {"type": "daily"})
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.syncs SET dataset = 'all'"))
    readable = found(world)

    stranger = make_catalog(catalog_url)
    with stranger.begin() as db:
        unreadable = examine(db, stranger.secrets, find_tenant(db, "acme"), now=START).conflicts
    stranger.close()

    assert [one.kind for one in readable] == [Kind.SHARED_TABLE]
    assert unreadable == ()


def test_two_syncs_into_one_duckdb_file_are_never_in_flight_together(world):
    """R78: a DuckDB file has one writer at a time."""
    manifest = """\
tenant: acme
connections:
  shop: {connector: database, config: {url: "postgresql://u@h/shop"}}
  house: {connector: database, config: {url: "duckdb:////srv/house.duckdb"}}
syncs:
  orders: {source: shop, destination: house, streams: [orders], schedules: {s: {every: 15m}}}
  units: {source: shop, destination: house, streams: [units], schedules: {s: {every: 15m}}}
"""
    parsed = parse_manifest(manifest, file="acme.yaml", environment={})
    act.apply(world.catalog, parsed, now=START - timedelta(minutes=1), actor="test")
    world.clock.advance(minutes=30)

    (first,) = claim_due(world.catalog, "database", world.clock(), tick="one")
    meanwhile = ready(world.catalog, world.clock())
    end(world, first.execution_id)
    (second,) = ready(world.catalog, world.clock())

    assert meanwhile == []
    assert {first.sync_key, second.sync_key} == {"acme/orders", "acme/units"}


@pytest.mark.parametrize(
    ("url", "most", "place"),
    [
        ("duckdb:////srv/a.duckdb", 1, "duckdb:////srv/a.duckdb"),
        ("sqlite:////srv/b/../a.db", 1, "sqlite:////srv/a.db"),
        ("postgresql://u:secret@H/db", None, "postgresql://h:5432/db"),
        (
            "postgres://v@h:5432/db?sslmode=require&connect_timeout=3",
            None,
            "postgresql://h:5432/db",
        ),
        ("postgresql://u@127.0.0.1:6543/db", None, "postgresql://localhost:6543/db"),
        ("postgresql://u@localhost:6543/db", None, "postgresql://localhost:6543/db"),
        ("postgresql://u:secret%zz@h/db", None, "postgresql://u@h/db"),
    ],
)
def test_a_database_says_where_it_is_and_how_many_it_bears(url, most, place):
    """R78: no credential is part of a place."""
    connector = registry.get("database")
    config = connector.parse({"url": url})

    assert connector.most_at_once(config) == most
    assert connector.place(config) == place


def test_a_tenant_that_cannot_be_examined_stops_no_other(world):
    """R36: neither those before it nor those after it."""
    clash(world, "acme/orders")
    spoil(world, clash(world, "broken/orders"))
    clash(world, "zeta/orders")

    reviewed = review_for_all_tenants(world.catalog, now=world.clock())

    assert (reviewed.tenants, reviewed.failed) == (2, ("broken",))
    for tenant in ("acme", "zeta"):
        assert [one.conflict.kind for one in open_conflicts(world, tenant)] == [Kind.DUPLICATE]
    assert open_conflicts(world, "broken") == []


@pytest.fixture
def night(world, monkeypatch):
    """Runs the nightly job in this process."""
    engine = Engine(catalog=world.catalog, clock=world.clock, rng=Random(1))
    monkeypatch.setattr(resources, "_engine", lambda: engine)

    def run():
        with dg.instance_for_test() as instance:
            job = defs.resolve_job_def("upkeep")
            return job.execute_in_process(instance=instance, raise_on_error=False)

    return run


def test_the_night_examines_conflicts_and_forgets_decisions_of_more_than_400_days(world, night):
    """R36, R110."""
    sync = clash(world, "acme/orders")
    for minutes in (15, 30):
        world.schedule(sync, {"type": "every", "minutes": minutes}, name=f"every-{minutes}")
        claim_due(world.catalog, "database", world.clock(), tick=f"{minutes}")
        world.clock.advance(days=200)
    world.clock.advance(minutes=1)

    result = night()

    with world.catalog.begin() as db:
        decided = set(db.scalars(select(DecisionRow.decided_at)))
        assert find_sync(db, world.catalog.secrets, "acme/orders") == sync
    assert result.success
    assert decided == {START + timedelta(days=200)}
    assert Kind.DUPLICATE in [one.conflict.kind for one in open_conflicts(world, "acme")]


def test_the_night_fails_at_its_end_when_a_tenant_could_not_be_examined(world, night):
    spoil(world, clash(world, "broken/orders"))
    clash(world, "zeta/orders")

    result = night()

    assert not result.success
    assert len(open_conflicts(world, "zeta")) == 1
