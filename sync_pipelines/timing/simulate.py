"""What would happen: schedules played forward in time with estimated durations.

Law: each firing is decided by ``decisions``, as the dispatcher's are; the simulator
only adds when executions would end. It knows no failures and no limits.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from uuid import UUID

from sync_pipelines.model.cadence import After
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Decision, Outcome, decide_missed
from sync_pipelines.timing.firings import Firing, Timetable, firings, happened

_ENDS, _FIRES = 0, 1


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
        self.waiting: list[tuple[int, _Player]] = []
        self.followers: list[_Player] = []


class _Player:
    """One schedule as it is played, with all that each of its firings would ask for again."""

    def __init__(self, schedule: Simulated, coming: Iterator[Firing], lane: _Lane) -> None:
        timetable = schedule.timetable
        self.timetable = timetable
        self.policies = timetable.policies
        self.zone = timetable.local
        self.sync = schedule.sync
        self.duration = schedule.duration
        self.coming = coming
        self.lane = lane


class _Play:
    """The state of one simulation: a heap of what comes next, ends before firings."""

    def __init__(self, schedules: Sequence[Simulated], *, after: datetime, until: datetime) -> None:
        self._until = until
        self._order = count()
        self._heap: list[tuple[datetime, int, int, _Player, Firing | int]] = []
        self._numbers = count()
        self._found: dict[int, Occurrence] = {}
        self._open: set[int] = set()
        lanes: defaultdict[str, _Lane] = defaultdict(_Lane)
        for schedule in schedules:
            coming = firings(schedule.timetable, after=after, until=until)
            player = _Player(schedule, coming, lanes[schedule.sync])
            self._await(player)
            if (awaited := schedule.waits_for) is not None:
                lanes[awaited].followers.append(player)

    def occurrences(self) -> Iterator[Occurrence]:
        first = 0
        while self._heap:
            at, _, _, player, what = heappop(self._heap)
            if isinstance(what, Firing):
                self._fire(player, what, at)
            else:
                self._end(player.lane, what, at)
            while first in self._found and first not in self._open:
                yield self._found.pop(first)
                first += 1

    def _await(self, player: _Player) -> None:
        firing = next(player.coming, None)
        if firing is not None and firing.cause is not Cause.ENDED:
            heappush(self._heap, (firing.at, _FIRES, next(self._order), player, firing))

    def _fire(self, player: _Player, firing: Firing, now: datetime) -> None:
        lane = player.lane
        (decision,) = decide_missed(
            (firing,),
            player.policies,
            zone=player.zone,
            now=now,
            active=lane.running is not None,
            waiting=bool(lane.waiting),
        )
        number, starts = next(self._numbers), decision.outcome.starts
        is_queued = decision.outcome is Outcome.QUEUED
        starts_now = starts and not is_queued
        end = now + player.duration
        self._found[number] = Occurrence(
            schedule_id=player.timetable.id,
            sync=player.sync,
            decision=decision,
            note=firing.note,
            started_at=now if starts_now else None,
            ended_at=end if starts_now else None,
        )
        if starts:
            self._open.add(number)
        if is_queued:
            lane.waiting.append((number, player))
        elif starts_now:
            if lane.running is not None:
                cut = self._found[lane.running]
                self._found[lane.running] = replace(cut, ended_at=now, is_cancelled=True)
                self._open.discard(lane.running)
            lane.running = number
            self._push_end(end, player, number)
        self._await(player)

    def _push_end(self, at: datetime, player: _Player, number: int) -> None:
        heappush(self._heap, (at, _ENDS, next(self._order), player, number))

    def _end(self, lane: _Lane, number: int, at: datetime) -> None:
        if lane.running != number:
            return  # it was cancelled before
        lane.running = None
        self._open.discard(number)
        if lane.waiting:
            lane.running, player = lane.waiting.pop(0)
            end = at + player.duration
            waited = self._found[lane.running]
            self._found[lane.running] = replace(waited, started_at=at, ended_at=end)
            self._push_end(end, player, lane.running)
        for follower in lane.followers:
            firing = happened(follower.timetable, at, at)
            if firing.at <= self._until:
                heappush(self._heap, (firing.at, _FIRES, next(self._order), follower, firing))


def busy(occurrences: Iterable[Occurrence]) -> Iterator[tuple[datetime, datetime]]:
    """From when to when each execution would run."""
    for occurrence in occurrences:
        if occurrence.started_at is not None and occurrence.ended_at is not None:
            yield occurrence.started_at, occurrence.ended_at
