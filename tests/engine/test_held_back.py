"""What a quota or a breaker holds back, and what they let through."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from sync_pipelines.catalog import breakers, syncs
from sync_pipelines.engine.dispatch import LimitReachedError, trigger
from sync_pipelines.model.breaker import Breaker, BreakerPolicy
from sync_pipelines.model.execution import Status
from sync_pipelines.timing.bars import Cause
from tests.engine.ending import end
from tests.engine.limits import executed, limit
from tests.engine.turning import EVERY_15, MINUTE, dispatch, told
from tests.world import START


def test_a_quota_lets_so_many_start_in_an_hour_and_says_so(world):
    """R134."""
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 10})
    limit(world, sync, executions_per_hour=2)

    for _ in range(8):
        for execution_id in dispatch(world):
            end(world, execution_id)
        world.clock.advance(minutes=10)

    outcomes = [(at, cause) for at, _, _, cause in told(world, sync)]
    assert outcomes == [
        ("12:00", None),
        ("12:10", None),
        ("12:20", Cause.QUOTA),
        ("12:30", Cause.QUOTA),
        ("12:40", Cause.QUOTA),
        ("12:50", Cause.QUOTA),
        ("13:00", None),
        ("13:10", None),
    ]


def test_a_person_is_told_when_the_hour_is_used_up(world):
    """R134."""
    sync = world.sync()
    other = world.sync("zeta/orders")
    limit(world, sync, executions_per_hour=1)
    trigger(world.catalog, sync, now=world.clock())

    with pytest.raises(LimitReachedError, match="'acme' may have 1 executions an hour"):
        trigger(world.catalog, sync, now=world.clock.advance(minutes=59))

    trigger(world.catalog, other, now=world.clock())
    trigger(world.catalog, sync, now=world.clock.advance(minutes=1))


def test_dispatchers_of_several_connectors_at_once_stay_within_a_quota(world):
    """R134."""
    connectors = [f"connector-{number}" for number in range(4)]
    for connector in connectors:
        for number in range(5):
            sync = world.sync(f"acme/{connector}-{number}", connector=connector)
            world.schedule(sync, EVERY_15)
    limit(world, sync, executions_per_hour=3)

    with ThreadPoolExecutor(8) as pool:
        turns = [pool.submit(dispatch, world, connector) for connector in connectors]
        asked = [pool.submit(trigger, world.catalog, sync, now=START) for _ in range(4)]

    refusals = [type(one.exception()) for one in asked if one.exception() is not None]
    assert len(executed(world)) == 3
    assert all(turn.exception() is None for turn in turns)
    assert set(refusals) <= {LimitReachedError}


def test_an_open_breaker_lets_nothing_start_but_a_probe_in_its_time(world):
    """R91."""
    sync = world.sync()
    policy = BreakerPolicy(failures=2, probe_after=timedelta(minutes=30))
    with world.catalog.begin() as db:
        failing = replace(sync, breaker=policy)
        syncs.put_sync(db, sync.tenant_id, sync=failing, description=None, now=START)
    world.schedule(sync, EVERY_15)

    for _ in range(6):
        for execution_id in dispatch(world):
            end(world, execution_id, Status.FAILED)
        world.clock.advance(minutes=15)

    with world.catalog.begin() as db:
        breaker = breakers.find(db, sync.id, tenant_id=sync.tenant_id)
    assert [(at, cause) for at, _, _, cause in told(world, sync)] == [
        ("12:00", None),
        ("12:15", None),
        ("12:30", Cause.BREAKER),
        ("12:45", None),
        ("13:00", Cause.BREAKER),
        ("13:15", Cause.BREAKER),
    ]
    assert breaker.probe_at == START + 105 * MINUTE


def test_a_success_closes_the_breaker(world):
    """R91."""
    sync = world.sync()
    opened = Breaker(failures=9, opened_at=START, probes=1, probe_at=START)
    with world.catalog.begin() as db:
        breakers.put(db, sync.id, opened, tenant_id=sync.tenant_id)
    world.schedule(sync, EVERY_15)

    (probe,) = dispatch(world)
    end(world, probe)

    with world.catalog.begin() as db:
        assert breakers.find(db, sync.id, tenant_id=sync.tenant_id) == Breaker()


def test_a_probe_that_proves_nothing_is_followed_by_the_next_in_its_time_only(world):
    """R91."""
    sync = world.sync()
    opened = Breaker(failures=9, opened_at=START, probe_at=START)
    patient = replace(sync, breaker=BreakerPolicy(probe_after=timedelta(minutes=30)))
    with world.catalog.begin() as db:
        syncs.put_sync(db, sync.tenant_id, sync=patient, description=None, now=START)
        breakers.put(db, sync.id, opened, tenant_id=sync.tenant_id)
    world.schedule(sync, EVERY_15)

    for _ in range(3):
        for execution_id in dispatch(world):
            end(world, execution_id, Status.CANCELLED)
        world.clock.advance(minutes=15)

    assert [cause for *_, cause in told(world, sync)] == [None, Cause.BREAKER, None]
