"""Lets adaptive schedules learn from what their sync has found.

Laws:

* Learned from once for each execution that succeeded and went on from the state,
  whoever asked for it: a person's looked too.
* What was due at the old interval is decided on before the new one counts. It counts
  from the last instant that was due, and nothing before now fires any more.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import checks
from sync_pipelines.catalog.due import Armed, lock_armed_for_all_tenants
from sync_pipelines.catalog.schedules import ids_of_sync, put_schedule
from sync_pipelines.engine.deciding import decide_before_change
from sync_pipelines.engine.timetables import rearmed, timetable_of
from sync_pipelines.model.cadence import Adaptive
from sync_pipelines.model.execution import Execution, Request, Status
from sync_pipelines.model.schedule import Learned, Schedule
from sync_pipelines.timing.adaptive import MOST_CHECKS, choose
from sync_pipelines.timing.bars import TICK
from sync_pipelines.timing.counting import latest


def learn(db: Db, ended: Execution, now: datetime) -> None:
    """Choose the next interval of a sync's adaptive schedules, if an execution tells anything."""
    if ended.status is not Status.COMPLETED or ended.request != Request():
        return
    assert ended.completed_at is not None
    ids = ids_of_sync(db, ended.sync_id, tenant_id=ended.tenant_id)
    adaptive = [one.schedule.id for one in _adaptive(db, ids)]
    if not adaptive:
        return
    history = checks.latest(
        db,
        ended.sync_id,
        tenant_id=ended.tenant_id,
        until=ended.completed_at,
        limit=MOST_CHECKS,
    )
    decide_before_change(db, adaptive, now)
    for one in _adaptive(db, adaptive):
        schedule, cadence = one.schedule, one.schedule.cadence
        assert isinstance(cadence, Adaptive)
        current = schedule.learned.minutes if schedule.learned else None
        choice = choose(cadence, history, current=current)
        learned = Learned(minutes=choice.minutes, since=_last_due(schedule), reason=choice.reason)
        changed = rearmed(replace(schedule, learned=learned), pause=one.pause, now=now)
        put_schedule(db, changed, now=now)


def _adaptive(db: Db, ids: list[UUID]) -> list[Armed]:
    """Those of the schedules that are adaptive, as they stand, held."""
    armed = lock_armed_for_all_tenants(db, ids)
    return [one for one in armed if isinstance(one.schedule.cadence, Adaptive)]


def _last_due(schedule: Schedule) -> datetime:
    """The last instant that was decided on; where there was none, what it counts from."""
    timetable = timetable_of(schedule, pause=None)
    found = latest(
        timetable.cadence,
        timetable.zone,
        timetable.clock_change,
        after=timetable.anchor - TICK,
        until=schedule.decided_until or timetable.anchor,
        anchor=timetable.anchor,
        most=1,
    )
    return found[-1] if found else timetable.anchor
