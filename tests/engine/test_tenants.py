"""Suspending a tenant: nothing of it starts, what runs ends, and nothing is lost."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from connectors.errors import ConfigError
from sync_pipelines.catalog import decisions, executions, measuring, metrics, schedules
from sync_pipelines.catalog.scheduled import find_scheduled
from sync_pipelines.catalog.tables import AuditRow
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.engine import tenants
from sync_pipelines.engine.dispatch import claim_due, ready, trigger
from sync_pipelines.engine.explain import explain
from sync_pipelines.model.execution import Status
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import end, start

HOURLY = {"type": "every", "minutes": 60}


def turn(world, name, how="suspend", **more):
    with world.catalog.begin() as db:
        held = find_tenant(db, name)
        return getattr(tenants, how)(db, held, actor="cli:ana", now=world.clock(), **more)


def suspend(world, name="acme", reason="unpaid"):
    return turn(world, name, reason=reason)


def resume(world, name="acme"):
    return turn(world, name, "resume")


def dispatch(world):
    launches = claim_due(world.catalog, "database", world.clock(), tick=f"{world.clock()}")
    for launch in launches:
        end(world, launch.execution_id)
    return [launch.sync_key for launch in launches]


def told(world, sync):
    with world.catalog.begin() as db:
        found = decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id)
    return [
        (f"{one.due_at:%H:%M}", one.count, one.outcome, one.cause)
        for one in (decided.decision for decided in reversed(found))
    ]


def test_a_suspended_tenants_schedules_start_nothing_and_others_go_on(world):
    """Law 5: what was due before has its decision as before, what is due in it is skipped."""
    sync, other = world.sync("acme/orders"), world.sync("rival/orders")
    for one in (sync, other):
        world.schedule(one, HOURLY)
    before = dispatch(world)
    world.clock.advance(minutes=30)
    suspend(world)
    meanwhile = []
    for _ in range(3):
        world.clock.advance(hours=1)
        meanwhile += dispatch(world)
    resume(world)
    world.clock.advance(minutes=30)
    after = dispatch(world)

    both = {"acme/orders", "rival/orders"}
    assert (set(before), set(after)) == (both, both)
    assert meanwhile == ["rival/orders"] * 3
    assert told(world, sync) == [
        ("12:00", 1, Outcome.RUN, None),
        ("15:00", 3, Outcome.SKIPPED, Cause.PAUSED),
        ("16:00", 1, Outcome.RUN, None),
    ]


def test_why_it_did_not_run_names_the_suspension_and_who_did_it(world):
    """Law 5: "why didn't it run?" is always answerable."""
    sync = world.sync()
    world.schedule(sync, HOURLY)
    dispatch(world)
    suspend(world)
    due_at = world.clock() + timedelta(hours=1)
    world.clock.advance(hours=2)
    resume(world)

    with world.catalog.begin() as db:
        scheduled = find_scheduled(db, "acme/orders/main")
        answer = explain(db, scheduled, at=due_at, now=world.clock())

    assert "the tenant is suspended" in str(answer)
    assert "cli:ana" in str(answer)


def test_what_runs_is_left_to_end_and_what_waits_goes_on_after_the_suspension(world):
    running, waiting = world.sync("acme/running"), world.sync("acme/waiting")
    first = trigger(world.catalog, running, now=world.clock(), queued=True)
    start(world, first)
    second = trigger(world.catalog, waiting, now=world.clock())

    suspend(world)
    end(world, first, Status.COMPLETED)
    meanwhile = ready(world.catalog, world.clock())
    resume(world)
    afterwards = ready(world.catalog, world.clock())

    with world.catalog.begin() as db:
        ended = executions.lock_for_all_tenants(db, first)
    assert ended.status is Status.COMPLETED
    assert meanwhile == []
    assert [launch.execution_id for launch in afterwards] == [second]


def test_nobody_starts_anything_of_a_suspended_tenant_and_hears_what_helps(world):
    sync = world.sync()
    suspend(world)

    with pytest.raises(ConfigError, match="tenants resume acme"):
        trigger(world.catalog, sync, now=world.clock())


def test_what_a_suspended_tenant_has_waiting_raises_no_alarm(world):
    sync = world.sync()
    world.schedule(sync, HOURLY)
    dispatch(world)
    trigger(world.catalog, sync, now=world.clock())
    suspend(world)
    now = world.clock.advance(days=3)

    with world.catalog.begin() as db:
        waiting = metrics.waiting_for_all_tenants(db, now)
        lag = metrics.dispatch_lag_for_all_tenants(db, now)
        loads = measuring.loads_for_all_tenants(db, hour_ago=now - timedelta(hours=1))
        measured = list(measuring.executed_for_all_tenants(db))

    assert (waiting.pending, waiting.oldest) == (0, timedelta(0))
    assert lag == timedelta(0)
    assert (loads, measured) == ([], [])


def test_the_change_is_audited_once_with_its_reason(world):
    """R133."""
    world.sync()

    done = [suspend(world), suspend(world), resume(world), resume(world)]

    with world.catalog.begin() as db:
        rows = db.execute(select(AuditRow.__table__).order_by(AuditRow.id)).all()
    assert done == [True, False, True, False]
    assert [(row.action, row.actor, row.after) for row in rows] == [
        ("tenant.suspended", "cli:ana", {"is_active": False, "pause_reason": "unpaid"}),
        ("tenant.resumed", "cli:ana", {"is_active": True}),
    ]


def test_a_tenants_other_pauses_outlive_its_suspension(world):
    sync = world.sync()
    world.schedule(sync, HOURLY, is_active=False)

    suspend(world)
    resume(world)

    with world.catalog.begin() as db:
        schedule = schedules.find_schedule(db, "acme/orders/main")
    assert schedule.next_run_at is None
