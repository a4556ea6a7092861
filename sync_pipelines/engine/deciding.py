"""Decides on due instants, records every decision, and claims what starts.

Laws:

* An instant has one decision, recorded in the transaction that claims its execution.
* A decision is made by ``timing.decisions`` alone; here it is only refused, where the
  sync's breaker is open or the tenant has used up its hour.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import breakers, claims
from sync_pipelines.catalog import decisions as recorded
from sync_pipelines.catalog.claims import Claimed
from sync_pipelines.catalog.due import (
    Armed,
    Moved,
    executions_since_for_all_tenants,
    lock_armed_for_all_tenants,
    move_on,
)
from sync_pipelines.engine.cancelling import cancel_before
from sync_pipelines.engine.timetables import next_start, timetable_of
from sync_pipelines.model.breaker import Breaker
from sync_pipelines.model.execution import PRIORITY, Execution, Trigger
from sync_pipelines.model.policy import Overlap, Priority
from sync_pipelines.timing.bars import TICK, Cause
from sync_pipelines.timing.decisions import Decision, Outcome, decide, decide_missed, refused
from sync_pipelines.timing.firings import Timetable, happened

HOUR = timedelta(hours=1)

_STEP = {Priority.HIGH: 2, Priority.NORMAL: 0, Priority.LOW: -2}
"""What a schedule's own priority adds: less than what lies between two triggers."""


def decide_up_to(db: Db, armed: Sequence[Armed], now: datetime) -> int:
    """Decide on everything due of these schedules, whose rows are held; how many start."""
    turn = _Turn(db, armed, now)
    moved: list[Moved] = []
    for one in armed:
        timetable = timetable_of(one.schedule, pause=one.pause)
        after = one.schedule.decided_until or one.schedule.created_at
        found = decide(
            timetable,
            after=after,
            now=now,
            active=turn.is_active(one),
            waiting=turn.is_waiting(one),
        )
        started = turn.take(one, timetable, found)
        until = max(after, now - timetable.offset)
        moved.append(
            Moved(
                schedule_id=one.schedule.id,
                decided_until=until,
                next_run_at=next_start(timetable, after=until),
                last_run_at=started,
            )
        )
    claimed = len(turn.write())
    move_on(db, moved)
    return claimed


