"""The firings of one schedule: its cadence's instants under its policies.

Laws:

* A firing is known by ``due_at``, the instant its cadence names, and asked for by it.
  ``at`` is when it may really start: the two are a constant apart, so that a spread
  never changes the order of a schedule's firings.
* Whether it may start is judged at ``at``.
* A year of firings costs about as much as its days, not as its firings: what shares a
  fate is counted, not listed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from uuid import UUID

from sync_pipelines.model.cadence import Cadence, ClockChange
from sync_pipelines.model.policy import MissedPolicy, Policies
from sync_pipelines.timing.bars import TICK, Bar, Cause, Piece, bar_at, pieces
from sync_pipelines.timing.counting import count, latest
from sync_pipelines.timing.instants import horizon, instants, next_instant
from sync_pipelines.timing.notes import noted
from sync_pipelines.timing.zones import Zone, find_zone

FEW = 50
"""So many firings are listed one by one, whatever becomes of them."""

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """All that says when one schedule fires; ``id`` is the schedule's."""

    id: UUID
    cadence: Cadence
    zone: str
    clock_change: ClockChange = field(default_factory=ClockChange)
    policies: Policies = field(default_factory=Policies)
    anchor: datetime

    @property
    def local(self) -> Zone:
        """Its zone, as clocks know it."""
        return find_zone(self.zone)

    @property
    def offset(self) -> timedelta:
        """How much later than due it starts, or earlier: whole minutes within its spread."""
        minutes = self.policies.spread // _MINUTE
        if not minutes:
            return timedelta(0)
        drawn = int.from_bytes(sha256(self.id.bytes).digest()[:8])
        return (drawn % (2 * minutes + 1) - minutes) * _MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A firing, or ``count`` of them in a row, from ``first_due_at`` on, that share a fate.

    ``cause`` and ``reason`` say why it may not start; both are None where it may.
    ``note`` says what clocks do on its day, if anything.
    """

    due_at: datetime
    at: datetime
    cause: Cause | None = None
    reason: str | None = None
    note: str | None = None
    first_due_at: datetime
    count: int = 1

    @property
    def fires(self) -> bool:
        """Whether policies let it start."""
        return self.cause is None


def firings(timetable: Timetable, *, after: datetime, until: datetime) -> Iterator[Firing]:
    """Every firing due after ``after`` and at most ``until``, in order, with its note."""
    found = noted(
        timetable.cadence,
        timetable.zone,
        timetable.clock_change,
        after=after,
        until=until,
        anchor=timetable.anchor,
    )
    offset = timetable.offset
    barred = pieces(timetable.policies, timetable.local, after=after + offset, until=until + offset)
    piece: Piece | None = None
    for due_at, note in found:
        at = due_at + offset
        while piece is None or piece.until < at:
            piece = next(barred)
        bar = piece.bar
        yield Firing(
            due_at=due_at,
            at=at,
            cause=bar.cause if bar else None,
            reason=bar.reason if bar else None,
            note=note,
            first_due_at=due_at,
        )


def firing_at(timetable: Timetable, due_at: datetime) -> Firing:
    """The firing of an instant, be it one of the cadence's or an event's."""
    at = due_at + timetable.offset
    return _single(timetable, due_at, bar_at(timetable.policies, timetable.local, at))


def happened(timetable: Timetable, due_at: datetime, now: datetime) -> Firing:
    """The firing of what has happened, of an event's or a follower's: a spread only delays it.

    It may start at ``now`` at the earliest, and whether it may is judged by when it would.
    """
    start = max(due_at + timetable.offset, now)
    firing = firing_at(timetable, start - timetable.offset)
    return replace(firing, due_at=due_at, first_due_at=due_at)


def next_firing(timetable: Timetable, *, after: datetime) -> Firing | None:
    """The first firing due after ``after``, whether it may start or not.

    None where no clock drives the schedule, and once it has ended.
    """
    due_at = next_instant(
        timetable.cadence,
        timetable.zone,
        timetable.clock_change,
        after=after,
        anchor=timetable.anchor,
    )
    if due_at is None:
        return None
    found = firing_at(timetable, due_at)
    return None if found.cause is Cause.ENDED else found


def starts(
    timetable: Timetable, *, after: datetime, until: datetime | None = None
) -> Iterator[Firing]:
    """The firings due after ``after`` that may start, in order; what may not costs nothing."""
    offset = timetable.offset
    end = (horizon(after) if until is None else until) + offset
    found = pieces(timetable.policies, timetable.local, after=after + offset, until=end)
    for piece in found:
        if piece.bar is not None:
            continue
        for due_at in _instants(timetable, piece.after - offset, piece.until - offset):
            yield _single(timetable, due_at, None)


def upcoming(timetable: Timetable, *, after: datetime, count: int = 5) -> tuple[Firing, ...]:
    """The next ``count`` firings that may start, with their notes; fewer if there are no more."""
    found: list[Firing] = []
    for firing in islice(starts(timetable, after=after), count):
        before = _latest(timetable, after, firing.due_at - TICK, most=1)
        low = before[-1] if before else after
        (noticed,) = firings(timetable, after=low, until=firing.due_at)
        found.append(noticed)
    return tuple(found)


def due(timetable: Timetable, *, after: datetime, now: datetime) -> tuple[Firing, ...]:
    """What may start at or before ``now`` and was due after ``after``, oldest first.

    Those that could yet start, of the latest, come one by one; all others may come as
    one for many.
    """
    until = now - timetable.offset
    few = tuple(islice(_instants(timetable, after, until), FEW + 1))
    if len(few) <= FEW:
        return tuple(firing_at(timetable, due_at) for due_at in few)
    missed = timetable.policies.missed
    cut = after
    if missed.window is not None:
        cut = max(after, until - missed.window - TICK)
    old, recent = _runs(timetable, after, cut), _runs(timetable, cut, until)
    wanted = missed.most + 1 if missed.policy is MissedPolicy.ALL else 1
    return (*old, *_latest_singled(timetable, tuple(recent), wanted))


def _runs(timetable: Timetable, after: datetime, until: datetime) -> Iterator[Firing]:
    """Firings, with all in a row that share a bar, or have none, as one."""
    offset = timetable.offset
    parts: list[tuple[datetime, datetime, int]] = []
    bar: Bar | None = None
    found = pieces(timetable.policies, timetable.local, after=after + offset, until=until + offset)
    for piece in found:
        low, high = piece.after - offset, piece.until - offset
        number = _count(timetable, low, high)
        if not number:
            continue
        if parts and piece.bar != bar:
            yield _run(timetable, parts, bar)
            parts = []
        parts.append((low, high, number))
        bar = piece.bar
    if parts:
        yield _run(timetable, parts, bar)


def _run(
    timetable: Timetable, parts: Sequence[tuple[datetime, datetime, int]], bar: Bar | None
) -> Firing:
    low, high, _ = parts[0]
    first = next(_instants(timetable, low, high))
    low, high, _ = parts[-1]
    (last,) = _latest(timetable, low, high, most=1)
    run = _single(timetable, last, bar)
    return replace(run, first_due_at=first, count=sum(number for _, _, number in parts))


def _latest_singled(
    timetable: Timetable, runs: Sequence[Firing], wanted: int
) -> tuple[Firing, ...]:
    """The same firings, of which the last ``wanted`` that may start stand alone."""
    backwards: list[Firing] = []
    for run in reversed(runs):
        taken = min(wanted, run.count) if run.fires else 0
        wanted -= taken
        if not taken:
            backwards.append(run)
            continue
        last = _latest(timetable, run.first_due_at - TICK, run.due_at, most=taken + 1)
        backwards += (_single(timetable, due_at, None) for due_at in reversed(last[-taken:]))
        if taken < run.count:
            rest = _single(timetable, last[0], None)
            backwards.append(replace(rest, first_due_at=run.first_due_at, count=run.count - taken))
    return tuple(reversed(backwards))


def _single(timetable: Timetable, due_at: datetime, bar: Bar | None) -> Firing:
    return Firing(
        due_at=due_at,
        at=due_at + timetable.offset,
        cause=bar.cause if bar else None,
        reason=bar.reason if bar else None,
        first_due_at=due_at,
    )


def _instants(timetable: Timetable, after: datetime, until: datetime) -> Iterator[datetime]:
    return instants(
        timetable.cadence,
        timetable.zone,
        timetable.clock_change,
        after=after,
        until=until,
        anchor=timetable.anchor,
    )


def _count(timetable: Timetable, after: datetime, until: datetime) -> int:
    return count(
        timetable.cadence,
        timetable.zone,
        timetable.clock_change,
        after=after,
        until=until,
        anchor=timetable.anchor,
    )


def _latest(
    timetable: Timetable, after: datetime, until: datetime, *, most: int
) -> tuple[datetime, ...]:
    return latest(
        timetable.cadence,
        timetable.zone,
        timetable.clock_change,
        after=after,
        until=until,
        anchor=timetable.anchor,
        most=most,
    )
