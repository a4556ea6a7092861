"""A cadence in one sentence, for people to check what they asked for.

Laws:

* The sentence says when it fires, not how it was written: ``0 */15 * * *`` reads
  "at 00:00 and 15:00", and a step is called "every" only where it is even.
* The zone is named wherever a clock on the wall matters.
* The sentence never raises.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import time
from functools import lru_cache
from typing import assert_never

from cron_descriptor import (  # type: ignore[import-untyped]
    DescriptionTypeEnum,
    ExpressionDescriptor,
    Options,
)

from sync_pipelines.model.cadence import (
    Adaptive,
    After,
    Cadence,
    Cron,
    Daily,
    Event,
    EventTrigger,
    Every,
    Hourly,
    Manual,
    Monthly,
    Realtime,
    Weekday,
    Weekly,
)
from sync_pipelines.timing.cron import (
    FEW_TIMES,
    LAST,
    LAST_WEEKDAY,
    CronFields,
    read_cron,
    simplest,
)

_CITIES = re.compile(
    "(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/.*"
)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_EVENTS = {
    EventTrigger.WEBHOOK: "On a webhook",
    EventTrigger.API: "On an API call",
    EventTrigger.USER_ACTION: "On a user's action",
}
_NTH = ("first", "second", "third", "fourth", "fifth")


@lru_cache(maxsize=16_384)
def sentence(cadence: Cadence, zone: str) -> str:
    """When it fires, and where: "Daily at 02:00, Edmonton"."""
    words = _words(cadence)
    return words if _is_real_time(cadence) else f"{words}, {place(zone)}"


def place(zone: str) -> str:
    """A zone's city, or its name where it has none: Edmonton, New York, UTC, Etc/GMT+5."""
    return zone.rpartition("/")[2].replace("_", " ") if _CITIES.fullmatch(zone) else zone


def _is_real_time(cadence: Cadence) -> bool:
    """Whether it would fire the same, or not at all, in any zone: the zone is no news."""
    if not isinstance(cadence, Cron):
        return isinstance(cadence, Every | Adaptive | Realtime | Event | After | Manual)
    read = read_cron(cadence.expression)
    return read.is_every_hour and read.is_every_day and _even(read.minutes, 60) in range(1, 60)


def _words(cadence: Cadence) -> str:
    match cadence:
        case Every():
            return f"Every {_interval(cadence.minutes)}"
        case Hourly():
            return f"Hourly at minute {cadence.minute}"
        case Daily():
            return f"Daily {_at(cadence.at)}"
        case Weekly():
            return f"Weekly on {_weekdays(cadence.days)} {_at(cadence.at)}"
        case Monthly():
            return _monthly(cadence)
        case Cron():
            simple = simplest(cadence)
            return _cron(cadence) if isinstance(simple, Cron) else _words(simple)
        case Realtime():
            return "Realtime, on every change"
        case Event():
            return _event(cadence)
        case After():
            return f"After {cadence.sync} succeeded"
        case Adaptive():
            least, most = _interval(cadence.least), _interval(cadence.most)
            return f"Adaptive, from every {least} to every {most}"
        case Manual():
            return "Manual only"
    assert_never(cadence)


def _event(cadence: Event) -> str:
    words = _EVENTS[cadence.trigger]
    if not cadence.conditions:
        return words
    text = _and(str(condition) for condition in cadence.conditions)
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"{words}, if {' '.join(shown.split())}"


def _interval(minutes: int) -> str:
    number, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return unit if number == 1 else f"{number} {unit}s"


def _at(times: Sequence[time]) -> str:
    return f"at {_and(f'{at:%H:%M}' for at in times)}"


def _weekdays(days: Iterable[Weekday]) -> str:
    names = {day.iso: day.full_name for day in Weekday}
    return _and(_spans((day.iso for day in days), names.__getitem__))


def _monthly(cadence: Monthly) -> str:
    dates = _spans(cadence.days, _ordinal) + ["last day"] * cadence.last
    words = f"Monthly on the {_and(dates)} {_at(cadence.at)}"
    rare = [_ordinal(day) for day in cadence.days if day > 28]
    return f"{words} (months without the {_and(rare, 'or')} skip it)" if rare else words


