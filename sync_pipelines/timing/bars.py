"""When a schedule's policies let nothing start: before it begins, after it ends, in a
pause, in a blackout.

Law: ``bar_at`` alone decides. ``pieces`` only tells where its answer may change, so
that a year can be judged without looking at every instant in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from sync_pipelines.model.blackout import DateBlackout
from sync_pipelines.model.policy import Policies
from sync_pipelines.timing.zones import shift_between, start_of

TICK = timedelta.resolution
_DAY = timedelta(days=1)
_MIDNIGHT = time()


class Cause(StrEnum):
    """Why a firing starts nothing of its own."""

    NOT_STARTED = "not_started"
    ENDED = "ended"
    PAUSED = "paused"
    BLACKOUT = "blackout"
    MISSED = "missed"
    TOO_OLD = "too_old"
    TOO_MANY = "too_many"
    OVERLAP = "overlap"
    WAITING = "waiting"
    BREAKER = "breaker"
    QUOTA = "quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What stands in the way, for machines and in words."""

    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of time, after ``after`` up to and with ``until``, that one bar covers, or none."""

    after: datetime
    until: datetime
    bar: Bar | None


def bar_at(policies: Policies, zone: ZoneInfo, at: datetime) -> Bar | None:
    """What keeps anything from starting at that instant; None if nothing does."""
    if policies.ends_at is not None and at >= policies.ends_at:
        return _bar(Cause.ENDED, f"the schedule ended on {_local(policies.ends_at, zone)}")
    if policies.starts_at is not None and at < policies.starts_at:
        return _bar(
            Cause.NOT_STARTED, f"it does not begin before {_local(policies.starts_at, zone)}"
        )
    if (pause := policies.pause) is not None:
        if pause.until is None:
            return _bar(Cause.PAUSED, f"paused: {pause.reason}")
        if at < pause.until:
            return _bar(Cause.PAUSED, f"paused until {_local(pause.until, zone)}: {pause.reason}")
    if policies.blackouts:
        wall = at.astimezone(zone).replace(tzinfo=None)
        for blackout in policies.blackouts:
            if blackout.covers(wall):
                return _bar(Cause.BLACKOUT, f"blackout: {blackout}")
    return None


def pieces(
    policies: Policies, zone: ZoneInfo, *, after: datetime, until: datetime
) -> Iterator[Piece]:
    """The time after ``after`` up to and with ``until``, in order, in as few pieces as can be."""
    current: Piece | None = None
    start = after + TICK
    while start <= until:
        bar = bar_at(policies, zone, start)
        change = _next_change(policies, zone, start, bar)
        end = until if change is None else min(change - TICK, until)
        if current is not None and current.bar == bar:
            current = Piece(after=current.after, until=end, bar=bar)
        else:
            if current is not None:
                yield current
            current = Piece(after=start - TICK, until=end, bar=bar)
        start = end + TICK
    if current is not None:
        yield current


def _next_change(
    policies: Policies, zone: ZoneInfo, at: datetime, bar: Bar | None
) -> datetime | None:
    """An instant before which the answer stays ``bar``, as it is at ``at``; None if it stays so.

    Blackouts change nothing where a bar that comes before them stands.
    """
    pause_until = policies.pause.until if policies.pause else None
    fixed = (policies.starts_at, policies.ends_at, pause_until)
    changes = [change for change in fixed if change is not None and change > at]
    if policies.blackouts and (bar is None or bar.cause is Cause.BLACKOUT):
        edge = _next_edge(policies, zone, at)
        if edge is not None:
            changes.append(edge)
    return min(changes, default=None)


def _next_edge(policies: Policies, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The next edge of any blackout, midnight, or clock change: whichever is first.

    Dates that are far away are gone to at once, and None says that all lie behind: a
    schedule must not pay for each day since a Christmas long past.
    """
    wall = at.astimezone(zone).replace(tzinfo=None)
    dates = [each for each in policies.blackouts if isinstance(each, DateBlackout)]
    if len(dates) == len(policies.blackouts):
        turns = [day for each in dates for day in (each.first_on, _after(each.last_on))]
        if all(abs(day - wall.date()) > 2 * _DAY for day in turns):
            coming = min((day for day in turns if day > wall.date()), default=None)
            return None if coming is None else start_of(coming - _DAY, zone)
    edges = [datetime.combine(wall.date() + _DAY, _MIDNIGHT)]
    for blackout in policies.blackouts:
        edges += (datetime.combine(wall.date(), edge) for edge in blackout.edges)
    target = at + (min(edge for edge in edges if edge > wall) - wall)
    shift = shift_between(at, target, zone)
    return shift.at if shift else target


def _after(day: date) -> date:
    return min(day, date.max - _DAY) + _DAY


def _bar(cause: Cause, reason: str) -> Bar:
    return Bar(cause=cause, reason=reason)


def _local(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
