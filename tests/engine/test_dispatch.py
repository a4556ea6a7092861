from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from sync_pipelines.catalog import decisions, executions, schedules, syncs
from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow
from sync_pipelines.engine.dispatch import LOST_AFTER, claim_due, forgotten, ready, trigger
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.world import START


def statuses(world):
    with world.catalog.begin() as db:
        rows = db.execute(select(ExecutionRow.due_at, ExecutionRow.status).order_by("due_at"))
        return [(due_at, Status(status)) for due_at, status in rows]


def end(world, execution_id, status=Status.COMPLETED):
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        running = found.started(world.clock(), None)
        executions.save(db, found, running)
        executions.save(db, running, running.ended(status, world.clock()))


def test_a_due_schedule_becomes_one_queued_execution_and_moves_on(world):
    """R8, R21."""
    sync = world.sync()
    schedule_id = world.schedule(sync, {"type": "every", "minutes": 15})

    (launch,) = claim_due(world.catalog, "database", world.clock(), tick="one")
    again = claim_due(world.catalog, "database", world.clock(), tick="two")

    with world.catalog.begin() as db:
        (schedule,) = schedules.list_schedules(db, sync.id, tenant_id=sync.tenant_id)
    assert launch.sync_key == "acme/orders"
    assert launch.schedule_id == schedule_id
    assert launch.trigger is Trigger.SCHEDULED
    assert again == []
    assert statuses(world) == [(START, Status.QUEUED)]
    assert schedule.last_run_at == START
    assert schedule.next_run_at == START + timedelta(minutes=15)


def test_a_turn_that_is_repeated_after_a_crash_returns_the_same_launches(world):
    world.schedule(world.sync(), {"type": "every", "minutes": 15})

    first = claim_due(world.catalog, "database", world.clock(), tick="one")
    world.clock.advance(seconds=30)
    repeated = claim_due(world.catalog, "database", world.clock(), tick="one")

    assert repeated == first
    assert len(statuses(world)) == 1


def test_two_dispatchers_at_once_claim_a_due_time_once(world):
    for number in range(20):
        world.schedule(world.sync(f"acme/sync-{number}"), {"type": "every", "minutes": 5})

    with ThreadPoolExecutor(4) as pool:
        found = pool.map(
            lambda tick: claim_due(world.catalog, "database", world.clock(), tick=tick),
            ["a", "b", "c", "d"],
        )
        launches = [launch for turn in found for launch in turn]

    assert len(launches) == 20
    assert len({launch.key for launch in launches}) == 20


def test_instants_missed_while_nobody_dispatched_become_one_catch_up_that_says_so(world):
    """R92, T14."""
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    world.clock.advance(hours=2, minutes=7)

    (launch,) = claim_due(world.catalog, "database", world.clock(), tick="one")
    end(world, launch.execution_id)

    assert claim_due(world.catalog, "database", world.clock(), tick="two") == []
    with world.catalog.begin() as db:
        metadata = db.scalar(select(ExecutionRow.execution_metadata))
    assert launch.trigger is Trigger.CATCHUP
    assert statuses(world) == [(START + timedelta(hours=2), Status.COMPLETED)]
    assert metadata["missed"]["instants"] == 8
    assert metadata["missed"]["first"] == START.isoformat()


def test_an_instant_while_the_one_before_still_runs_is_recorded_as_skipped(world):
    """R74: every expected instant has a recorded decision."""
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 15})
    claim_due(world.catalog, "database", world.clock(), tick="one")
    world.clock.advance(minutes=15)

    launches = claim_due(world.catalog, "database", world.clock(), tick="two")

    with world.catalog.begin() as db:
        skipped, ran = decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id)
    assert launches == []
    assert statuses(world) == [(START, Status.QUEUED)]
    assert ran.decision.outcome is Outcome.RUN
    assert ran.execution_id is not None
    assert skipped.decision.due_at == START + timedelta(minutes=15)
    assert skipped.decision.outcome is Outcome.SKIPPED
    assert skipped.decision.cause is Cause.OVERLAP


