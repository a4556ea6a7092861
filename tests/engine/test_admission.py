"""Who is handed over, and in which order: fair among tenants, by priority within one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text

from sync_pipelines.catalog import executions
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.engine import admission
from sync_pipelines.engine.admission import AT_ONCE, PER_TENANT
from sync_pipelines.engine.cancelling import cancel_one
from sync_pipelines.engine.dispatch import Launch, claim_due, ready, trigger
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.model.retry import RetryPolicy
from tests.engine.ending import end, start
from tests.engine.limits import bear, limit, until_somebody_waits
from tests.world import World


def flood(world: World, tenant: str, number: int) -> None:
    """So many syncs of a tenant, each with an execution that waits."""
    sync = world.sync(f"{tenant}/sync")
    made = text(
        """
        WITH made AS (
            INSERT INTO sync.syncs (tenant_id, name, source_id, destination_id, connector,
                                    dataset, streams)
            SELECT s.tenant_id, 'flood-' || n, s.source_id, s.destination_id, s.connector,
                   s.dataset, s.streams
            FROM sync.syncs s, generate_series(1, :number) n WHERE s.id = :id
            RETURNING id, tenant_id
        )
        INSERT INTO sync.sync_executions (tenant_id, sync_id, trigger, status, priority,
                                          next_attempt_at, created_at)
        SELECT tenant_id, id, 'scheduled', 'pending', 10, :now, :now FROM made
        """
    )
    with world.catalog.begin() as db:
        db.execute(made, {"number": number, "id": sync.id, "now": world.clock()})
        db.execute(text("ANALYZE sync.syncs, sync.sync_executions"))


def turn(world: World) -> list[Launch]:
    return ready(world.catalog, world.clock())


def in_flight(catalog: Catalog) -> int:
    with catalog.begin() as db:
        query = select(ExecutionRow.id).where(ExecutionRow.status.in_(["queued", "running"]))
        return len(db.scalars(query).all())


def test_ten_thousand_of_one_tenant_do_not_come_before_the_first_of_another(world):
    """R127, R134, law 8."""
    flood(world, "aardvark", 10_000)
    quiet = [world.sync(f"tenant-{number:02}/orders") for number in range(99)]
    first = turn(world)
    world.clock.advance(seconds=1)
    for sync in quiet:
        trigger(world.catalog, sync, now=world.clock())

    launches = turn(world)

    assert [launch.tenant for launch in first] == ["aardvark"] * PER_TENANT
    assert {launch.tenant for launch in launches} == {sync.tenant for sync in quiet}
    assert {launch.place for launch in launches} == {1}
    assert max(launch.priority for launch in first) == -1


def test_what_flies_already_counts_for_a_tenants_place(world):
    for number in range(3):
        trigger(world.catalog, world.sync(f"acme/early-{number}"), now=world.clock())
    turn(world)
    world.clock.advance(seconds=1)
    trigger(world.catalog, world.sync("acme/late"), now=world.clock())
    trigger(world.catalog, world.sync("zeta/orders"), now=world.clock())

    launches = turn(world)

    assert [(launch.tenant, launch.place) for launch in launches] == [("zeta", 1), ("acme", 4)]


def test_room_is_given_in_the_order_of_places(world, monkeypatch):
    """R134."""
    monkeypatch.setattr(admission, "AT_ONCE", 4)
    flood(world, "aardvark", 10)
    for tenant in ("beta", "gamma"):
        trigger(world.catalog, world.sync(f"{tenant}/orders"), now=world.clock())

    launches = turn(world)
    none = turn(world)

    assert sorted(launch.tenant for launch in launches) == ["aardvark", "aardvark", "beta", "gamma"]
    assert none == []
    assert in_flight(world.catalog) == 4
    assert AT_ONCE == 500


def test_twice_the_weight_is_twice_the_share(world, monkeypatch):
    """R134."""
    monkeypatch.setattr(admission, "AT_ONCE", 9)
    for tenant, weight in (("light", 1), ("heavy", 2)):
        flood(world, tenant, 20)
        limit(world, world.sync(f"{tenant}/sync"), weight=weight)

    launches = turn(world)

    tenants = [launch.tenant for launch in launches]
    assert (tenants.count("heavy"), tenants.count("light")) == (6, 3)
    assert sorted(launch.place for launch in launches if launch.tenant == "heavy") == [
        1, 1, 2, 2, 3, 3,
    ]  # fmt: skip


def test_within_a_tenant_what_is_urgent_goes_first(world):
    """R75, R133."""
    triggers = [
        Trigger.BACKFILL,
        Trigger.CATCHUP,
        Trigger.SCHEDULED,
        Trigger.MANUAL,
        Trigger.REALTIME,
    ]
    for reason in triggers:
        sync = world.sync(f"acme/{reason}")
        trigger(world.catalog, sync, now=world.clock(), reason=reason)
        world.clock.advance(seconds=1)

    launches = turn(world)

    assert [launch.trigger for launch in launches] == triggers[::-1]
    assert [launch.place for launch in launches] == [1, 2, 3, 4, 5]


def test_a_schedules_own_priority_orders_it_among_its_like_only(world):
    """R75, R133."""
    for name in ("low", "normal", "high"):
        policies = parse_policies({"priority": name})
        world.schedule(
            world.sync(f"acme/{name}"), {"type": "every", "minutes": 15}, policies=policies
        )
    trigger(world.catalog, world.sync("acme/manual"), now=world.clock())
    trigger(world.catalog, world.sync("acme/catchup"), now=world.clock(), reason=Trigger.CATCHUP)

    launches = claim_due(world.catalog, "database", world.clock(), tick="one")

    names = [launch.sync_key.partition("/")[2] for launch in launches]
    assert names == ["manual", "high", "normal", "low", "catchup"]


def test_of_one_sync_the_urgent_one_goes_and_the_other_waits(world):
    """R74, R133."""
    sync = world.sync()
    trigger(world.catalog, sync, now=world.clock(), reason=Trigger.BACKFILL)
    urgent = trigger(world.catalog, sync, now=world.clock())

    launches = turn(world)

    assert [launch.execution_id for launch in launches] == [urgent]


def test_a_tenant_never_has_more_at_once_than_its_limit(world):
    """R73, R134."""
    syncs = [world.sync(f"acme/sync-{number}") for number in range(5)]
    other = world.sync("zeta/orders")
    limit(world, syncs[0], concurrent=2)
    for sync in (*syncs, other):
        trigger(world.catalog, sync, now=world.clock())

    launches = turn(world)
    full = turn(world)
    start(world, launches[0].execution_id)
    running = turn(world)

    assert sorted(launch.tenant for launch in launches) == ["acme", "acme", "zeta"]
    assert full == []
    assert running == []


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_connection_never_has_more_at_once_than_it_bears(world, side: str):
    """R73."""
    syncs = [world.sync(f"acme/sync-{number}") for number in range(4)]
    shared = getattr(syncs[0], side).id
    with world.catalog.begin() as db:
        db.execute(
            text(f"UPDATE sync.syncs SET {side}_id = :id WHERE name <> 'sync-3'"), {"id": shared}
        )
    bear(world, shared, 2)
    for sync in syncs:
        trigger(world.catalog, sync, now=world.clock())
        world.clock.advance(seconds=1)

    launches = turn(world)
    full = turn(world)
    end(world, launches[0].execution_id)
    (following,) = turn(world)

    assert [launch.sync_key[-1] for launch in launches].count("3") == 1
    assert len(launches) == 3
    assert full == []
    assert following.execution_id not in [launch.execution_id for launch in launches]


def test_what_waits_for_a_full_connection_holds_up_nothing_else_of_its_tenant(world):
    """R73, R134."""
    slow = [world.sync(f"acme/slow-{number}") for number in range(3)]
    with world.catalog.begin() as db:
        shared = {"id": slow[0].source.id}
        db.execute(text("UPDATE sync.syncs SET source_id = :id"), shared)
    bear(world, slow[0].source.id, 1)
    limit(world, slow[0], concurrent=2)
    for sync in slow:
        trigger(world.catalog, sync, now=world.clock())
        world.clock.advance(seconds=1)
    trigger(world.catalog, world.sync("acme/quick"), now=world.clock())

    names = [launch.sync_key for _ in range(2) for launch in turn(world)]

    assert names == ["acme/slow-0", "acme/quick"]


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "crashed"])
def test_a_slot_is_free_again_however_its_execution_ended(world, how: str):
    """R73, R82."""
    syncs = [
        world.sync(f"acme/sync-{number}", retry=RetryPolicy(max_attempts=1)) for number in range(2)
    ]
    limit(world, syncs[0], concurrent=1)
    for sync in syncs:
        trigger(world.catalog, sync, now=world.clock())
        world.clock.advance(seconds=1)
    (first,) = turn(world)

    if how == "cancelled":
        with world.catalog.begin() as db:
            waiting = executions.lock_for_all_tenants(db, first.execution_id)
            cancel_one(db, waiting, now=world.clock(), reason="enough")
    elif how == "crashed":
        start(world, first.execution_id)
        settle_lost(world.catalog, first.execution_id, attempt=1, now=world.clock(), rng=Random(1))
    else:
        end(world, first.execution_id, Status(how))
    (second,) = turn(world)

    assert (first.sync_key, second.sync_key) == ("acme/sync-0", "acme/sync-1")


def test_admitters_at_once_never_go_beyond_a_limit(world):
    """R73, R134."""
    syncs = [world.sync(f"acme/sync-{number}") for number in range(12)]
    limit(world, syncs[0], concurrent=5)
    for sync in syncs:
        trigger(world.catalog, sync, now=world.clock())

    with ThreadPoolExecutor(6) as pool:
        found = [each for turns in pool.map(lambda _: turn(world), range(12)) for each in turns]

    assert len(found) == 5
    assert len({launch.key for launch in found}) == 5
    assert in_flight(world.catalog) == 5


def test_an_admitter_counts_only_when_the_one_before_it_is_done(world):
    """R73, R134."""
    syncs = [world.sync(f"acme/sync-{number}") for number in range(2)]
    limit(world, syncs[0], concurrent=1)
    for sync in syncs:
        trigger(world.catalog, sync, now=world.clock())

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            first = admission.admit(db, world.clock(), turn="one")
            second = pool.submit(turn, world)
            until_somebody_waits(world)
        launches = second.result()

    assert len(first) == 1
    assert launches == []


def test_a_turn_repeated_after_a_crash_hands_over_what_it_did_and_what_has_room_since(world):
    for number in range(3):
        world.schedule(world.sync(f"acme/sync-{number}"), {"type": "every", "minutes": 15})
    limit(world, world.sync("acme/sync-0"), concurrent=2)

    lost = claim_due(world.catalog, "database", world.clock(), tick="one")
    again = claim_due(world.catalog, "database", world.clock(), tick="one")
    start(world, lost[0].execution_id)
    started = claim_due(world.catalog, "database", world.clock(), tick="one")
    other = claim_due(world.catalog, "database", world.clock(), tick="two")

    assert len(lost) == 2
    assert again == lost
    assert started == lost[1:]
    assert other == []


def test_a_connectors_turn_hands_over_its_own_and_counts_all(world):
    """R134."""
    mine, other = world.sync("acme/a"), world.sync("acme/b", connector="files")
    limit(world, mine, concurrent=1)
    trigger(world.catalog, mine, now=world.clock())
    world.clock.advance(seconds=1)
    trigger(world.catalog, other, now=world.clock())

    of_files = claim_due(world.catalog, "files", world.clock(), tick="one")
    of_all = turn(world)

    assert of_files == []
    assert [launch.sync_key for launch in of_all] == ["acme/a"]


def test_what_is_not_due_yet_takes_nobodys_place(world):
    sync = world.sync("acme/later")
    with world.catalog.begin() as db:
        db.execute(
            insert(ExecutionRow).values(
                tenant_id=sync.tenant_id,
                sync_id=sync.id,
                trigger=Trigger.REALTIME,
                status=Status.PENDING,
                priority=30,
                next_attempt_at=world.clock() + timedelta(seconds=1),
            )
        )
    limit(world, sync, concurrent=1)
    now: UUID = trigger(world.catalog, world.sync("acme/now"), now=world.clock())

    launches = turn(world)

    assert [(launch.execution_id, launch.place) for launch in launches] == [(now, 1)]