def _ordinal(number: int) -> str:
    is_teen = 11 <= number <= 13
    return f"{number}{'th' if is_teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _cron(cadence: Cron) -> str:
    read = read_cron(cadence.expression)
    times, days = _time_of_day(read), _on(read)
    return f"{times}{', ' if ',' in times else ' '}{days}" if days else times


def _time_of_day(read: CronFields) -> str:
    minutes, hours = read.minutes, read.hours
    step = _even(minutes, 60)
    if read.is_every_hour:
        return (
            f"Every {_interval(step)}" if step in range(1, 60) else f"Hourly at {_named(minutes)}"
        )
    if len(hours) * len(minutes) <= FEW_TIMES:
        return _at(read.times).capitalize()
    is_run = len(hours) == hours[-1] - hours[0] + 1
    if is_run and (step or len(minutes) == 1):
        often = "Hourly" if len(minutes) == 1 else f"Every {_interval(60 // len(minutes))}"
        return f"{often} from {read.times[0]:%H:%M} to {read.times[-1]:%H:%M}"
    return _described(minutes, hours)


def _named(minutes: Sequence[int]) -> str:
    return f"minute{'s' * (len(minutes) > 1)} {_and(_spans(minutes, str))}"


def _described(minutes: Sequence[int], hours: Sequence[int]) -> str:
    """What cron-descriptor says, given only lists, ranges, and even steps of hours.

    Its steps of minutes would read as if they went on through all hours.
    """
    options = Options(locale_code="en_US", use_24hour_time_format=True)
    step = _even(hours, 24)
    hour = f"*/{step}" if step in range(2, 24) else ",".join(_spans(hours, str, to="-"))
    minute = ",".join(_spans(minutes, str, to="-"))
    describer = ExpressionDescriptor(f"{minute} {hour} * * *", options)
    words = str(describer.get_description(DescriptionTypeEnum.TIMEOFDAY))
    return f"{words[:1].upper()}{words[1:]}".replace(", and", " and")


def _even(values: Sequence[int], size: int) -> int:
    """The step by which values go evenly round, from 0 through size back to 0; else 0."""
    step, rest = divmod(size, len(values))
    return step if not rest and list(values) == list(range(0, size, step)) else 0


def _on(read: CronFields) -> str:
    """The days and months of a cron expression; empty for all of them."""
    days = [part for part in (_dates(read.dates), _weekdays_of_month(read.weekdays)) if part]
    words = [", if that is ".join(days) if read.both_days else " or on ".join(days)]
    words[:] = [f"on {part}" for part in words if part]
    if len(read.months) < 12:
        words.append(f"in {_and(_spans(sorted(read.months), lambda month: _MONTHS[month - 1]))}")
    return " ".join(words)


def _dates(dates: Sequence[int]) -> str:
    words = _spans((date for date in dates if date > 0), _ordinal)
    words += ["last day"] * (LAST in dates) + ["last working day"] * (LAST_WEEKDAY in dates)
    return f"the {_and(words)} of the month" if words else ""


def _weekdays_of_month(weekdays: Sequence[tuple[Weekday, int]]) -> str:
    plain = [day for day, which in weekdays if which == 0]
    words = [_weekdays(plain)] if plain else []
    for day, which in weekdays:
        if which:
            nth = "last" if which == LAST else _NTH[which - 1]
            words.append(f"the {nth} {day.full_name} of the month")
    return _and(words)


def _spans(numbers: Iterable[int], name: Callable[[int], str], *, to: str = " to ") -> list[str]:
    """Names of ascending numbers, with three or more in a row as their first and last."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words: list[str] = []
    for run in runs:
        names = [name(number) for number in run]
        words += [f"{names[0]}{to}{names[-1]}"] if len(run) > 2 else names
    return words


def _and(words: Iterable[str], word: str = "and") -> str:
    *first, last = [*words] or [""]
    return f"{', '.join(first)} {word} {last}" if first else last
