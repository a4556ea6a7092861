"""What became of one instant of a schedule, or is to become of it, in words.

Law: a record is told, never judged again; only what has none is worked out, by the
rooms of time that will decide it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import breakers, claims, decisions
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.decisions import Decided
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.pauses import paused_by
from sync_pipelines.catalog.scheduled import Scheduled
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.execution import Status
from sync_pipelines.model.policy import ON_TIME, Overlap
from sync_pipelines.timing.bars import TICK, Cause
from sync_pipelines.timing.counting import count
from sync_pipelines.timing.decisions import Decision, Outcome, decide
from sync_pipelines.timing.firings import Timetable, firing_at
from sync_pipelines.timing.words import place
from sync_pipelines.timing.zones import find_zone

DID_NOT = "It did not run"


class Verdict(StrEnum):
    """What an answer comes to."""

    RAN = "ran"
    WAITS = "waits"
    DID_NOT_RUN = "did_not_run"
    UNDECIDED = "undecided"
    WILL_RUN = "will_run"
    WILL_NOT_RUN = "will_not_run"
    NOT_EXPECTED = "not_expected"
    NOT_RECORDED = "not_recorded"


_TO_COME = (Verdict.WILL_RUN, Verdict.WILL_NOT_RUN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An instant with what became of it, in two halves: "It did not run", "paused: stocktaking".

    ``is_forecast`` says that it was worked out now; else it is what was recorded.
    """

    due_at: datetime
    verdict: Verdict
    head: str
    detail: str
    is_forecast: bool = False
    decided: Decided | None = None
    execution: HistoryEntry | None = None

    @property
    def said(self) -> str:
        """In short, to stand behind a time."""
        head = f"{self.head[:1].lower()}{self.head[1:]}"
        return head if self.verdict is Verdict.WILL_RUN else f"{head}: {self.detail}"

    def sentence(self, zone: str) -> str:
        """Both halves with the time between them: "It ran at 02:00: on time"."""
        forecast = " (a forecast, as things stand now)" if self.verdict in _TO_COME else ""
        joined = ", " if self.verdict is Verdict.WILL_RUN else ": "
        return f"{self.head} at {moment(self.due_at, zone)}{joined}{self.detail}{forecast}."


def judge(
    db: Db, scheduled: Scheduled, due_at: datetime, decided: Decided | None, *, now: datetime
) -> Judged:
    """What became of an instant that ``decided`` is about, or is to become of one without."""
    schedule = scheduled.schedule
    if decided is not None:
        if decided.execution_id is not None:
            return _started(db, scheduled, due_at, decided, now)
        return Judged(
            due_at=due_at,
            verdict=Verdict.DID_NOT_RUN,
            head=DID_NOT,
            detail=_not_run(db, scheduled, due_at, decided),
            decided=decided,
        )
    if due_at < schedule.anchor:
        made = moment(schedule.created_at, schedule.timezone)
        return unexpected(due_at, f"the schedule was made only at {made}")
    if schedule.decided_until is not None and due_at <= schedule.decided_until:
        return Judged(
            due_at=due_at,
            verdict=Verdict.NOT_RECORDED,
            head="Nothing is on record",
            detail="the schedule was changed since, or that is longer ago than decisions are kept",
        )
    timetable = timetable_of(schedule, pause=scheduled.sync.pause)
    if due_at + timetable.offset <= now:
        return _overdue(db, scheduled, timetable, due_at, now)
    return _foreseen(db, scheduled, timetable, due_at)


def unexpected(at: datetime, detail: str) -> Judged:
    """What there is to say where nothing was due."""
    return Judged(
        due_at=at, verdict=Verdict.NOT_EXPECTED, head="Nothing was expected", detail=detail
    )


def moment(at: datetime, zone: str) -> str:
    """An instant on a zone's clocks and in UTC: ``2026-03-08 02:00 (Edmonton; 09:00 UTC)``."""
    local, utc = at.astimezone(find_zone(zone)), at.astimezone(UTC)
    clock = "%H:%M:%S" if at.second else "%H:%M"
    if local.replace(tzinfo=None) == utc.replace(tzinfo=None):
        return f"{utc:%Y-%m-%d {clock}} UTC"
    day = "" if local.date() == utc.date() else "%Y-%m-%d "
    return f"{local:%Y-%m-%d {clock}} ({place(zone)}; {utc:{day}{clock}} UTC)"