def decide_before_change(db: Db, schedule_ids: Sequence[UUID], now: datetime) -> None:
    """Hold schedules, and decide on everything due of them as they stand before a change."""
    decide_up_to(db, lock_armed_for_all_tenants(db, schedule_ids), now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What became of a schedule that fired for something; ``execution_id`` if that started."""

    decision: Decision
    execution_id: UUID | None


def fire(
    db: Db,
    armed: Sequence[Armed],
    at: datetime,
    *,
    now: datetime,
    trigger: Trigger,
    why: str,
    joins: Execution | None = None,
    never_lost: bool = False,
) -> list[Fired]:
    """Let schedules that no clock drives fire for what happened ``at``; one outcome for each.

    ``why`` says what happened. Their rows are held. It is never too late for it: whether
    it may start is judged by when it would. ``joins`` has not started and will do all that
    is asked: nothing else starts. ``never_lost``: without such a one another starts after
    what runs, even where the schedule would skip.
    """
    turn = _Turn(db, armed, now, trigger=trigger, why=why)
    taken = recorded.taken_for_all_tenants(db, [one.schedule.id for one in armed], at)
    moved = []
    for one in armed:
        schedule, timetable = one.schedule, timetable_of(one.schedule, pause=one.pause)
        policies = timetable.policies
        if never_lost and policies.overlap is Overlap.SKIP:
            policies = replace(policies, overlap=Overlap.QUEUE)
        # Two things may happen at one instant; a schedule's instants are apart.
        due_at = max(at, taken.get(schedule.id, at - TICK) + TICK)
        firing = happened(timetable, due_at, now)
        found: Sequence[Decision] = decide_missed(
            [firing],
            policies,
            zone=timetable.local,
            now=firing.at,
            active=turn.is_active(one),
            waiting=turn.is_waiting(one) and not never_lost,
        )
        if joins is not None:
            found = [_joined(decision, joins) for decision in found]
        started = turn.take(one, timetable, found)
        if started is not None:
            until = max(schedule.decided_until or due_at, due_at)
            moved.append(
                Moved(
                    schedule_id=schedule.id,
                    decided_until=until,
                    next_run_at=next_start(timetable, after=until),
                    last_run_at=started,
                )
            )
    ids = turn.write()
    move_on(db, moved)
    return [
        Fired(decision=decision, execution_id=ids.get((one.schedule.id, decision.due_at)))
        for one, decision in turn.decided
    ]


def join(
    db: Db,
    one: Armed,
    told: Sequence[tuple[datetime, str]],
    *,
    now: datetime,
    standing: Execution,
) -> list[Decision]:
    """Decide on many things that were told of, as `fire` does, where ``standing`` answers all.

    Each is an instant, in order, and why; each has one decision: left to ``standing``, or
    barred. The schedule's row is held.
    """
    schedule, timetable = one.schedule, timetable_of(one.schedule, pause=one.pause)
    first, _ = told[0]
    taken = recorded.taken_for_all_tenants(db, [schedule.id], first).get(schedule.id, first - TICK)
    decisions = []
    for at, why in told:
        taken = max(at, taken + TICK)
        firing = happened(timetable, taken, now)
        (found,) = decide_missed(
            [firing],
            replace(timetable.policies, overlap=Overlap.QUEUE),
            zone=timetable.local,
            now=firing.at,
            active=True,
            waiting=False,
        )
        joined = _joined(found, standing)
        decisions.append(replace(joined, reason=f"{why}; {joined.reason}"))
    recorded.record(db, [(schedule, each) for each in decisions], executions={}, now=now)
    return decisions


def _joined(decision: Decision, standing: Execution) -> Decision:
    """The same, but what would start is left to an execution that stands for it."""
    if not decision.outcome.starts:
        return decision
    return replace(
        decision,
        outcome=Outcome.COLLAPSED,
        cause=Cause.WAITING,
        reason="an execution that has not started yet stands for it",
        into=standing.due_at,
    )


class _Turn:
    """One turn's decisions, gathered, then written together."""

    def __init__(
        self,
        db: Db,
        armed: Sequence[Armed],
        now: datetime,
        *,
        trigger: Trigger = Trigger.SCHEDULED,
        why: str | None = None,
    ) -> None:
        self._db = db
        self._now = now
        self._trigger = trigger
        self._why = why
        syncs = [one.schedule.sync_id for one in armed]
        limited = [one.schedule.tenant_id for one in armed if one.limits.executions_per_hour]
        self._active = Counter(claims.active_for_all_tenants(db, syncs))
        self._breakers = breakers.find_for_all_tenants(db, syncs)
        self._used = Counter(
            executions_since_for_all_tenants(db, limited, now - HOUR) if limited else {}
        )
        self.decided: list[tuple[Armed, Decision]] = []
        self._claimed: list[Claimed] = []
        self._ids: dict[tuple[UUID, datetime], UUID] = {}

    def is_active(self, one: Armed) -> bool:
        """Whether an execution of its sync has not ended."""
        return self._active[one.schedule.sync_id] > 0

    def is_waiting(self, one: Armed) -> bool:
        """Whether another is queued behind that already."""
        return self._active[one.schedule.sync_id] > 1

    def take(self, one: Armed, timetable: Timetable, found: Sequence[Decision]) -> datetime | None:
        """Take a schedule's decisions, as far as breaker and quota let them; the last start."""
        # Quota first: what it refuses must not have been let through as the breaker's probe.
        found = self._past_breaker(one, self._within_quota(one, found))
        starting = [decision for decision in found if decision.outcome.starts]
        if any(decision.outcome is Outcome.CANCEL_RUNNING_AND_RUN for decision in starting):
            self._claim_taken()  # what another schedule of the sync starts in this turn, too
            cancel_before(self._db, one.schedule, now=self._now)
        for decision in starting:
            self._claimed.append(self._claim(one, timetable, decision, found))
        self.decided += ((one, decision) for decision in found)
        self._active[one.schedule.sync_id] += len(starting)
        self._used[one.schedule.tenant_id] += len(starting)
        return starting[-1].due_at if starting else None

    def write(self) -> Mapping[tuple[UUID, datetime], UUID]:
        """Claim what starts, and record everything; the executions by schedule and instant."""
        self._claim_taken()
        decided = [(one.schedule, self._told(decision)) for one, decision in self.decided]
        recorded.record(self._db, decided, executions=self._ids, now=self._now)
        return self._ids

    def _claim_taken(self) -> None:
        self._ids |= claims.claim(self._db, self._claimed, now=self._now)
        self._claimed = []

    def _told(self, decision: Decision) -> Decision:
        """The same, with what happened in its reason."""
        if self._why is None:
            return decision
        on_time = decision.outcome is Outcome.RUN
        return replace(decision, reason=self._why if on_time else f"{self._why}; {decision.reason}")

    def _past_breaker(self, one: Armed, found: Sequence[Decision]) -> Sequence[Decision]:
        breaker = self._breakers.get(one.schedule.sync_id, Breaker())
        if breaker.opened_at is None or not any(each.outcome.starts for each in found):
            return found
        probe = breaker.probe_at or self._now
        failed = f"breaker open: the last {breaker.failures} executions failed"
        if breaker.bars(self._now):
            reason = f"{failed}; the next try is not before {probe:%Y-%m-%d %H:%M} UTC"
            return refused(found, keep=0, cause=Cause.BREAKER, reason=reason)
        if self.is_active(one):
            reason = f"{failed}; the next try follows what has not ended yet"
            return refused(found, keep=0, cause=Cause.BREAKER, reason=reason)
        probing = breaker.probing(one.breaker, self._now)
        breakers.put(self._db, one.schedule.sync_id, probing, tenant_id=one.schedule.tenant_id)
        self._breakers[one.schedule.sync_id] = probing
        reason = f"{failed}; one other is let through as a probe"
        return refused(found, keep=1, cause=Cause.BREAKER, reason=reason)

    def _within_quota(self, one: Armed, found: Sequence[Decision]) -> Sequence[Decision]:
        most = one.limits.executions_per_hour
        if most is None:
            return found
        room = max(most - self._used[one.schedule.tenant_id], 0)
        reason = f"quota: the tenant may have {most} executions an hour, and has had them"
        return refused(found, keep=room, cause=Cause.QUOTA, reason=reason)

    def _claim(
        self, one: Armed, timetable: Timetable, decision: Decision, found: Sequence[Decision]
    ) -> Claimed:
        schedule = one.schedule
        is_late = decision.outcome is Outcome.CATCH_UP
        trigger = Trigger.CATCHUP if is_late else self._trigger
        return Claimed(
            tenant_id=schedule.tenant_id,
            sync_id=schedule.sync_id,
            schedule_id=schedule.id,
            due_at=decision.due_at,
            at=decision.due_at + timetable.offset,
            trigger=trigger,
            priority=PRIORITY[trigger] + _STEP[schedule.policies.priority],
            metadata={
                "reason": self._why or decision.reason,
                "schedule": schedule.name,
                **_missed(decision, found),
            },
        )


def _missed(decision: Decision, found: Sequence[Decision]) -> Mapping[str, Any]:
    """The instants that an execution stands for besides its own."""
    collapsed = [each for each in found if each.into == decision.due_at]
    if not collapsed:
        return {}
    return {
        "missed": {
            "instants": sum(each.count for each in collapsed),
            "first": collapsed[0].first_due_at.isoformat(),
            "last": collapsed[-1].due_at.isoformat(),
        }
    }
