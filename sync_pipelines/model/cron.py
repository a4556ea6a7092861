"""What a tenant may write as a cron expression, and its one canonical spelling.

Laws:

* Five fields: minute, hour, day of month, month, day of week. Six are accepted
  only when the first, the seconds, is 0: nothing here runs between two minutes,
  and a sixth field is never guessed to be a year.
* An expression that can never fire is refused, like one that cannot be read.

The dialect is that of ``cronsim``: Debian's cron with ``L``, ``LW``, ``5L`` and ``1#2``.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, time
from functools import lru_cache
from typing import NamedTuple

from cronsim import CronSim, CronSimError

LONGEST = 200
"""Characters in the longest expression that is read."""

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_START = datetime(2000, 1, 1, tzinfo=UTC)


class CronError(ValueError):
    """An expression that is not cron, or that never fires."""


class _Field(NamedTuple):
    name: str
    right: str


_FIELDS = (
    _Field("minute", "0-59, '*', '*/15', '0-30' or '0,30'"),
    _Field("hour", "0-23, '*', '*/6', '9-17' or '2,14'"),
    _Field("day of month", "1-31, '*', '1,15', or 'L' for the last day"),
    _Field("month", "1-12 or jan-dec, '*', '1-6' or 'mar,sep'"),
    _Field("day of week", "0-7 (0 and 7 are Sunday) or sun-sat, '*', 'mon-fri' or '1,4'"),
)


@lru_cache(maxsize=16_384)
def five_fields(expression: str) -> str:
    """The expression in five fields, one space apart; CronError says what would be right."""
    if len(expression) > LONGEST:
        raise CronError(f"cron is {len(expression)} characters long; at most {LONGEST} are read")
    text = " ".join(expression.split())
    if text.startswith("@"):
        return _macro(text)
    fields = text.split()
    if len(fields) == 6:
        fields = _without_seconds(text, fields)
    if len(fields) != 5:
        raise CronError(
            f"cron {text!r} has {len(fields)} fields; write five, minute hour day-of-month"
            " month day-of-week, such as '0 2 * * *'"
        )
    return _checked(fields)


def expression_at(times: Iterable[time], days: str) -> str | None:
    """The expression for these times of day on days given as three fields.

    Cron fires at every pairing of its hours and minutes. None when that would add times.
    """
    wanted = set(times)
    hours = {at.hour for at in wanted}
    minutes = {at.minute for at in wanted}
    if len(hours) * len(minutes) != len(wanted):
        return None
    return f"{listed(minutes)} {listed(hours)} {days}"


def listed(numbers: Iterable[int]) -> str:
    """A field that names each number."""
    return ",".join(str(number) for number in sorted(numbers))


def _macro(text: str) -> str:
    try:
        return MACROS[text.lower()]
    except KeyError as error:
        known = ", ".join(MACROS)
        raise CronError(f"cron {text!r} is not known; write one of {known}") from error


def _without_seconds(text: str, fields: list[str]) -> list[str]:
    if fields[0] not in {"0", "00"}:
        raise CronError(
            f"cron {text!r} has six fields, and the first, seconds, is {fields[0]!r};"
            " it must be 0, or leave it out and write five fields"
        )
    return fields[1:]


def _checked(fields: list[str]) -> str:
    text = " ".join(fields)
    try:
        next(CronSim(text, _START))
    except CronSimError as error:
        raise CronError(_what_is_wrong(text, fields)) from error
    except StopIteration as error:
        raise CronError(_never(text)) from error
    return text


def _what_is_wrong(text: str, fields: list[str]) -> str:
    for index, (value, field) in enumerate(zip(fields, _FIELDS, strict=True)):
        alone = ["*"] * 5
        alone[index] = value
        try:
            CronSim(" ".join(alone), _START)
        except CronSimError:
            return f"{field.name} {value!r} in cron {text!r} is not valid; write {field.right}"
    return _never(text)


def _never(text: str) -> str:
    return f"cron {text!r} never fires: no date has that day; for the last day of a month write 'L'"