def is_of_its_cadence(timetable: Timetable, decision: Decision) -> bool:
    """Whether the schedule had, when it was decided on, the instants that it has now."""
    number = count(
        timetable.cadence,
        timetable.zone,
        timetable.clock_change,
        after=decision.first_due_at - TICK,
        until=decision.due_at,
        anchor=timetable.anchor,
    )
    return number == decision.count


# --- what was recorded -----------------------------------------------------------


def _started(
    db: Db, scheduled: Scheduled, due_at: datetime, decided: Decided, now: datetime
) -> Judged:
    assert decided.execution_id is not None
    entry = histories.find(db, decided.execution_id, tenant_id=scheduled.schedule.tenant_id)
    why = decided.decision.reason
    if entry is None:
        detail = f"{why}; its execution is not on record any more"
        return Judged(
            due_at=due_at, verdict=Verdict.RAN, head="It ran", detail=detail, decided=decided
        )
    execution, zone = entry.execution, scheduled.schedule.timezone
    start = execution.started_at
    verdict, head = Verdict.RAN, "It ran"
    if execution.is_waiting:
        verdict, head = Verdict.WAITS, "It was due"
    elif start is None:
        verdict, head = Verdict.DID_NOT_RUN, DID_NOT
    elif start - due_at > ON_TIME:
        head, why = "It was due", f"ran later, from {moment(_whole(start), zone)}; {why}"
    return Judged(
        due_at=due_at,
        verdict=verdict,
        head=head,
        detail=f"{why}; {_outcome(entry, zone, now)}",
        decided=decided,
        execution=entry,
    )


def _outcome(entry: HistoryEntry, zone: str, now: datetime) -> str:
    execution = entry.execution
    error = f": {entry.error_message}" if entry.error_message else ""
    ended = f" at {moment(_whole(execution.completed_at), zone)}" if execution.completed_at else ""
    match execution.status:
        case Status.COMPLETED:
            return f"completed{ended}, {entry.counts.processed:,} records"
        case Status.PARTIAL:
            return f"succeeded in part{ended}{error}"
        case Status.FAILED:
            tries = f" after {execution.attempt} attempts" if execution.attempt > 1 else ""
            return f"failed{tries}{ended}{error}"
        case Status.CANCELLED:
            return f"cancelled{ended}{error}"
        case Status.RUNNING:
            tries = f", in attempt {execution.attempt}" if execution.attempt > 1 else ""
            return f"it is running still{tries}"
        case Status.PENDING | Status.QUEUED:
            return _waiting(entry, zone, now, error)


def _waiting(entry: HistoryEntry, zone: str, now: datetime, error: str) -> str:
    execution = entry.execution
    failed = f"attempt {execution.attempt - 1} failed{error}; " if execution.attempt > 1 else ""
    start = execution.next_attempt_at
    if start is not None and start > now:
        return f"{failed}attempt {execution.attempt} starts at {moment(_whole(start), zone)}"
    line = "Dagster's queue" if execution.status is Status.QUEUED else "line"
    return f"{failed}attempt {execution.attempt} waits in {line}"


def _not_run(db: Db, scheduled: Scheduled, due_at: datetime, decided: Decided) -> str:
    decision, zone = decided.decision, scheduled.schedule.timezone
    words = decision.reason
    if decision.cause is Cause.PAUSED:
        words += _by_whom(db, scheduled, due_at)
    if decision.into is not None:
        words += _stood_for(db, scheduled, decision.into, decided.decided_at)
    if decision.count > 1:
        first, last = moment(decision.first_due_at, zone), moment(decision.due_at, zone)
        words += f" (like all {decision.count:,} instants from {first} to {last})"
    return words


