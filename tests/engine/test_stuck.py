from datetime import timedelta
from random import Random

from connectors.contract import Counts
from sync_pipelines.catalog import executions, incidents
from sync_pipelines.catalog.incidents import Kind
from sync_pipelines.engine.dispatch import ready, trigger
from sync_pipelines.engine.watch import CANCEL_GRACE, end_stuck
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retry import RetryPolicy


def running(world, sync, *, run_id="run-1"):
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, identity)
        started = found.started(world.clock(), run_id)
        now = world.clock()
        executions.save(db, found, started, heartbeat_at=now, progressed_at=now)
    return started


def report(world, execution, rows):
    """A running execution's beat, with so many rows read."""
    progress = {"phase": "reading", "rows_read": rows}
    with world.catalog.begin() as db:
        return executions.beat(db, execution, progress=progress, counts=Counts(), now=world.clock())


def stored(world, execution):
    with world.catalog.begin() as db:
        return executions.lock_for_all_tenants(db, execution.id)


def test_an_attempt_that_lives_but_comes_no_further_is_settled_and_retried(world):
    """Stuck: its heart beats, and nothing moves for longer than its sync allows."""
    retry = RetryPolicy(jitter=0, stalled_after=timedelta(minutes=10))
    execution = running(world, world.sync(retry=retry))
    for minute in range(10):
        world.clock.advance(minutes=1)
        report(world, execution, rows=min(minute, 4))
        assert end_stuck(world.catalog, world.clock(), Random(1)) == []
    for _ in range(5):
        world.clock.advance(minutes=1)
        report(world, execution, rows=4)
        assert end_stuck(world.catalog, world.clock(), Random(1)) == []

    world.clock.advance(seconds=1)
    (ended,) = end_stuck(world.catalog, world.clock(), Random(1))
    is_to_stop = report(world, execution, rows=5)

    after = stored(world, execution)
    assert ended.execution.run_id == "run-1"
    assert ended.reason == "no progress for 10 min"
    assert (after.status, after.attempt) == (Status.PENDING, 2)
    assert is_to_stop
    with world.catalog.begin() as db:
        (told,) = incidents.list_incidents_for_all_tenants(db, only_open=False)
    assert told.alarm.kind is Kind.STUCK_EXECUTION
    assert told.resolved_at is not None
    world.clock.advance(minutes=1)
    assert [launch.attempt for launch in ready(world.catalog, world.clock())] == [2]


def test_a_retry_is_given_its_own_time_to_come_further(world):
    retry = RetryPolicy(jitter=0, stalled_after=timedelta(minutes=10))
    execution = running(world, world.sync(retry=retry))
    world.clock.advance(minutes=11)
    end_stuck(world.catalog, world.clock(), Random(1))
    with world.catalog.begin() as db:
        second = executions.lock_for_all_tenants(db, execution.id)
        now = world.clock()
        again = second.started(now, "run-2")
        executions.save(db, second, again, heartbeat_at=now, progressed_at=now)
    world.clock.advance(minutes=9)

    assert end_stuck(world.catalog, world.clock(), Random(1)) == []


def test_an_execution_that_does_not_heed_its_cancellation_is_cancelled_and_not_retried(world):
    """Slots never leak after a cancel."""
    sync = world.sync()
    execution = running(world, sync)
    world.clock.advance(minutes=1)
    with world.catalog.begin() as db:
        now = world.clock()
        executions.request_cancel(db, execution.id, tenant_id=sync.tenant_id, now=now)
    world.clock.advance(seconds=CANCEL_GRACE.seconds)

    patient = end_stuck(world.catalog, world.clock(), Random(1))
    world.clock.advance(seconds=1)
    (ended,) = end_stuck(world.catalog, world.clock(), Random(1))

    assert patient == []
    assert ended.reason.startswith("cancelled; it did not stop by itself")
    assert stored(world, execution).status is Status.CANCELLED
