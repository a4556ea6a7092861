"""The watch: finds what has fallen silent, puts it right where it can, and says so.

Laws:

* Silence is an alarm. An active schedule is armed for its next firing, or the watch
  arms it and records an incident; every schedule is looked at in three looks.
* What looks wrong is looked at again with its row held, before it is called wrong.
* The watch decides on no instant. It arms a schedule for the first one that is not
  decided on, however long ago that was due; the dispatcher does the rest.
* Who slept cannot say who slept meanwhile: after a pause of its own, the watch gives
  everybody time for a sign of life before it raises anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import heartbeats, incidents, rounds
from sync_pipelines.catalog.due import Moved, lock_armed_for_all_tenants, move_on
from sync_pipelines.catalog.heartbeats import Heartbeat
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.catalog.rounds import Looked, Slow
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.engine.signs import LATE, WATCH, note_signs
from sync_pipelines.engine.timetables import next_start, rearmed, timetable_of
from sync_pipelines.engine.webhooks import note_health
from sync_pipelines.model.execution import Execution
from sync_pipelines.model.policy import LONGEST_SPREAD
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.notify.watched import tell_of_watched

log = structlog.get_logger()

EVERY_SECONDS = 30
"""How often the watch looks."""

LOOKS = 3
"""In so many looks every schedule is looked at: with time to spare, within two minutes."""

CANCEL_GRACE = timedelta(minutes=2)
"""How long a running execution that was asked to stop may bring nothing further."""

FURTHEST_DECIDED = timedelta(minutes=2 * LONGEST_SPREAD + 60)
"""No schedule is ever decided so far ahead of now, whatever its spread was and is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one look found: how many schedules it saw and armed, and which alarms are on."""

    looked_at: int
    rearmed: int
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A running attempt that was settled over its head, as it was, and why."""

    execution: Execution
    reason: str


def watch(catalog: Catalog, now: datetime) -> Found:
    """Look at the next schedules in turn and at everybody's signs of life."""
    with catalog.begin() as db:
        before = heartbeats.read(db, WATCH)
        looked, cursor = _next_in_turn(db, before)
    mended = _mend(catalog, looked, now)
    since = _awake_since(before, now)
    with catalog.begin() as db:
        alarms = note_signs(db, now, awake_since=since)
        alarms += note_health(db, catalog.secrets, now)
        detail = {"cursor": str(cursor) if cursor else None, "since": since.isoformat()}
        heartbeats.beat(db, WATCH, every_seconds=EVERY_SECONDS, now=now, detail=detail)
        tell_of_watched(db, now)
    return Found(looked_at=len(looked), rearmed=mended, alarms=alarms)


def end_stuck(catalog: Catalog, now: datetime, rng: Random) -> list[GivenUp]:
    """Settle running attempts that come no further, which retries or cancels them.

    The caller ends their Dagster runs. A process that lives on finds at its next beat
    that the attempt is not its own.
    """
    with catalog.begin() as db:
        slow = rounds.slow_for_all_tenants(db, now)
    ended = []
    for one in slow:
        reason = _why_stuck(one, now)
        if reason is not None and _end(catalog, one, reason, now, rng):
            ended.append(GivenUp(execution=one.execution, reason=reason))
    return ended


def _awake_since(before: Heartbeat | None, now: datetime) -> datetime:
    if before is None or now - before.at > LATE or "since" not in before.detail:
        return now
    return datetime.fromisoformat(before.detail["since"])


