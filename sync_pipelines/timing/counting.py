"""How many instants there are in a long time, without making each of them.

Law: ``count`` is the number that ``instants`` gives, and ``latest`` are its last.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from sync_pipelines.model.cadence import Adaptive, Cadence, ClockChange, Every
from sync_pipelines.timing.instants import instants, interval_of
from sync_pipelines.timing.patterns import Days, KeepGoing, Pattern, pattern_of
from sync_pipelines.timing.zones import find_zone, is_plain

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


def count(
    cadence: Cadence,
    zone: str,
    rules: ClockChange,
    *,
    after: datetime,
    until: datetime,
    anchor: datetime,
) -> int:
    """How many instants are strictly after ``after`` and at most ``until``."""
    if isinstance(cadence, Every | Adaptive):
        return _count_every(interval_of(cadence), after, until, anchor)
    pattern = pattern_of(cadence)
    if pattern is None:
        return 0
    local, total = find_zone(zone), 0
    for low, high, runs_evenly in _stretches(local, after, until):
        if runs_evenly:
            total += _count_walls(pattern, local, low, high)
        else:
            found = instants(cadence, zone, rules, after=low, until=high, anchor=anchor)
            total += sum(1 for _ in found)
    return total


def latest(
    cadence: Cadence,
    zone: str,
    rules: ClockChange,
    *,
    after: datetime,
    until: datetime,
    anchor: datetime,
    most: int,
) -> tuple[datetime, ...]:
    """The last ``most`` instants after ``after`` and at most ``until``, in order."""
    width = _HOUR
    while True:
        low = max(after, until - width) if until - after > width else after
        number = count(cadence, zone, rules, after=low, until=until, anchor=anchor)
        if number >= most or low == after:
            found = instants(cadence, zone, rules, after=low, until=until, anchor=anchor)
            return tuple(islice(found, max(0, number - most), None))
        width *= 6


def _count_every(step: timedelta, after: datetime, until: datetime, anchor: datetime) -> int:
    first = 0 if after < anchor else (after - anchor) // step + 1
    return max(0, (until - anchor) // step - first + 1)


def _stretches(
    zone: ZoneInfo, after: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime, bool]]:
    """The time in parts, each with whether it is plain: no clock changes in it or near it."""
    start, low, was_plain = after, after, True
    while low < until:
        high = min(low + _DAY, until)
        now_plain = is_plain(zone, low, high)
        if now_plain is not was_plain and low > start:
            yield start, low, was_plain
            start = low
        low, was_plain = high, now_plain
    if start < until:
        yield start, until, was_plain


def _count_walls(pattern: Pattern, zone: ZoneInfo, after: datetime, until: datetime) -> int:
    """The pattern's times on a clock that runs evenly from one reading to another."""
    first = after.astimezone(zone).replace(tzinfo=None)
    last = until.astimezone(zone).replace(tzinfo=None)
    times = _every_hour(pattern.minutes) if isinstance(pattern, KeepGoing) else pattern.times
    total = 0
    for day in _until(pattern.days, first, last):
        low = bisect_right(times, first.time()) if day == first.date() else 0
        high = bisect_right(times, last.time()) if day == last.date() else len(times)
        total += high - low
    return total


def _until(days: Days, first: datetime, last: datetime) -> Iterator[date]:
    for day in days.since(first.date()):
        if day > last.date():
            return
        yield day


@lru_cache(maxsize=1024)
def _every_hour(minutes: tuple[int, ...]) -> tuple[time, ...]:
    return tuple(time(hour, minute) for hour in range(24) for minute in minutes)
