"""A cadence as a tenant writes it: read from YAML or JSON, and written back.

Law: ``parse_cadence(to_mapping(cadence)) == cadence``.

The kinds of cadence are ``model.kinds``'s; they are found here too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from typing import TypeAlias, assert_never

from sync_pipelines.model.condition import Condition, parse_condition
from sync_pipelines.model.kinds import (
    DEFAULT_AT,
    LONGEST_MINUTES,
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
    ScheduleType,
    Weekly,
)
from sync_pipelines.model.wall import (
    CadenceError,
    ClockChange,
    Doubled,
    Missing,
    Weekday,
    check_times,
    read_choice,
    read_day_of_month,
    read_interval,
    read_time,
    read_weekday,
    read_whole,
    several,
    write_interval,
)

__all__ = [
    "EVERY_PRESETS",
    "PRESETS",
    "Adaptive",
    "After",
    "Cadence",
    "CadenceError",
    "ClockChange",
    "Condition",
    "Cron",
    "Daily",
    "Doubled",
    "Event",
    "EventTrigger",
    "Every",
    "Hourly",
    "Manual",
    "Missing",
    "Monthly",
    "Preset",
    "Realtime",
    "ScheduleType",
    "Weekday",
    "Weekly",
    "parse_cadence",
    "parse_clock_change",
    "to_mapping",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """An interval that a form offers by name, and whom it suits."""

    name: str
    minutes: int
    suits: str


PRESETS = (
    Preset(name="active", minutes=15, suits="data in use all day"),
    Preset(name="standard", minutes=60, suits="data looked at now and then"),
    Preset(name="inactive", minutes=360, suits="data seldom looked at"),
    Preset(name="catch-up", minutes=1440, suits="a daily catch-up"),
)
"""What may be written as ``every`` besides 15m, 6h or 1d."""

EVERY_PRESETS = tuple(preset.minutes for preset in PRESETS)
"""The minutes of ``PRESETS``."""


_EVERY = (None, "every")


def parse_cadence(value: object) -> Cadence:
    """The cadence a tenant wrote, as YAML or JSON gives it: ``{type: daily, at: "02:00"}``.

    What is left out is 02:00, Sunday, the 1st, or minute 0. CadenceError names the
    key that is wrong.
    """
    if not isinstance(value, Mapping):
        raise CadenceError(
            "type", f"{value!r} is not a schedule; write it as {{type: daily, at: '02:00'}}"
        )
    if "every" in value and set(value) <= {"every", "type"} and value.get("type") in _EVERY:
        return Every(minutes=_interval(value["every"]))
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
                f"{key!r} is not a key of schedules of type {kind}; "
                f"they take {', '.join(('type', *keys))}",
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
        case Event():
            conditions = [condition.to_mapping() for condition in cadence.conditions]
            return {"type": "event", "trigger": str(cadence.trigger), "conditions": conditions}
        case After():
            return {"type": "after", "sync": cadence.sync}
        case Adaptive():
            least, most = write_interval(cadence.least), write_interval(cadence.most)
            return {"type": "adaptive", "least": least, "most": most}
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


def _read_event(value: Mapping[str, object]) -> Event:
    if "trigger" not in value:
        right = ", ".join(EventTrigger)
        raise CadenceError("trigger", f"trigger is missing; write one of {right}")
    written = value.get("conditions", ())
    if not isinstance(written, list | tuple):
        raise CadenceError(
            "conditions", "conditions is not a list; write [{field: status, equals: paid}]"
        )
    return Event(
        trigger=read_choice("trigger", value["trigger"], EventTrigger),
        conditions=tuple(
            parse_condition(condition, number=number)
            for number, condition in enumerate(written, start=1)
        ),
    )


def _read_after(value: Mapping[str, object]) -> After:
    sync = value.get("sync")
    if not isinstance(sync, str):
        raise CadenceError(
            "sync", f"sync {sync!r} is not a sync's name; write the one to wait for, such as orders"
        )
    return After(sync=sync)


def _read_adaptive(value: Mapping[str, object]) -> Adaptive:
    for key in ("least", "most"):
        if key not in value:
            raise CadenceError(key, f"{key} is missing; write an interval, such as 15m or 6h")
    return Adaptive(
        least=read_interval("least", value["least"], most=LONGEST_MINUTES),
        most=read_interval("most", value["most"], most=LONGEST_MINUTES),
    )


def _interval(written: object) -> int:
    """Minutes of an interval, or of a preset by its name."""
    for preset in PRESETS:
        if written == preset.name:
            return preset.minutes
    return read_interval("every", written, most=LONGEST_MINUTES)


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
    "event": (("trigger", "conditions"), _read_event),
    "after": (("sync",), _read_after),
    "adaptive": (("least", "most"), _read_adaptive),
    "manual": ((), lambda _: Manual()),
}


def _written(times: tuple[time, ...]) -> str | list[str]:
    texts = [f"{at:%H:%M}" for at in times]
    return texts[0] if len(texts) == 1 else texts