def _next_in_turn(db: Db, before: Heartbeat | None) -> tuple[list[Looked], UUID | None]:
    """A look's share of all schedules, and where the next look goes on."""
    total = rounds.count_for_all_tenants(db)
    share = -(-total // LOOKS)
    kept = before.detail.get("cursor") if before is not None else None
    cursor = UUID(kept) if kept else None
    looked = rounds.schedules_in_turn_for_all_tenants(db, after=cursor, limit=share)
    if len(looked) < share and cursor is not None:
        rest = share - len(looked)
        looked += rounds.schedules_in_turn_for_all_tenants(db, after=None, until=cursor, limit=rest)
    return looked, looked[-1].id if looked else None


def _mend(catalog: Catalog, looked: Sequence[Looked], now: datetime) -> int:
    """Arm those that are silent, and record it; how many there were."""
    troubles = {one.key: _trouble(one, now) for one in looked}
    silent = [one for one in looked if one.trouble is None and troubles[one.key] is not None]
    unreadable = [one for one in looked if one.trouble is not None]
    with catalog.begin() as db:
        mended = _arm(db, silent, now)
        incidents.note_mended(db, mended, now=now)
        for one in unreadable:
            incidents.raise_incident(db, _unreadable(one), now=now)
        healthy = troubles.keys() - {one.key for one in unreadable}
        for key in healthy & set(incidents.open_subjects_for_all_tenants(db, Kind.SILENT_SCHEDULE)):
            incidents.resolve(db, Kind.SILENT_SCHEDULE, key, now=now)
    if mended:
        log.warning("schedules.rearmed", number=len(mended), first=mended[0].subject)
    return len(mended)


def _arm(db: Db, silent: Iterable[Looked], now: datetime) -> list[Alarm]:
    """Hold the schedules, look again, and arm those that are silent indeed."""
    keys = {one.id: one for one in silent}
    if not keys:
        return []
    moved, alarms = [], []
    for one in lock_armed_for_all_tenants(db, keys):
        ready = _as_it_should_be(one.schedule, one.pause, now)
        if not _is_silent(one.schedule, ready):
            continue
        assert ready.decided_until is not None
        moved.append(
            Moved(
                schedule_id=ready.id,
                decided_until=ready.decided_until,
                next_run_at=ready.next_run_at,
                last_run_at=None,
            )
        )
        alarms.append(_silent(keys[ready.id], one.schedule, ready))
    move_on(db, moved)
    return alarms


def _trouble(one: Looked, now: datetime) -> str | None:
    if one.schedule is None:
        return one.trouble
    ready = _as_it_should_be(one.schedule, one.pause, now)
    return "silent" if _is_silent(one.schedule, ready) else None


def _as_it_should_be(schedule: Schedule, pause: str | None, now: datetime) -> Schedule:
    """The schedule, armed for the first instant after what is decided on."""
    until = schedule.decided_until
    if until is None or until > now + FURTHEST_DECIDED:
        return rearmed(replace(schedule, decided_until=None), pause=pause, now=now)
    coming = next_start(timetable_of(schedule, pause=pause), after=until)
    return replace(schedule, next_run_at=coming)


def _is_silent(schedule: Schedule, ready: Schedule) -> bool:
    """Whether something is to come that it is not armed for.

    Armed though nothing is to come is no silence: the dispatcher finds that by itself.
    """
    return ready.next_run_at is not None and (
        schedule.next_run_at != ready.next_run_at or schedule.decided_until != ready.decided_until
    )


def _silent(looked: Looked, schedule: Schedule, ready: Schedule) -> Alarm:
    stored = f"{schedule.next_run_at:%Y-%m-%d %H:%M:%S} UTC" if schedule.next_run_at else "never"
    right = f"{ready.next_run_at:%Y-%m-%d %H:%M:%S} UTC"
    return Alarm(
        kind=Kind.SILENT_SCHEDULE,
        subject=looked.key,
        tenant_id=looked.tenant_id,
        message=f"{looked.key} was to start next: {stored}; by its cadence: {right}",
        remedy="none is needed: it was armed again, and what it missed is decided on as missed",
        details={
            "next_run_at": schedule.next_run_at.isoformat() if schedule.next_run_at else None,
            "decided_until": schedule.decided_until.isoformat() if schedule.decided_until else None,
            "armed_for": ready.next_run_at.isoformat() if ready.next_run_at else None,
        },
    )


def _unreadable(looked: Looked) -> Alarm:
    return Alarm(
        kind=Kind.SILENT_SCHEDULE,
        subject=looked.key,
        tenant_id=looked.tenant_id,
        message=f"{looked.key} starts nothing: its row cannot be read: {looked.trouble}",
        remedy="apply the file that holds its sync again",
    )


def _why_stuck(slow: Slow, now: datetime) -> str | None:
    """Why an attempt has had its time; None while it has not."""
    if slow.cancel_requested_at is not None:
        waited = now - max(slow.cancel_requested_at, slow.progressed_at)
        if waited > CANCEL_GRACE:
            return f"cancelled; it did not stop by itself within {_minutes(waited)}"
        return None
    waited = now - slow.progressed_at
    return f"no progress for {_minutes(waited)}" if waited > slow.stalled_after else None


def _end(catalog: Catalog, slow: Slow, reason: str, now: datetime, rng: Random) -> bool:
    execution = slow.execution
    settled = settle_lost(
        catalog,
        execution.id,
        attempt=execution.attempt,
        now=now,
        rng=rng,
        cancelled=slow.cancel_requested_at is not None,
        reason=reason,
    )
    if settled is None:
        return False
    then = "it is tried again" if settled.is_waiting else f"it is {settled.status}"
    alarm = Alarm(
        kind=Kind.STUCK_EXECUTION,
        subject=execution.sync_key,
        tenant_id=execution.tenant_id,
        message=f"attempt {execution.attempt} of an execution of {execution.sync_key}: {reason}",
        remedy=f"its attempt was ended; {then}. If that recurs, look at what its source or "
        "destination waits for, or raise stalled_after in the sync's retry policy",
        details={"execution": str(execution.id), "run": execution.run_id},
    )
    with catalog.begin() as db:
        incidents.note_mended(db, [alarm], now=now)
    return True


def _minutes(waited: timedelta) -> str:
    return f"{waited // timedelta(minutes=1)} min"