def _stood_for(db: Db, scheduled: Scheduled, into: datetime, decided_at: datetime) -> str:
    """What became of the execution that stands for a collapsed instant."""
    schedule = scheduled.schedule
    found = decisions.covering(db, schedule.id, into, tenant_id=schedule.tenant_id)
    words = f": that of {moment(into, schedule.timezone)}"
    if found is None or found.decision.due_at != into or found.execution_id is None:
        return words
    entry = histories.find(db, found.execution_id, tenant_id=schedule.tenant_id)
    return words if entry is None else f"{words}, {_outcome(entry, schedule.timezone, decided_at)}"


def _by_whom(db: Db, scheduled: Scheduled, due_at: datetime) -> str:
    schedule = scheduled.schedule
    found = paused_by(
        db,
        (scheduled.key, scheduled.sync.key, scheduled.sync.key.partition("/")[0]),
        tenant_id=schedule.tenant_id,
        before=due_at,
    )
    if found is None:
        return ""
    return f", by {found.actor} since {moment(_whole(found.at), schedule.timezone)}"


# --- what has no record yet ------------------------------------------------------


def _overdue(
    db: Db, scheduled: Scheduled, timetable: Timetable, due_at: datetime, now: datetime
) -> Judged:
    schedule = scheduled.schedule
    active = claims.active_for_all_tenants(db, [schedule.sync_id]).get(schedule.sync_id, 0)
    found = decide(
        timetable,
        after=schedule.decided_until or schedule.created_at,
        now=now,
        active=active > 0,
        waiting=active > 1,
    )
    decision = next(each for each in found if each.first_due_at <= due_at <= each.due_at)
    barred = firing_at(timetable, due_at)
    if barred.cause is None:
        verdict, head = Verdict.UNDECIDED, "It was due"
        detail = (
            "nothing has decided on it yet; is `sync-pipelines up` running, and the connector's "
            f"schedule in Dagster? As things stand {_would(decision)}: {decision.reason}"
        )
    else:
        who = _by_whom(db, scheduled, due_at) if barred.cause is Cause.PAUSED else ""
        verdict, head = Verdict.DID_NOT_RUN, DID_NOT
        detail = f"{barred.reason}{who}; that is recorded when the schedule wakes"
    return Judged(due_at=due_at, verdict=verdict, head=head, detail=detail, is_forecast=True)


def _would(decision: Decision) -> str:
    if decision.outcome is Outcome.CATCH_UP:
        return "it would be caught up"
    if decision.outcome.starts:
        return "it would run"
    return "it would not run"


def _foreseen(db: Db, scheduled: Scheduled, timetable: Timetable, due_at: datetime) -> Judged:
    firing = firing_at(timetable, due_at)
    schedule = scheduled.schedule
    reason = firing.reason
    if reason is not None and firing.cause is Cause.PAUSED:
        reason += _by_whom(db, scheduled, due_at)
    breaker = breakers.find(db, schedule.sync_id, tenant_id=schedule.tenant_id)
    if reason is None and breaker.probe_at is not None and breaker.bars(firing.at):
        reason = (
            f"breaker open: the last {breaker.failures} executions failed; the next try is not "
            f"before {moment(_whole(breaker.probe_at), schedule.timezone)}"
        )
    if reason is not None:
        verdict, head, detail = Verdict.WILL_NOT_RUN, "It will not run", reason
    else:
        verdict, head = Verdict.WILL_RUN, "It will run"
        detail = f"{_from(timetable, firing.at)}{_OVERLAPS[schedule.policies.overlap]}"
    return Judged(due_at=due_at, verdict=verdict, head=head, detail=detail, is_forecast=True)


_OVERLAPS = {
    Overlap.SKIP: "unless the execution before it has not ended then",
    Overlap.QUEUE: "or as soon as the execution before it has ended",
    Overlap.CANCEL: "cancelling the execution before it if that has not ended then",
}


def _from(timetable: Timetable, at: datetime) -> str:
    return f"by its spread from {moment(at, timetable.zone)}, " if timetable.offset else ""


def _whole(at: datetime) -> datetime:
    """To the second, as people read it."""
    return at.replace(microsecond=0)
