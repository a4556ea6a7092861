"""A dispatcher's decisions stay right whatever else is there or happens beside it."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from sync_pipelines.catalog import executions
from sync_pipelines.catalog.due import lock_armed_for_all_tenants, lock_due_for_all_tenants
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.policy import parse_policies
from tests.engine.limits import until_somebody_waits
from tests.engine.turning import EVERY_15, dispatch
from tests.world import World


def test_ten_thousand_are_caught_up_in_one_turn(world):
    """R92: more than one statement takes parameters for."""
    policies = parse_policies({"missed": {"policy": "all", "most": 1000}})
    for number in range(10):
        sync = world.sync(f"acme/sync-{number}")
        world.schedule(sync, {"type": "every", "minutes": 1}, policies=policies)
    world.clock.advance(minutes=999)

    dispatch(world)

    with world.catalog.begin() as db:
        assert db.scalar(select(func.count()).select_from(ExecutionRow)) == 10_000


@pytest.mark.parametrize(
    "spoilt",
    [
        'config = \'{"cadence": {"type": "lunar"}}\'',
        "config = '{}'",
        "timezone = 'Mars/Olympus'",
    ],
)
def test_a_schedule_that_cannot_be_read_holds_up_no_other(world, spoilt: str):
    """Law 8."""
    bad = world.schedule(world.sync("acme/orders"), EVERY_15)
    world.schedule(world.sync("zeta/orders"), EVERY_15)
    with world.catalog.begin() as db:
        db.execute(text(f"UPDATE sync.sync_schedules SET {spoilt} WHERE id = :id"), {"id": bad})

    (launched,) = dispatch(world)

    with world.catalog.begin() as db:
        assert executions.lock_for_all_tenants(db, launched).sync_key == "zeta/orders"


def test_who_waits_for_a_sync_holds_none_of_its_schedules(world):
    """Two dispatchers that want two schedules of one sync never wait for each other."""
    sync = world.sync()
    one, two = (world.schedule(sync, EVERY_15, name=name) for name in ("one", "two"))

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            lock_armed_for_all_tenants(db, [one])
            waiting = pool.submit(_hold, world, [two])
            until_somebody_waits(world)
            both = lock_armed_for_all_tenants(db, [one, two])
            meanwhile = _due(world)
        waiting.result()

    assert len(both) == 2
    assert meanwhile == 0


def _hold(world: World, ids: list[UUID]) -> None:
    with world.catalog.begin() as db:
        lock_armed_for_all_tenants(db, ids)


def _due(world: World) -> int:
    """How many a dispatcher finds that passes over what others hold."""
    with world.catalog.begin() as db:
        return len(lock_due_for_all_tenants(db, "database", world.clock(), limit=10))


def test_a_turn_waits_for_what_another_holds_and_decides_on_what_that_leaves(world):
    """The other may be gone without a word, or may only have looked."""
    schedule_id = world.schedule(world.sync(), EVERY_15)

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            lock_armed_for_all_tenants(db, [schedule_id])
            turn = pool.submit(dispatch, world)
            until_somebody_waits(world)
        launched = turn.result()

    assert len(launched) == 1
