"""What becomes of each firing that is due: one decision for every instant, and why.

Laws:

* Every firing that is due has exactly one decision. One decision may stand for many
  in a row, never when something starts.
* Nothing starts at a moment that policies bar, however long ago it was due.
* At most one firing is on time: the latest. All others that are due were missed.

The dispatcher and the simulator both decide here, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from sync_pipelines.model.policy import ON_TIME, MissedPolicy, Overlap, Policies
from sync_pipelines.timing.bars import Bar, Cause, bar_at
from sync_pipelines.timing.firings import Firing, Timetable, due


class Outcome(StrEnum):
    """What was decided on a firing."""

    RUN = "run"
    CATCH_UP = "catch_up"
    QUEUED = "queued"
    CANCEL_RUNNING_AND_RUN = "cancel_running_and_run"
    COLLAPSED = "collapsed"
    SKIPPED = "skipped"

    @property
    def starts(self) -> bool:
        """Whether it makes an execution, now or as soon as the one before has ended."""
        return self is not Outcome.COLLAPSED and self is not Outcome.SKIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a firing, or of ``count`` in a row from ``first_due_at`` to ``due_at``.

    ``into`` is the firing whose execution stands for those that were collapsed.
    ``cause`` is None for an ordinary start.
    """

    due_at: datetime
    first_due_at: datetime
    count: int = 1
    outcome: Outcome
    reason: str
    cause: Cause | None = None
    into: datetime | None = None


def decide(
    timetable: Timetable,
    *,
    after: datetime,
    now: datetime,
    active: bool,
    waiting: bool = False,
) -> tuple[Decision, ...]:
    """Decide on everything due at ``now`` and not yet at ``after``, the last one decided on.

    ``active`` is whether an execution of the sync has not ended; ``waiting``, whether
    another is queued behind it already.
    """
    return decide_missed(
        due(timetable, after=after, now=now),
        timetable.policies,
        zone=timetable.local,
        now=now,
        active=active,
        waiting=waiting,
    )


def decide_missed(
    due: Sequence[Firing],
    policies: Policies,
    *,
    zone: ZoneInfo,
    now: datetime,
    active: bool,
    waiting: bool = False,
) -> tuple[Decision, ...]:
    """One decision for each of the firings that are due at ``now``, oldest first."""
    if len(due) == 1 and due[0].at == now and due[0].count == 1:
        # What bars this moment has been asked already: it is what bars the firing.
        (only,) = due
        if only.fires:
            return (_head(only, policies, now, active, waiting),)
        return (_left_out(only, policies, now, None, None),)
    able = [firing for firing in due if firing.fires]
    bar = bar_at(policies, zone, now)
    chosen = () if bar else _chosen(able, policies, now)
    for firing in chosen:
        if firing.count != 1:
            raise ValueError(f"{firing.count} firings cannot start as one; take them from due()")
    head = _head(chosen[-1], policies, now, active, waiting) if chosen else None
    starting = {firing.due_at for firing in chosen}
    decisions: list[Decision] = []
    for firing in due:
        if head is not None and firing.due_at == head.due_at:
            decisions.append(head)
        elif firing.due_at in starting:
            reason = "missed; each of the latest is caught up, one after another"
            decisions.append(_decision(firing, Outcome.CATCH_UP, reason))
        else:
            decisions.append(_left_out(firing, policies, now, bar, head))
    return _together(decisions)


def refused(
    decisions: Sequence[Decision], *, keep: int, cause: Cause, reason: str
) -> tuple[Decision, ...]:
    """The same, but only the latest ``keep`` that start something still do.

    Those that were collapsed into one that does not are skipped with it.
    """
    starting = [decision.due_at for decision in decisions if decision.outcome.starts]
    dropped = set(starting[: max(len(starting) - keep, 0)])
    if not dropped:
        return tuple(decisions)
    return _together(
        [
            replace(decision, outcome=Outcome.SKIPPED, cause=cause, reason=reason, into=None)
            if decision.due_at in dropped or decision.into in dropped
            else decision
            for decision in decisions
        ]
    )


