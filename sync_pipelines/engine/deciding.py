"""Decides on due instants, records every decision, and claims what starts.

Laws:

* An instant has one decision, recorded in the transaction that claims its execution.
* A decision is made by ``timing.decisions`` alone; here it is only refused, where the
  sync's breaker is open or the tenant has used up its hour.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from sync_pipelines.model.execution import PRIORITY, Trigger
from sync_pipelines.model.policy import Priority
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Decision, Outcome, decide, decide_missed, refused
from sync_pipelines.timing.firings import Timetable, firing_at

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
    claimed = turn.write()
    move_on(db, moved)
    return claimed


def decide_before_change(db: Db, schedule_ids: Sequence[UUID], now: datetime) -> None:
    """Hold schedules, and decide on everything due of them as they stand before a change."""
    decide_up_to(db, lock_armed_for_all_tenants(db, schedule_ids), now)


def fire(db: Db, armed: Sequence[Armed], at: datetime, *, trigger: Trigger, why: str) -> int:
    """Let schedules that no clock drives fire for what happened ``at``; how many start.

    ``why`` says what happened. Their rows are held.
    """
    turn = _Turn(db, armed, at, trigger=trigger, why=why)
    for one in armed:
        timetable = timetable_of(one.schedule, pause=one.pause)
        found = decide_missed(
            [firing_at(timetable, at)],
            timetable.policies,
            zone=timetable.local,
            now=at,
            active=turn.is_active(one),
            waiting=turn.is_waiting(one),
        )
        turn.take(one, timetable, found)
    return turn.write()


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
        self._decided: list[tuple[Armed, Decision]] = []
        self._claimed: list[Claimed] = []

    def is_active(self, one: Armed) -> bool:
        """Whether an execution of its sync has not ended."""
        return self._active[one.schedule.sync_id] > 0

    def is_waiting(self, one: Armed) -> bool:
        """Whether another is queued behind that already."""
        return self._active[one.schedule.sync_id] > 1

    def take(self, one: Armed, timetable: Timetable, found: Sequence[Decision]) -> datetime | None:
        """Take a schedule's decisions, as far as breaker and quota let them; the last start."""
        found = self._within_quota(one, self._past_breaker(one, found))
        starting = [decision for decision in found if decision.outcome.starts]
        for decision in starting:
            if decision.outcome is Outcome.CANCEL_RUNNING_AND_RUN:
                cancel_before(self._db, one.schedule, now=self._now)
            self._claimed.append(self._claim(one, timetable, decision, found))
        self._decided += ((one, decision) for decision in found)
        self._active[one.schedule.sync_id] += len(starting)
        self._used[one.schedule.tenant_id] += len(starting)
        return starting[-1].due_at if starting else None

    def write(self) -> int:
        """Claim what starts, and record everything; how many were claimed."""
        ids = claims.claim(self._db, self._claimed, now=self._now)
        decided = [(one.schedule, decision) for one, decision in self._decided]
        recorded.record(self._db, decided, executions=ids, now=self._now)
        return len(ids)

    def _past_breaker(self, one: Armed, found: Sequence[Decision]) -> Sequence[Decision]:
        breaker = self._breakers.get(one.schedule.sync_id, Breaker())
        if breaker.opened_at is None or not any(each.outcome.starts for each in found):
            return found
        probe = breaker.probe_at or self._now
        failed = f"breaker open: the last {breaker.failures} executions failed"
        if breaker.bars(self._now):
            reason = f"{failed}; the next try is not before {probe:%Y-%m-%d %H:%M} UTC"
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
