"""What a cron expression means: its days, its times, and the simpler cadence it may be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache

from cronsim import CronSim

from sync_pipelines.model.cadence import Cadence, Cron, Daily, Hourly, Monthly, Weekday, Weekly

FEW_TIMES = 6
"""So many times of day can be read one by one."""

LAST = CronSim.LAST
LAST_WEEKDAY = CronSim.LAST_WEEKDAY

_EVERY_HOUR = frozenset({"*", "*/1", "0-23", "0-23/1"})
_EVERY_MONTH = frozenset(range(1, 13))
_EVERY_DATE = frozenset(range(1, 32))
_WEEK = tuple(Weekday)
_WHOLE_WEEK = frozenset((day, 0) for day in Weekday)
_ANY = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CronFields:
    """A cron expression, read.

    ``is_every_hour`` tells a wildcard from a list that happens to name all hours: only
    the wildcard means "keep going". ``dates`` are days of the month, ``LAST`` and
    ``LAST_WEEKDAY`` among them; ``weekdays`` are pairs of a day and which of the month's
    it is: 0 for each, 1 to 5, or ``LAST``. Both are empty where they leave nothing out.
    Where neither is, ``both_days`` tells whether a day must be in both or in either:
    cron asks for both when one of the two fields starts with ``*``, as Debian's does.
    ``fires_on`` knows days, not months.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    is_every_hour: bool
    months: frozenset[int]
    dates: tuple[int, ...]
    weekdays: tuple[tuple[Weekday, int], ...]
    both_days: bool
    fires_on: Callable[[date], bool]

    @property
    def times(self) -> tuple[time, ...]:
        """Every pairing of its hours and minutes, in order."""
        return tuple(time(hour, minute) for hour in self.hours for minute in self.minutes)

    @property
    def is_every_day(self) -> bool:
        """Whether it fires on every day of the year."""
        return not self.dates and not self.weekdays and self.months == _EVERY_MONTH


@lru_cache(maxsize=16_384)
def read_cron(expression: str) -> CronFields:
    """Read an expression; CadenceError if it is not cron or never fires."""
    text = Cron(expression=expression).cron_expression
    parsed = CronSim(text, _ANY)
    dates, weekdays = frozenset(parsed.days), _weekdays(parsed.weekdays)
    all_dates, all_weekdays = dates >= _EVERY_DATE, weekdays >= _WHOLE_WEEK
    if not parsed.day_and:
        all_dates = all_weekdays = all_dates or all_weekdays
    return CronFields(
        minutes=tuple(sorted(parsed.minutes)),
        hours=tuple(sorted(parsed.hours)),
        is_every_hour=text.split()[1] in _EVERY_HOUR,
        months=frozenset(parsed.months),
        dates=() if all_dates else tuple(sorted(dates, key=_last_last)),
        weekdays=() if all_weekdays else tuple(sorted(weekdays, key=_in_order)),
        both_days=parsed.day_and,
        fires_on=parsed.match_day,
    )


def simplest(cron: Cron) -> Cadence:
    """The hourly, daily, weekly or monthly cadence with the same firings, if there is one.

    Else the cron itself, and also where the cadence would name more than a few times.
    """
    read = read_cron(cron.expression)
    if read.is_every_hour:
        is_hourly = len(read.minutes) == 1 and read.is_every_day
        return Hourly(minute=read.minutes[0]) if is_hourly else cron
    if len(read.hours) * len(read.minutes) > FEW_TIMES or read.months != _EVERY_MONTH:
        return cron
    if read.is_every_day:
        return Daily(at=read.times)
    if not read.dates and all(which == 0 for _, which in read.weekdays):
        return Weekly(days=tuple(day for day, _ in read.weekdays), at=read.times)
    if not read.weekdays and LAST_WEEKDAY not in read.dates:
        days = tuple(day for day in read.dates if day != LAST)
        return Monthly(days=days, last=LAST in read.dates, at=read.times)
    return cron


def _weekdays(numbers: Iterable[int | tuple[int, int]]) -> frozenset[tuple[Weekday, int]]:
    pairs = ((number, 0) if isinstance(number, int) else number for number in numbers)
    return frozenset((_WEEK[number - 1], which) for number, which in pairs)


def _in_order(pair: tuple[Weekday, int]) -> tuple[bool, int, int]:
    day, which = pair
    return which == LAST, which, day.iso


def _last_last(day: int) -> tuple[bool, int]:
    return day < 0, -day if day < 0 else day
