"""Why a schedule did or did not start its sync at an instant.

Laws:

* An instant is meant by its minute, and by when it is due. One that is asked for by
  the minute in which its spread starts it is found too.
* Nothing is changed, and nothing held.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import decisions
from sync_pipelines.catalog.decisions import Decided
from sync_pipelines.catalog.history import HistoryEntry, unscheduled
from sync_pipelines.catalog.scheduled import Scheduled, SyncSeen
from sync_pipelines.engine.answers import (
    Judged,
    Verdict,
    is_of_its_cadence,
    judge,
    moment,
    unexpected,
)
from sync_pipelines.engine.standing import waits_for
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.timing.bars import TICK
from sync_pipelines.timing.counting import latest
from sync_pipelines.timing.firings import Timetable, firings, next_firing
from sync_pipelines.timing.words import sentence

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer for one schedule, in a sentence; and the facts that it rests on.

    ``due_at`` is the instant that was meant; None where none was expected, and then
    ``before`` and ``after`` are those that were. ``note`` says what clocks did that day.
    """

    key: str
    zone: str
    asked_at: datetime
    due_at: datetime | None
    verdict: Verdict
    answer: str
    is_forecast: bool
    note: str | None
    decided: Decided | None
    execution: HistoryEntry | None
    before: Judged | None
    after: Judged | None


def explain(db: Db, scheduled: Scheduled, *, at: datetime, now: datetime) -> Explanation:
    """Why a schedule did or did not start its sync at an instant, past or to come."""
    timetable = timetable_of(scheduled.schedule, pause=scheduled.sync.pause)
    minute = at.astimezone(UTC).replace(second=0, microsecond=0)
    for offset in dict.fromkeys((timedelta(0), timetable.offset)):
        meant = _meant(db, scheduled, timetable, minute - offset)
        if meant is not None:
            due_at, decided = meant
            judged = judge(db, scheduled, due_at, decided, now=now)
            return _explained(db, scheduled, timetable, minute, judged, now=now)
    nothing = unexpected(minute, _why_unexpected(scheduled, minute))
    return _explained(db, scheduled, timetable, minute, nothing, now=now)


def besides(db: Db, sync: SyncSeen, *, at: datetime) -> list[HistoryEntry]:
    """Executions that no schedule of a sync started and that were there at that minute."""
    minute = at.replace(second=0, microsecond=0)
    return unscheduled(db, sync.id, tenant_id=sync.tenant_id, since=minute, until=minute + _MINUTE)


def _meant(
    db: Db, scheduled: Scheduled, timetable: Timetable, minute: datetime
) -> tuple[datetime, Decided | None] | None:
    """The instant of that minute with its decision, if it has one; None where there is none."""
    last = minute + _MINUTE - TICK
    expected = next(firings(timetable, after=minute - TICK, until=last), None)
    instant = None if expected is None else expected.due_at
    decided = _covering(db, scheduled, last)
    if decided is None or decided.decision.due_at < minute:
        return None if instant is None else (instant, None)
    decision = decided.decision
    for edge in (decision.due_at, decision.first_due_at):
        if minute <= edge <= last:
            return edge, decided
    if instant is None and is_of_its_cadence(timetable, decision):
        return None
    return instant or minute, decided


def _explained(
    db: Db,
    scheduled: Scheduled,
    timetable: Timetable,
    minute: datetime,
    judged: Judged,
    *,
    now: datetime,
) -> Explanation:
    is_expected = judged.verdict is not Verdict.NOT_EXPECTED
    return Explanation(
        key=scheduled.key,
        zone=timetable.zone,
        asked_at=minute,
        due_at=judged.due_at if is_expected else None,
        verdict=judged.verdict,
        answer=judged.sentence(timetable.zone),
        is_forecast=judged.is_forecast,
        note=_note(timetable, judged.due_at) if is_expected else None,
        decided=judged.decided,
        execution=judged.execution,
        before=_before(db, scheduled, timetable, judged.due_at, now=now),
        after=_after(db, scheduled, timetable, judged.due_at, now=now),
    )


def _why_unexpected(scheduled: Scheduled, minute: datetime) -> str:
    schedule = scheduled.schedule
    if minute + _MINUTE <= schedule.created_at:
        made = moment(schedule.anchor, schedule.timezone)
        return f"the schedule was made only at {made}"
    waits = waits_for(schedule.cadence)
    if waits is not None:
        return f"no clock starts it, it {waits}, and nothing did at that time"
    return f"its schedule reads {sentence(schedule.cadence, schedule.timezone)!r}"


def _before(
    db: Db, scheduled: Scheduled, timetable: Timetable, at: datetime, *, now: datetime
) -> Judged | None:
    """The last instant before, as it was decided on, or as the schedule has it now."""
    edge, start = at - TICK, scheduled.schedule.anchor - TICK
    decided = _covering(db, scheduled, edge)
    expected = None
    if edge > start:
        found = latest(
            timetable.cadence,
            timetable.zone,
            timetable.clock_change,
            after=start,
            until=edge,
            anchor=timetable.anchor,
            most=1,
        )
        expected = found[-1] if found else None
    known = [one for one in (expected, _reached(decided, edge)) if one is not None]
    until = scheduled.schedule.decided_until
    if decided is not None and until is not None and edge <= until:
        known = [_reached(decided, edge) or expected or decided.decision.first_due_at]
    if not known:
        return None
    due_at = max(known)
    covers = decided is not None and due_at <= decided.decision.due_at
    return judge(db, scheduled, due_at, decided if covers else None, now=now)


def _reached(decided: Decided | None, edge: datetime) -> datetime | None:
    """The last instant of a decision, if it is not after ``edge``."""
    if decided is None or decided.decision.due_at > edge:
        return None
    return decided.decision.due_at


def _after(
    db: Db, scheduled: Scheduled, timetable: Timetable, at: datetime, *, now: datetime
) -> Judged | None:
    """The next instant that the schedule has, as it is now."""
    following = next_firing(timetable, after=max(at, scheduled.schedule.created_at))
    if following is None:
        return None
    decided = _covering(db, scheduled, following.due_at)
    covers = decided is not None and following.due_at <= decided.decision.due_at
    return judge(db, scheduled, following.due_at, decided if covers else None, now=now)


def _covering(db: Db, scheduled: Scheduled, at: datetime) -> Decided | None:
    schedule = scheduled.schedule
    return decisions.covering(db, schedule.id, at, tenant_id=schedule.tenant_id)


def _note(timetable: Timetable, due_at: datetime) -> str | None:
    found = next(firings(timetable, after=due_at - TICK, until=due_at), None)
    return None if found is None else found.note
