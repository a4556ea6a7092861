"""When a sync should run, as data: the rule inside a schedule.

Laws:

* A cadence that exists is valid: its constructor refuses what could never run.
* Equal cadences are equal values: times and days are kept sorted, each once.
* Times are wall times. Which instants they are is ``timing``'s to say.
* ``parse_cadence(to_mapping(cadence)) == cadence``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from typing import ClassVar, TypeAlias, assert_never

from sync_pipelines.model.cron import CronError, expression_at, five_fields, listed
from sync_pipelines.model.wall import (
    CadenceError,
    ClockChange,
    Doubled,
    Missing,
    Weekday,
    check_times,
    read_day_of_month,
    read_interval,
    read_time,
    read_weekday,
    read_whole,
    several,
)

__all__ = [
    "EVERY_PRESETS",
    "Cadence",
    "CadenceError",
    "ClockChange",
    "Cron",
    "Daily",
    "Doubled",
    "Every",
    "Hourly",
    "Manual",
    "Missing",
    "Monthly",
    "Realtime",
    "ScheduleType",
    "Weekday",
    "Weekly",
    "parse_cadence",
    "parse_clock_change",
    "to_mapping",
]

LONGEST_MINUTES = 366 * 24 * 60
"""The longest interval: a year, be it a long one."""

EVERY_PRESETS = (15, 60, 360, 1440)
"""Minutes a form offers: active user, standard, inactive, daily catch-up."""

DEFAULT_AT = (time(2),)


class ScheduleType(StrEnum):
    """A cadence's kind, as ``sync_schedules.schedule_type`` stores it."""

    REALTIME = "realtime"
    EVERY = "every"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    CUSTOM = "custom"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every so many real minutes, counted from an anchor, whatever clocks show."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.EVERY
    cron_expression: ClassVar[None] = None
    minutes: int

    def __post_init__(self) -> None:
        read_whole("minutes", self.minutes, least=1, most=LONGEST_MINUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hourly:
    """Once an hour, when the clock shows that minute."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.HOURLY
    minute: int = 0

    def __post_init__(self) -> None:
        read_whole("minute", self.minute, least=0, most=59)

    @property
    def cron_expression(self) -> str:
        """The same cadence as cron."""
        return f"{self.minute} * * * *"


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """Every day at these times."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.DAILY
    at: tuple[time, ...] = DEFAULT_AT

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", check_times(self.at))

    @property
    def cron_expression(self) -> str | None:
        """The same cadence as cron; None when no one expression has just these times."""
        return expression_at(self.at, "* * *")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """On these days of the week at these times."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.WEEKLY
    days: tuple[Weekday, ...] = (Weekday.SUN,)
    at: tuple[time, ...] = DEFAULT_AT

    def __post_init__(self) -> None:
        days = sorted({read_weekday(day) for day in self.days}, key=lambda day: day.iso)
        if not days:
            raise CadenceError("days", "days is empty; name at least one, such as mon")
        object.__setattr__(self, "days", tuple(days))
        object.__setattr__(self, "at", check_times(self.at))

    @property
    def cron_expression(self) -> str | None:
        """The same cadence as cron; None when no one expression has just these times."""
        return expression_at(self.at, f"* * {listed(day.iso % 7 for day in self.days)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Monthly:
    """On these days of the month, and on its last day if ``last``, at these times.

    A month without a day, such as February without a 31st, skips it. Where the last
    day is also one of ``days``, it counts once.
    """

    schedule_type: ClassVar[ScheduleType] = ScheduleType.MONTHLY
    days: tuple[int, ...] = (1,)
    last: bool = False
    at: tuple[time, ...] = DEFAULT_AT

    def __post_init__(self) -> None:
        if not self.days and not self.last:
            raise CadenceError("days", "days is empty; name at least one, such as 1 or last")
        days = {read_whole("days", day, least=1, most=31) for day in self.days}
        object.__setattr__(self, "days", tuple(sorted(days)))
        object.__setattr__(self, "at", check_times(self.at))

    @property
    def cron_expression(self) -> str | None:
        """The same cadence as cron; None when no one expression has just these times."""
        days = ",".join([*map(str, self.days), *["L"] * self.last])
        return expression_at(self.at, f"{days} * *")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """As a cron expression says; ``expression`` is what the tenant wrote."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.CUSTOM
    expression: str

    def __post_init__(self) -> None:
        try:
            five_fields(self.expression)
        except CronError as error:
            raise CadenceError("cron", str(error)) from error

    @property
    def cron_expression(self) -> str:
        """The expression in five fields."""
        return five_fields(self.expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Realtime:
    """Whenever the other system says that something changed; no clock drives it."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.REALTIME
    cron_expression: ClassVar[None] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """Only when somebody asks; no clock drives it."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.MANUAL
    cron_expression: ClassVar[None] = None


Cadence: TypeAlias = Every | Hourly | Daily | Weekly | Monthly | Cron | Realtime | Manual


def parse_cadence(value: object) -> Cadence:
    """The cadence a tenant wrote, as YAML or JSON gives it: ``{type: daily, at: "02:00"}``.

    What is left out is 02:00, Sunday, the 1st, or minute 0. CadenceError names the
    key that is wrong.
    """
    if not isinstance(value, Mapping):
        raise CadenceError(
            "type", f"{value!r} is not a schedule; write it as {{type: daily, at: '02:00'}}"
        )
    if set(value) == {"every"}:
        return Every(minutes=read_interval("every", value["every"], most=LONGEST_MINUTES))
    kind = value.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise CadenceError(
            "type", f"type {kind!r} is not known; write one of {', '.join(_READERS)}"
        )
    keys, build = read
    for key in value:
        if key not in keys and key != "type":
            raise CadenceError(
                str(key),
                f"{key!r} is not a key of a {kind} schedule; it takes {', '.join(('type', *keys))}",
            )
    return build(value)


def to_mapping(cadence: Cadence) -> Mapping[str, object]:
    """The cadence as ``parse_cadence`` reads it; only text, numbers and lists."""
    match cadence:
        case Every():
            return {"type": "every", "minutes": cadence.minutes}
        case Hourly():
            return {"type": "hourly", "minute": cadence.minute}
        case Daily():
            return {"type": "daily", "at": _written(cadence.at)}
        case Weekly():
            days = [str(day) for day in cadence.days]
            return {"type": "weekly", "days": days, "at": _written(cadence.at)}
        case Monthly():
            dates = [*cadence.days, *["last"] * cadence.last]
            return {"type": "monthly", "days": dates, "at": _written(cadence.at)}
        case Cron():
            return {"type": "cron", "cron": cadence.expression}
        case Realtime() | Manual():
            return {"type": str(cadence.schedule_type)}
    assert_never(cadence)


def parse_clock_change(value: object) -> ClockChange:
    """The rules a tenant wrote: ``{missing: after_gap | skip, doubled: first | second | both}``."""
    if not isinstance(value, Mapping):
        raise CadenceError(
            "clock_change",
            f"clock_change {value!r} is wrong; write {{missing: after_gap, doubled: first}}",
        )
    for key in value:
        if key not in {"missing", "doubled"}:
            raise CadenceError(
                str(key), f"{key!r} is not a key of clock_change; it takes missing, doubled"
            )
    return ClockChange(**value)


def _read_every(value: Mapping[str, object]) -> Every:
    if "minutes" not in value:
        raise CadenceError("minutes", "minutes is missing; write how many, such as 15")
    return Every(minutes=read_whole("minutes", value["minutes"], least=1, most=LONGEST_MINUTES))


def _read_hourly(value: Mapping[str, object]) -> Hourly:
    return Hourly(minute=read_whole("minute", value.get("minute", 0), least=0, most=59))


def _read_daily(value: Mapping[str, object]) -> Daily:
    return Daily(at=_at(value))


def _read_weekly(value: Mapping[str, object]) -> Weekly:
    days = tuple(read_weekday(day) for day in several(value.get("days", Weekday.SUN)))
    return Weekly(days=days, at=_at(value))


def _read_monthly(value: Mapping[str, object]) -> Monthly:
    written = several(value.get("days", 1))
    days = tuple(read_day_of_month(day) for day in written if day != "last")
    return Monthly(days=days, last="last" in written, at=_at(value))


def _read_cron(value: Mapping[str, object]) -> Cron:
    expression = value.get("cron")
    if not isinstance(expression, str):
        raise CadenceError(
            "cron", f"cron {expression!r} is not an expression; write text such as '0 2 * * *'"
        )
    return Cron(expression=expression)


def _at(value: Mapping[str, object]) -> tuple[time, ...]:
    if "at" not in value:
        return DEFAULT_AT
    return check_times(read_time(at) for at in several(value["at"]))


_Reader: TypeAlias = Callable[[Mapping[str, object]], Cadence]
_READERS: Mapping[str, tuple[tuple[str, ...], _Reader]] = {
    "realtime": ((), lambda _: Realtime()),
    "every": (("minutes",), _read_every),
    "hourly": (("minute",), _read_hourly),
    "daily": (("at",), _read_daily),
    "weekly": (("days", "at"), _read_weekly),
    "monthly": (("days", "at"), _read_monthly),
    "cron": (("cron",), _read_cron),
    "manual": ((), lambda _: Manual()),
}


def _written(times: tuple[time, ...]) -> str | list[str]:
    texts = [f"{at:%H:%M}" for at in times]
    return texts[0] if len(texts) == 1 else texts
