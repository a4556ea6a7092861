"""What a clock on the wall can say, as data: times, weekdays, and rules for clock changes.

Law: what a tenant writes is read or refused, never guessed. The refusal names the
key, the wrong value and what would be right.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice", bound=StrEnum)


class CadenceError(ValueError):
    """A cadence, zone or clock rule that cannot be used; ``field`` is the key to correct.

    The message names the wrong value and what would be right. The caller adds where
    it was written.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return self.message


class Weekday(StrEnum):
    """A day of the week, in the order of ISO 8601."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"

    @property
    def iso(self) -> int:
        """1 for Monday to 7 for Sunday."""
        return _ISO[self]

    @property
    def full_name(self) -> str:
        """The English name, with its capital."""
        return _FULL_NAMES[self.iso - 1]


_ISO = {day: number for number, day in enumerate(Weekday, start=1)}
_FULL_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Missing(StrEnum):
    """What becomes of a wall time that a clock set forward leaves out."""

    AFTER_GAP = "after_gap"
    SKIP = "skip"


class Doubled(StrEnum):
    """Which of the two is meant when a clock set back shows a wall time twice."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """The rules for wall times on the days when clocks change; plain text is accepted."""

    missing: Missing = Missing.AFTER_GAP
    doubled: Doubled = Doubled.FIRST

    def __post_init__(self) -> None:
        object.__setattr__(self, "missing", read_choice("missing", self.missing, Missing))
        object.__setattr__(self, "doubled", read_choice("doubled", self.doubled, Doubled))


def read_choice(field: str, value: object, choices: type[Choice]) -> Choice:
    """One of an enumeration's values."""
    try:
        return choices(str(value))
    except ValueError as error:
        right = ", ".join(choices)
        raise CadenceError(
            field, f"{field} {value!r} is not known; write one of {right}"
        ) from error


def read_whole(field: str, value: object, *, least: int, most: int) -> int:
    """A whole number within bounds; ``true`` is not one."""
    if type(value) is int and least <= value <= most:
        return value
    raise CadenceError(field, f"{field} {value!r} is wrong; write a whole number {least} to {most}")


def read_time(value: object, field: str = "at") -> time:
    """A time of day from ``HH:MM`` text, or from a ``time`` as TOML gives it."""
    if isinstance(value, time):
        return check_time(value, field)
    if type(value) is int and 0 < value < 24 * 60:
        raise CadenceError(field, f"{field} {value} is a number; {_yaml_hint(value)}")
    text = value.strip() if isinstance(value, str) else ""
    if match := re.fullmatch("([0-9]{1,2}):([0-9]{2})", text):
        hour, minute = int(match[1]), int(match[2])
        if hour < 24 and minute < 60:
            return time(hour, minute)
    raise CadenceError(
        field,
        f"{field} {value!r} is not a time of day; write '00:00' to '23:59', with midnight '00:00'",
    )


def _yaml_hint(minutes: int) -> str:
    """YAML 1.1 reads 10:30 without quotes as 630, a number to the base 60."""
    return f"if it was written {minutes // 60}:{minutes % 60:02}, put quotes around it"


def check_time(value: time, field: str = "at") -> time:
    """A wall time on a whole minute, without a zone of its own."""
    if value.second or value.microsecond or value.tzinfo is not None or value.fold:
        raise CadenceError(field, f"{field} {value} is wrong; write hours and minutes, as '02:00'")
    return value


def check_times(values: Iterable[time]) -> tuple[time, ...]:
    """Times of day, each once, in order; at least one."""
    times = tuple(sorted({check_time(value) for value in values}))
    if not times:
        raise CadenceError("at", "at is empty; write at least one time, such as '02:00'")
    return times


def read_weekday(value: object) -> Weekday:
    """A weekday from its English name or the first three letters of it."""
    name = value.strip().lower() if isinstance(value, str) else ""
    for day in Weekday:
        if name in {day, day.full_name.lower()}:
            return day
    right = ", ".join(Weekday)
    raise CadenceError("days", f"days has {value!r}, which is not a weekday; write {right}")


def several(value: object) -> Sequence[object]:
    """What was written as a list, or as the one thing it would hold."""
    return value if isinstance(value, list | tuple) else (value,)


def read_day_of_month(value: object) -> int:
    """A day of the month by its number."""
    if type(value) is int and 1 <= value <= 31:
        return value
    raise CadenceError("days", f"days has {value!r}; write days of the month, 1 to 31, or last")


def read_interval(field: str, value: object, *, most: int) -> int:
    """Whole minutes from text such as ``15m``, ``6h`` or ``1d``."""
    text = value.strip() if isinstance(value, str) else ""
    written = re.fullmatch(r"([0-9]{1,6}) ?([mhd])", text)
    minutes = int(written[1]) * _UNITS[written[2]] if written else 0
    if not 1 <= minutes <= most:
        right = f"write it as 15m, 6h or 1d, at most {write_interval(most)}"
        raise CadenceError(field, f"{field} {value!r} is wrong; {right}")
    return minutes


def write_interval(minutes: int) -> str:
    """Minutes as ``read_interval`` reads them, in the largest unit that is whole."""
    unit = next(unit for unit in ("d", "h", "m") if minutes % _UNITS[unit] == 0)
    return f"{minutes // _UNITS[unit]}{unit}"


def read_sync_name(field: str, value: str) -> str:
    """A sync's name, or ``tenant/name``."""
    if _SYNC_NAME.fullmatch(value):
        return value
    raise CadenceError(
        field,
        f"{field} {value!r} is not a sync's name; write it as the sync is called, such as orders"
        " or acme/orders",
    )


def read_instant(field: str, value: object) -> datetime:
    """An instant, in UTC, from ISO 8601 text with its offset, or from an aware datetime."""
    found = _from_iso(value) if isinstance(value, str) else value
    if isinstance(found, datetime) and found.tzinfo is not None and found.year in _YEARS:
        return found.astimezone(UTC)
    raise CadenceError(
        field,
        f"{field} {_shown(value)} is not an instant; write it with its offset from UTC, such as"
        " '2026-01-31T08:00:00Z' or '2026-01-31T08:00:00+01:00'",
    )


def read_date(field: str, value: object) -> date:
    """A date from ``YYYY-MM-DD`` text, or from a date as YAML gives it."""
    if isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value.strip()):
        with suppress(ValueError):
            return date.fromisoformat(value.strip())
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise CadenceError(
        field, f"{field} {_shown(value)} is not a date; write it as '2026-12-24', in quotes"
    )


def read_keys(what: str, value: object, known: tuple[str, ...]) -> Mapping[str, object]:
    """A mapping with no keys but those that are known."""
    if not isinstance(value, Mapping):
        raise CadenceError(
            what,
            f"{what} {value!r} is wrong; write keys and values, of {', '.join(known)}",
        )
    for key in value:
        if key not in known:
            raise CadenceError(
                str(key), f"{key!r} is not a key of {what}; it takes {', '.join(known)}"
            )
    return value


def _from_iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else repr(value)


_SYNC_NAME = re.compile("([a-z0-9][a-z0-9_-]{0,62}/)?[a-z0-9][a-z0-9_-]{0,62}")
_YEARS = range(1970, 9000)
_UNITS = {"m": 1, "h": 60, "d": 24 * 60}
