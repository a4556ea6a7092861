"""What a cadence says of days and times, in one of two meanings.

Law: a cadence that names hours means wall times, and clock changes follow its rules.
One that runs in every hour means "keep going": it follows real time through a clock
change, and no rule applies to it.
"""

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import lru_cache
from typing import TypeAlias, assert_never

from sync_pipelines.model.cadence import (
    Adaptive,
    After,
    Cadence,
    Cron,
    Daily,
    Event,
    Every,
    Hourly,
    Manual,
    Monthly,
    Realtime,
    Weekly,
)
from sync_pipelines.timing.cron import read_cron

ALL_MONTHS = frozenset(range(1, 13))
_DAY = timedelta(days=1)
_END = date(9999, 12, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The local days on which something runs."""

    chosen: Callable[[date], bool]
    months: frozenset[int] = ALL_MONTHS

    def __contains__(self, day: date) -> bool:
        return day.month in self.months and self.chosen(day)

    def since(self, day: date) -> Iterator[date]:
        """Those days from ``day`` on, in order, to the end of the calendar."""
        while day < _END:
            if day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
            else:
                if self.chosen(day):
                    yield day
                day += _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTimes:
    """At these times, in order, on those days."""

    days: Days
    times: tuple[time, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepGoing:
    """At these minutes of every hour, in order, on those days."""

    days: Days
    minutes: tuple[int, ...]

    @property
    def least_spacing(self) -> timedelta:
        """The shortest time from one firing to the next."""
        following = (*self.minutes[1:], self.minutes[0] + 60)
        pairs = zip(self.minutes, following, strict=True)
        return timedelta(minutes=min(later - earlier for earlier, later in pairs))


Pattern: TypeAlias = WallTimes | KeepGoing

EVERY_DAY = Days(chosen=lambda _: True)


@lru_cache(maxsize=16_384)
def pattern_of(cadence: Cadence) -> Pattern | None:
    """The cadence's meaning; None for those that no wall clock drives."""
    match cadence:
        case Hourly():
            return KeepGoing(days=EVERY_DAY, minutes=(cadence.minute,))
        case Daily():
            return WallTimes(days=EVERY_DAY, times=cadence.at)
        case Weekly():
            weekdays = frozenset(day.iso for day in cadence.days)
            return WallTimes(
                days=Days(chosen=lambda day: day.isoweekday() in weekdays), times=cadence.at
            )
        case Monthly():
            return WallTimes(days=_days_of_month(cadence), times=cadence.at)
        case Cron():
            return _cron_pattern(cadence)
        case Every() | Adaptive() | Realtime() | Event() | After() | Manual():
            return None
    assert_never(cadence)


def _days_of_month(cadence: Monthly) -> Days:
    numbers = frozenset(cadence.days)
    if not cadence.last:
        return Days(chosen=lambda day: day.day in numbers)
    return Days(chosen=lambda day: day.day in numbers or is_last(day))


def is_last(day: date) -> bool:
    """Whether it is the last day of its month."""
    return day.day == monthrange(day.year, day.month)[1]


def _cron_pattern(cadence: Cron) -> Pattern:
    cron = read_cron(cadence.expression)
    days = Days(chosen=cron.fires_on, months=cron.months)
    if cron.is_every_hour:
        return KeepGoing(days=days, minutes=cron.minutes)
    return WallTimes(days=days, times=cron.times)
