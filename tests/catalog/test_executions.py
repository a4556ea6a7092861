"""Executions as the catalog keeps them: claimed once, one at a time, ended once."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from connectors.contract import Committed, State
from sync_pipelines.catalog import claims, executions
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.tables import ExecutionRow, StateRow
from sync_pipelines.model.execution import Request, Status, Trigger
from tests.world import START


def claimed(sync, schedule_id):
    return claims.Claimed(
        tenant_id=sync.tenant_id,
        sync_id=sync.id,
        schedule_id=schedule_id,
        due_at=START,
        at=START,
        trigger=Trigger.SCHEDULED,
        priority=0,
        metadata={},
    )


def test_a_due_instant_of_a_schedule_is_claimed_once(world):
    sync = world.sync()
    schedule_id = world.schedule(sync, {"type": "daily", "at": "02:00"})
    claim = claimed(sync, schedule_id)

    with world.catalog.begin() as db:
        first = claims.claim(db, [claim], now=START)
        second = claims.claim(db, [claim], now=START)

    assert list(first) == [(schedule_id, START)]
    assert second == {}


def test_two_executions_of_one_sync_never_run_at_once(world):
    """R74: the second is told so, and the first goes on."""
    sync = world.sync()
    with world.catalog.begin() as db:
        for _ in range(2):
            executions.create(
                db,
                tenant_id=sync.tenant_id,
                sync_id=sync.id,
                trigger=Trigger.MANUAL,
                now=START,
            )
        one, two = executions.waiting(db, sync.id, tenant_id=sync.tenant_id)
        executions.start(db, one, one.started(START, "run-1"), now=START)

    with pytest.raises(executions.SyncBusyError), world.catalog.begin() as db:
        executions.start(db, two, two.started(START, "run-2"), now=START)

    with world.catalog.begin() as db:
        running = executions.running(db, sync.id, tenant_id=sync.tenant_id)
    assert running is not None
    assert running.id == one.id


def test_a_transition_decided_on_an_old_row_changes_nothing(world):
    sync = world.sync()
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        stale = executions.lock_for_all_tenants(db, identity)
        executions.save(db, stale, stale.started(START, "run-1"))

        late = executions.save(db, stale, stale.started(START, "run-2"))
        found = executions.lock_for_all_tenants(db, identity)

    assert late is False
    assert found.run_id == "run-1"


def test_an_outcome_is_stored_once(world):
    sync = world.sync()
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        waiting = executions.lock_for_all_tenants(db, identity)
        running = waiting.started(START, "run-1")
        executions.save(db, waiting, running)
        executions.save(db, running, running.ended(Status.COMPLETED, START))

        late = executions.save(db, running, running.ended(Status.FAILED, START))
        found = executions.lock_for_all_tenants(db, identity)

    assert late is False
    assert found.status is Status.COMPLETED


def test_history_is_paged_newest_first_and_belongs_to_its_tenant(world):
    """R106."""
    sync = world.sync()
    with world.catalog.begin() as db:
        for minute in range(5):
            executions.create(
                db,
                tenant_id=sync.tenant_id,
                sync_id=sync.id,
                trigger=Trigger.MANUAL,
                now=START + timedelta(minutes=minute),
                request=Request(full=True, streams=("orders",)),
            )

        first = histories.history(db, sync.id, tenant_id=sync.tenant_id, limit=2)
        oldest = first[-1].execution.created_at
        rest = histories.history(db, sync.id, tenant_id=sync.tenant_id, before=oldest)
        strangers = histories.history(db, sync.id, tenant_id=uuid4())

    minutes = [entry.execution.created_at.minute for entry in (*first, *rest)]
    assert minutes == [4, 3, 2, 1, 0]
    assert first[0].execution.request == Request(full=True, streams=("orders",))
    assert strangers == []


def test_deleting_a_schedule_keeps_the_history_it_made(world):
    from sync_pipelines.catalog.tables import ScheduleRow

    sync = world.sync()
    schedule_id = world.schedule(sync, {"type": "daily", "at": "02:00"})
    with world.catalog.begin() as db:
        claims.claim(db, [claimed(sync, schedule_id)], now=START)
        db.execute(delete(ScheduleRow).where(ScheduleRow.id == schedule_id))

        (entry,) = histories.history(db, sync.id, tenant_id=sync.tenant_id)

    assert entry.execution.schedule_id is None


def test_an_execution_status_outside_the_words_is_refused_by_the_database(world):
    sync = world.sync()

    with pytest.raises(IntegrityError, match="status_check"), world.catalog.begin() as db:
        db.execute(
            insert(ExecutionRow).values(
                tenant_id=sync.tenant_id, sync_id=sync.id, trigger="manual", status="done"
            )
        )


def test_the_state_mirror_keeps_the_newest(world):
    """R54."""
    sync = world.sync()
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        execution = executions.lock_for_all_tenants(db, identity)
        for mark in ("2026-01-01", "2026-01-02"):
            committed = Committed(
                state=State(version=1, value={"watermark": mark}), committed_at=START
            )
            executions.mirror_state(db, execution, "orders", committed)

        marks = db.scalars(select(StateRow.watermark)).all()

    assert marks == ["2026-01-02"]
