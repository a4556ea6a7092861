"""What would happen: schedules played forward in time with estimated durations.

Law: each firing is decided by ``decisions``, as the dispatcher's are; the simulator
only adds when executions would end. It knows no failures and no limits.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from uuid import UUID

from sync_pipelines.model.cadence import After
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Decision, Outcome, decide_missed
from sync_pipelines.timing.firings import Firing, Timetable, firing_at, firings


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """One schedule to play: its sync as ``tenant/name``, and how long an execution takes."""

    timetable: Timetable
    sync: str
    duration: timedelta

    @property
    def waits_for(self) -> str | None:
        """The sync whose success starts it."""
        cadence = self.timetable.cadence
        return cadence.key(self.sync.partition("/")[0]) if isinstance(cadence, After) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One firing, what would be decided, and when its execution would run.

    ``started_at`` and ``ended_at`` are None where it starts nothing. ``is_cancelled``
    says that another took its place before it was done.
    """

    schedule_id: UUID
    sync: str
    decision: Decision
    note: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    is_cancelled: bool = False


def simulate(
    schedules: Sequence[Simulated], *, after: datetime, until: datetime
) -> tuple[Occurrence, ...]:
    """Every firing due after ``after`` and at most ``until``, in the order of starts.

    Executions of one sync never overlap, whichever of its schedules they come from.
    A schedule that has ended does nothing more.
    """
    return tuple(play(schedules, after=after, until=until))


def play(
    schedules: Sequence[Simulated], *, after: datetime, until: datetime
) -> Iterator[Occurrence]:
    """The same, one by one, each as soon as it is known when it ended: a year takes no room."""
    return _Play(schedules, after=after, until=until).occurrences()


class _Lane:
    """One sync: what of it runs, and what waits. Numbers are places in the result."""

    def __init__(self) -> None:
        self.running: int | None = None
        self.waiting: list[tuple[int, timedelta]] = []


class _Play:
    """The state of one simulation: a heap of what comes next, ends before firings."""

    def __init__(self, schedules: Sequence[Simulated], *, after: datetime, until: datetime) -> None:
        self._until = until
        self._order = count()
        self._heap: list[tuple[datetime, int, int, Simulated, Firing | int]] = []
        self._coming = {
            schedule.timetable.id: firings(schedule.timetable, after=after, until=until)
            for schedule in schedules
        }
        self._lanes = {schedule.sync: _Lane() for schedule in schedules}
        self._followers: dict[str, list[Simulated]] = {}
        self._numbers = count()
        self._found: dict[int, Occurrence] = {}
        self._open: set[int] = set()
        for schedule in schedules:
            self._await(schedule)
            if (awaited := schedule.waits_for) is not None:
                self._followers.setdefault(awaited, []).append(schedule)

    def occurrences(self) -> Iterator[Occurrence]:
        first = 0
        while self._heap:
            at, _, _, schedule, what = heappop(self._heap)
            if isinstance(what, Firing):
                self._fire(schedule, what, at)
            else:
                self._end(schedule, what, at)
            while first in self._found and first not in self._open:
                yield self._found.pop(first)
                first += 1

    def _push(self, at: datetime, schedule: Simulated, what: Firing | int) -> None:
        kind = 1 if isinstance(what, Firing) else 0
        heappush(self._heap, (at, kind, next(self._order), schedule, what))

    def _await(self, schedule: Simulated) -> None:
        firing = next(self._coming[schedule.timetable.id], None)
        if firing is not None and firing.cause is not Cause.ENDED:
            self._push(firing.at, schedule, firing)

    def _fire(self, schedule: Simulated, firing: Firing, now: datetime) -> None:
        lane = self._lanes[schedule.sync]
        (decision,) = decide_missed(
            [firing],
            schedule.timetable.policies,
            zone=schedule.timetable.local,
            now=now,
            active=lane.running is not None,
            waiting=bool(lane.waiting),
        )
        number = next(self._numbers)
        self._found[number] = Occurrence(
            schedule_id=schedule.timetable.id,
            sync=schedule.sync,
            decision=decision,
            note=firing.note,
        )
        if decision.outcome.starts:
            self._open.add(number)
        if decision.outcome is Outcome.QUEUED:
            lane.waiting.append((number, schedule.duration))
        elif decision.outcome.starts:
            if lane.running is not None:
                cut = self._found[lane.running]
                self._found[lane.running] = replace(cut, ended_at=now, is_cancelled=True)
                self._open.discard(lane.running)
            self._start(lane, schedule, number, now, schedule.duration)
        if schedule.waits_for is None:
            self._await(schedule)

    def _start(
        self, lane: _Lane, schedule: Simulated, number: int, at: datetime, duration: timedelta
    ) -> None:
        lane.running = number
        end = at + duration
        self._found[number] = replace(self._found[number], started_at=at, ended_at=end)
        self._push(end, schedule, number)

    def _end(self, schedule: Simulated, number: int, at: datetime) -> None:
        lane = self._lanes[schedule.sync]
        if lane.running != number:
            return  # it was cancelled before
        lane.running = None
        self._open.discard(number)
        if lane.waiting:
            following, duration = lane.waiting.pop(0)
            self._start(lane, schedule, following, at, duration)
        for follower in self._followers.get(schedule.sync, ()):
            firing = firing_at(follower.timetable, at)
            start = max(at, firing.at)
            if start <= self._until:
                self._push(start, follower, replace(firing, at=start))


def busy(occurrences: Iterable[Occurrence]) -> Iterator[tuple[datetime, datetime]]:
    """From when to when each execution would run."""
    for occurrence in occurrences:
        if occurrence.started_at is not None and occurrence.ended_at is not None:
            yield occurrence.started_at, occurrence.ended_at
