"""The instants at which a cadence fires.

Laws:

* Instants are aware, in UTC, and strictly increasing.
* They depend on the cadence, zone, rules and anchor alone: an interval asked for in
  two parts gives what the whole gives. Nothing reads a clock.
* A wall time fires as the clock-change rules say: by default once a day, right after
  the gap when it does not exist, at the first of two when it happens twice.
* What keeps going follows real time through a clock change.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from heapq import merge
from zoneinfo import ZoneInfo

from sync_pipelines.model.cadence import Adaptive, Cadence, ClockChange, Doubled, Every, Missing
from sync_pipelines.timing.patterns import KeepGoing, WallTimes, pattern_of
from sync_pipelines.timing.zones import find_zone, instant_of, is_plain, shift_between, start_of

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_TICK = timedelta.resolution
# No day of the calendar is rarer than a 29 February on a given weekday around 2100.
_HORIZON = timedelta(days=366 * 50)
_MANY = 4
"""So many times of one day are worth a look whether clocks run evenly on it."""

_END = datetime(9999, 12, 1, tzinfo=UTC)


def instants(
    cadence: Cadence,
    zone: str,
    rules: ClockChange,
    *,
    after: datetime,
    until: datetime,
    anchor: datetime,
) -> Iterator[datetime]:
    """Every instant strictly after ``after`` and at most ``until``, in order.

    ``zone`` is an IANA name. ``anchor`` is what ``Every`` counts from: it fires there
    and at each interval after it. An adaptive cadence fires at its least interval here;
    ``timing.adaptive`` makes an ``Every`` of it as soon as there is something to go by.
    What no clock drives has no instants.
    """
    for name, moment in (("after", after), ("until", until), ("anchor", anchor)):
        if moment.tzinfo is None:
            raise ValueError(f"{name} {moment.isoformat()} has no zone; times must be aware")
    after, until = after.astimezone(UTC), min(until.astimezone(UTC), _END)
    if isinstance(cadence, Every | Adaptive):
        step = interval_of(cadence)
        return _every(step, after=after, until=until, anchor=anchor.astimezone(UTC))
    pattern = pattern_of(cadence)
    if pattern is None:
        return iter(())
    local = find_zone(zone)
    if isinstance(pattern, KeepGoing):
        return _keep_going(pattern, local, after, until)
    return _wall_times(pattern, local, rules, after=after, until=until)


def next_instant(
    cadence: Cadence, zone: str, rules: ClockChange, *, after: datetime, anchor: datetime
) -> datetime | None:
    """The first instant strictly after ``after``; None where no clock drives the cadence."""
    found = instants(cadence, zone, rules, after=after, until=horizon(after), anchor=anchor)
    return next(found, None)


def interval_of(cadence: Every | Adaptive) -> timedelta:
    """The real time from one firing to the next."""
    return timedelta(minutes=cadence.minutes if isinstance(cadence, Every) else cadence.least)


def horizon(after: datetime) -> datetime:
    """How far ahead of ``after`` it makes sense to look for an instant."""
    return after + _HORIZON if after.year < _END.year - 51 else _END


def _every(
    step: timedelta, *, after: datetime, until: datetime, anchor: datetime
) -> Iterator[datetime]:
    first = 0 if after < anchor else (after - anchor) // step + 1
    for number in range(first, (until - anchor) // step + 1):
        yield anchor + number * step


def _wall_times(
    pattern: WallTimes, zone: ZoneInfo, rules: ClockChange, *, after: datetime, until: datetime
) -> Iterator[datetime]:
    if rules.doubled is not Doubled.BOTH:
        second = rules.doubled is Doubled.SECOND
        yield from _once_each(pattern, zone, rules.missing, second, after, until)
        return
    last = after
    firsts = _once_each(pattern, zone, rules.missing, False, after, until)
    seconds = _once_each(pattern, zone, rules.missing, True, after, until)
    for at in merge(firsts, seconds):
        if at > last:
            yield at
            last = at


def _once_each(
    pattern: WallTimes,
    zone: ZoneInfo,
    missing: Missing,
    second: bool,
    after: datetime,
    until: datetime,
) -> Iterator[datetime]:
    start = _first_wall(after, zone)
    last = after
    for day in pattern.days.since(start.date()):
        skipped = bisect_right(pattern.times, start.time()) if day == start.date() else 0
        for instant in _of_day(pattern.times, skipped, day, zone, missing, second):
            if instant is None or instant <= last:
                continue
            if instant > until:
                return
            yield instant
            last = instant


def _of_day(
    times: tuple[time, ...], first: int, day: date, zone: ZoneInfo, missing: Missing, second: bool
) -> Iterator[datetime | None]:
    """The instants of a day's times from ``first`` on; None where a rule leaves one out."""
    if len(times) >= _MANY:
        start = datetime.combine(day, time(), zone).astimezone(UTC)
        if is_plain(zone, start, start + _DAY):
            return (start + reading for reading in _since_midnight(times)[first:])
    walls = (datetime.combine(day, at, zone) for at in times[first:])
    return (instant_of(wall, second=second, missing=missing) for wall in walls)


