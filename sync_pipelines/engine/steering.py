"""Pausing, resuming and removing while everything runs.

Law: what was due up to the change is decided on as things stood before it, in the same
transaction. Nothing that was decided is ever decided again, and no instant is lost.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import schedules
from sync_pipelines.catalog.due import Moved, lock_armed_for_all_tenants, move_on
from sync_pipelines.catalog.syncs import set_active
from sync_pipelines.engine.deciding import decide_before_change
from sync_pipelines.engine.timetables import rearmed
from sync_pipelines.model.policy import Pause
from sync_pipelines.model.schedule import Schedule


def pause_sync(
    db: Db, sync_id: UUID, *, tenant_id: UUID, reason: str | None, now: datetime
) -> None:
    """Let no schedule start a sync until it is resumed. A person may still trigger it."""
    _turn_sync(db, sync_id, tenant_id=tenant_id, is_active=False, reason=reason, now=now)


def resume_sync(db: Db, sync_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    """Let a sync's schedules start it again, from their next instants on."""
    _turn_sync(db, sync_id, tenant_id=tenant_id, is_active=True, reason=None, now=now)


def pause_schedule(db: Db, schedule: Schedule, pause: Pause, *, now: datetime) -> None:
    """Pause one schedule, for good or until a date. One that is switched off stays so."""
    _change(db, schedule, pause, now=now)


def resume_schedule(db: Db, schedule: Schedule, *, now: datetime) -> None:
    """Let a schedule start its sync again, whether it was paused or switched off."""
    _change(db, schedule, None, now=now)


def remove_schedule(db: Db, schedule: Schedule, *, now: datetime) -> None:
    """Delete a schedule. What was due is decided on first; history and decisions stay."""
    decide_before_change(db, [schedule.id], now)
    schedules.delete_schedule(db, schedule)


def rearm(db: Db, schedule_ids: Sequence[UUID], now: datetime) -> None:
    """Set when schedules may start something next, from all that is known of them now."""
    moved = []
    for one in lock_armed_for_all_tenants(db, schedule_ids):
        ready = rearmed(one.schedule, pause=one.pause, now=now)
        assert ready.decided_until is not None
        moved.append(
            Moved(
                schedule_id=ready.id,
                decided_until=ready.decided_until,
                next_run_at=ready.next_run_at,
                last_run_at=None,
            )
        )
    move_on(db, moved)


def _turn_sync(
    db: Db, sync_id: UUID, *, tenant_id: UUID, is_active: bool, reason: str | None, now: datetime
) -> None:
    ids = schedules.ids_of_sync(db, sync_id, tenant_id=tenant_id)
    decide_before_change(db, ids, now)
    set_active(db, sync_id, tenant_id=tenant_id, is_active=is_active, reason=reason, now=now)
    rearm(db, ids, now)


def _change(db: Db, schedule: Schedule, pause: Pause | None, *, now: datetime) -> None:
    decide_before_change(db, [schedule.id], now)
    for one in lock_armed_for_all_tenants(db, [schedule.id]):
        policies = replace(one.schedule.policies, pause=pause)
        changed = replace(
            one.schedule, policies=policies, is_active=one.schedule.is_active or pause is None
        )
        schedules.put_schedule(db, rearmed(changed, pause=one.pause, now=now), now=now)