@pytest.mark.parametrize("paused", ["schedule", "sync"])
def test_what_is_paused_is_not_claimed(world, paused):
    """R25, R94."""
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 15}, is_active=paused != "schedule")
    if paused == "sync":
        from dataclasses import replace

        with world.catalog.begin() as db:
            syncs.put_sync(
                db,
                sync.tenant_id,
                sync=replace(sync, is_active=False),
                description=None,
                now=world.clock(),
            )

    assert claim_due(world.catalog, "database", world.clock(), tick="one") == []


def test_another_connectors_schedules_are_left_alone(world):
    world.schedule(world.sync(), {"type": "every", "minutes": 15})

    assert claim_due(world.catalog, "woocommerce", world.clock(), tick="one") == []
    assert statuses(world) == []


def test_a_trigger_waits_for_the_running_execution_of_its_sync(world):
    """R38, R74."""
    sync = world.sync()
    first = trigger(world.catalog, sync, now=world.clock())
    second = trigger(world.catalog, sync, now=world.clock.advance(seconds=1))

    (launch,) = ready(world.catalog, world.clock())
    meanwhile = ready(world.catalog, world.clock())
    end(world, first)
    (following,) = ready(world.catalog, world.clock())

    assert launch.execution_id == first
    assert meanwhile == []
    assert following.execution_id == second


def test_a_trigger_runs_a_paused_sync_because_a_person_asked(world):
    """T10."""
    from dataclasses import replace

    sync = world.sync()
    with world.catalog.begin() as db:
        paused = replace(sync, is_active=False)
        syncs.put_sync(db, sync.tenant_id, sync=paused, description=None, now=world.clock())

    trigger(world.catalog, sync, now=world.clock())

    assert len(ready(world.catalog, world.clock())) == 1


def test_one_tenants_waiting_sync_does_not_hold_up_anothers(world):
    mine, other = world.sync("acme/orders"), world.sync("zeta/orders")
    trigger(world.catalog, mine, now=world.clock())
    ready(world.catalog, world.clock())
    trigger(world.catalog, mine, now=world.clock())
    trigger(world.catalog, other, now=world.clock())

    launches = ready(world.catalog, world.clock())

    assert [launch.tenant for launch in launches] == ["zeta"]


def test_a_retry_is_not_launched_before_its_time(world):
    sync = world.sync()
    identity = trigger(world.catalog, sync, now=world.clock())
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, identity)
        running = found.started(world.clock(), "run-1")
        executions.save(db, found, running)
        executions.save(db, running, running.to_retry(START + timedelta(seconds=30)))

    early = ready(world.catalog, world.clock())
    (launch,) = ready(world.catalog, world.clock.advance(seconds=30))

    assert early == []
    assert launch.attempt == 2


def test_a_queued_execution_that_nobody_started_is_found_again_under_the_same_key(world):
    sync = world.sync()
    trigger(world.catalog, sync, now=world.clock())
    (launch,) = ready(world.catalog, world.clock())

    soon = forgotten(world.catalog, world.clock())
    (found,) = forgotten(world.catalog, world.clock.advance(seconds=LOST_AFTER.seconds + 1))

    assert soon == []
    assert found.key == launch.key


def test_a_waiting_execution_is_cancelled_at_once_and_only_by_its_tenant(world):
    """R82, R127."""
    mine, other = world.sync("acme/orders"), world.sync("zeta/orders")
    identity = trigger(world.catalog, mine, now=world.clock())

    by_stranger = cancel(world.catalog, identity, now=world.clock(), tenant_id=other.tenant_id)
    by_owner = cancel(world.catalog, identity, now=world.clock(), tenant_id=mine.tenant_id)
    twice = cancel(world.catalog, identity, now=world.clock(), tenant_id=mine.tenant_id)

    assert by_stranger is None
    assert by_owner.status is Status.CANCELLED
    assert twice is None
    assert ready(world.catalog, world.clock()) == []


def test_a_schedule_that_no_clock_drives_is_never_due(world):
    """R6."""
    world.schedule(world.sync(), {"type": "manual"}, next_run_at=None)

    assert claim_due(world.catalog, "database", world.clock(), tick="one") == []
    with world.catalog.begin() as db:
        assert db.scalar(select(ScheduleRow.next_run_at)) is None