@lru_cache(maxsize=1024)
def _since_midnight(times: tuple[time, ...]) -> tuple[timedelta, ...]:
    return tuple(timedelta(hours=at.hour, minutes=at.minute) for at in times)


def _first_wall(after: datetime, zone: ZoneInfo) -> datetime:
    """A wall time such that no other up to it, itself included, can come after ``after``.

    It is what the clock shows, unless the clock is set back soon: then those of the
    last day may come again.
    """
    wall = after.astimezone(zone)
    if wall.utcoffset() == (after + _DAY).astimezone(zone).utcoffset():
        return wall.replace(tzinfo=None)
    return wall.replace(tzinfo=None) - _DAY


def _keep_going(
    pattern: KeepGoing, zone: ZoneInfo, after: datetime, until: datetime
) -> Iterator[datetime]:
    """Real minutes at which the clock shows what the pattern asks for.

    Walks from reading to reading under the offset of the moment, and starts afresh at
    every clock change, because there the next reading is another. Far from any, a day is
    taken as a whole.
    """
    now = after + _TICK
    while now <= until:
        wall = now.astimezone(zone)
        if wall.date() not in pattern.days:
            now = _to_next_day(pattern, zone, now)
            continue
        passed = wall.replace(tzinfo=None) - datetime.combine(wall.date(), time())
        start = now - passed
        if is_plain(zone, start, start + _DAY):
            times = _readings(pattern.minutes)
            for at in times[bisect_left(times, passed) :]:
                if start + at > until:
                    return
                yield start + at
            now = start + _DAY
            continue
        reading, fires = _next_reading(pattern.minutes, wall)
        target = now + (reading - wall)
        shift = shift_between(now, target, zone)
        if shift is not None:
            now = shift.at
        elif not fires:
            now = target
        else:
            if target <= until and not _is_double(pattern, target.astimezone(zone)):
                yield target
            now = target + _TICK


@lru_cache(maxsize=1024)
def _readings(minutes: tuple[int, ...]) -> tuple[timedelta, ...]:
    """All of a day, since its midnight."""
    return tuple(timedelta(hours=hour, minutes=minute) for hour in range(24) for minute in minutes)


def _next_reading(minutes: tuple[int, ...], wall: datetime) -> tuple[datetime, bool]:
    """The next wall time to look at, today or at midnight, and whether it fires."""
    hour = wall.replace(minute=0, second=0, microsecond=0)
    past = wall.minute if wall == wall.replace(second=0, microsecond=0) else wall.minute + 1
    index = bisect_left(minutes, past)
    if index < len(minutes):
        return hour + minutes[index] * _MINUTE, True
    if hour.hour == 23:
        return hour + _HOUR, False
    return hour + _HOUR + minutes[0] * _MINUTE, True


def _to_next_day(pattern: KeepGoing, zone: ZoneInfo, now: datetime) -> datetime:
    """Where to go on from a day without firings.

    A clock set back soon after midnight returns to the day before (St. John's did, at
    00:01): so the way out of a day that had firings stops at a clock change.
    """
    wall = now.astimezone(zone)
    if wall.date() - _DAY not in pattern.days:
        start = next((start_of(day, zone) for day in pattern.days.since(wall.date())), _END)
        if start > now:
            return start
    midnight = datetime.combine(wall.date() + _DAY, time(), zone)
    target = now + (midnight - wall)
    shift = shift_between(now, target, zone)
    return shift.at if shift else target


def _is_double(pattern: KeepGoing, wall: datetime) -> bool:
    """Whether a clock set back shows again what has just fired, sooner than it should.

    After a whole hour, the next firing is due anyway. After Lord Howe's half hour, an
    hourly one is not.
    """
    if not wall.fold:
        return False
    first, second = wall.replace(fold=0).utcoffset(), wall.utcoffset()
    assert first is not None and second is not None
    return first - second < pattern.least_spacing