def _chosen(able: Sequence[Firing], policies: Policies, now: datetime) -> Sequence[Firing]:
    """Those that start, or would if none ran already; the latest is last."""
    if not able:
        return ()
    current = able[-1:] if now - able[-1].at <= ON_TIME else []
    missed = [
        firing for firing in able[: len(able) - len(current)] if not _old(firing, policies, now)
    ]
    match policies.missed.policy:
        case MissedPolicy.ONCE:
            return current or missed[-1:]
        case MissedPolicy.ALL:
            return [*missed[-policies.missed.most :], *current]
        case MissedPolicy.SKIP:
            return current


def _head(
    firing: Firing, policies: Policies, now: datetime, active: bool, waiting: bool
) -> Decision:
    """The decision on the latest that starts: the one that meets an execution not ended."""
    is_late = now - firing.at > ON_TIME
    if is_late and policies.missed.policy is MissedPolicy.ALL:
        reason = "missed; each of the latest is caught up, one after another"
        return _decision(firing, Outcome.CATCH_UP, reason)
    if not active:
        if is_late:
            return _decision(firing, Outcome.CATCH_UP, "missed; caught up once for all")
        return _decision(firing, Outcome.RUN, "on time")
    match policies.overlap:
        case Overlap.SKIP:
            return _decision(firing, Outcome.SKIPPED, _OVERLAPS, Cause.OVERLAP)
        case Overlap.QUEUE if waiting:
            reason = "an execution waits already behind the one that runs; it stands for this too"
            return _decision(firing, Outcome.COLLAPSED, reason, Cause.WAITING)
        case Overlap.QUEUE:
            reason = "waits for the execution before it to end"
            return _decision(firing, Outcome.QUEUED, reason)
        case Overlap.CANCEL:
            reason = "the execution before it had not ended and is cancelled"
            return _decision(firing, Outcome.CANCEL_RUNNING_AND_RUN, reason)


def _left_out(
    firing: Firing, policies: Policies, now: datetime, bar: Bar | None, head: Decision | None
) -> Decision:
    """The decision on a firing that starts nothing of its own."""
    if firing.cause is not None and firing.reason is not None:
        return _decision(firing, Outcome.SKIPPED, firing.reason, firing.cause)
    if bar is not None:
        reason = f"missed, and cannot be caught up now; {bar.reason}"
        return _decision(firing, Outcome.SKIPPED, reason, bar.cause)
    if _old(firing, policies, now):
        reason = "missed longer ago than the window in which it would be caught up"
        return _decision(firing, Outcome.SKIPPED, reason, Cause.TOO_OLD)
    if policies.missed.policy is MissedPolicy.ALL:
        reason = f"missed; only the latest {policies.missed.most} are caught up"
        return _decision(firing, Outcome.SKIPPED, reason, Cause.TOO_MANY)
    if policies.missed.policy is MissedPolicy.SKIP or head is None:
        reason = "missed, and its policy is to skip what was missed"
        return _decision(firing, Outcome.SKIPPED, reason, Cause.MISSED)
    if head.cause is Cause.OVERLAP:
        return _decision(firing, Outcome.SKIPPED, _OVERLAPS, Cause.OVERLAP)
    reason = "missed; one execution stands for all that were"
    found = _decision(firing, Outcome.COLLAPSED, reason, head.cause or Cause.MISSED)
    return replace(found, into=head.due_at if head.outcome.starts else None)


def _old(firing: Firing, policies: Policies, now: datetime) -> bool:
    window = policies.missed.window
    return window is not None and now - firing.at > window


def _decision(
    firing: Firing, outcome: Outcome, reason: str, cause: Cause | None = None
) -> Decision:
    return Decision(
        due_at=firing.due_at,
        first_due_at=firing.first_due_at,
        count=firing.count,
        outcome=outcome,
        reason=reason,
        cause=cause,
    )


def _together(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Those in a row that say the same as one, except starts."""
    merged: list[Decision] = []
    for decision in decisions:
        before = merged[-1] if merged else None
        if before is None or decision.outcome.starts or _fate(before) != _fate(decision):
            merged.append(decision)
            continue
        merged[-1] = replace(
            decision, first_due_at=before.first_due_at, count=before.count + decision.count
        )
    return tuple(merged)


def _fate(decision: Decision) -> tuple[object, ...]:
    return (decision.outcome, decision.cause, decision.reason, decision.into)


_OVERLAPS = "overlap: the execution before it had not ended"
