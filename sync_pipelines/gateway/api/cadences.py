"""The documents' way of saying when: ``schedule_type``, ``cron_expression``, ``config``.

A schedule is said by ``cadence``, or in these older words. Pure.
"""

from collections.abc import Mapping
from typing import Any

from sync_pipelines.apply.body import BodyError, Wrong

OLDER = ("schedule_type", "cron_expression", "config")

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_TAKEN = {
    "realtime": (),
    "hourly": ("minute",),
    "daily": ("hour", "minute", "time"),
    "weekly": ("hour", "minute", "time", "dayOfWeek"),
    "monthly": ("hour", "minute", "time", "dayOfMonth"),
    "custom": (),
}
"""What ``config`` may hold for each type."""


def with_cadence(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with its ``cadence``, whichever way it says when."""
    older = {name: body[name] for name in OLDER if body.get(name) is not None}
    rest = {key: value for key, value in body.items() if key not in OLDER}
    if not older:
        return rest
    if rest.get("cadence") is not None:
        raise _wrong(next(iter(older)), "cadence says when already; leave one of the two out")
    return {**rest, "cadence": _cadence(older)}


def _cadence(older: Mapping[str, Any]) -> dict[str, Any]:
    kind, cron = older.get("schedule_type", "custom"), older.get("cron_expression")
    config = older.get("config") or {}
    if kind not in _TAKEN:
        known = ", ".join(_TAKEN)
        raise _wrong("schedule_type", f"schedule_type {kind!r} is not one of {known}; say cadence")
    for key in config:
        if key not in _TAKEN[kind]:
            takes = ", ".join(_TAKEN[kind]) or "nothing"
            raise _wrong(f"config.{key}", f"config of type {kind} takes {takes}, and not {key!r}")
    if cron is not None and kind != "realtime":
        if config:
            raise _wrong("config", "cron_expression says when already; leave config out")
        return {"type": "cron", "cron": cron}
    if kind == "custom":
        raise _wrong("cron_expression", "a custom schedule needs cron_expression: '0 2 * * *'")
    if cron is not None:
        raise _wrong("cron_expression", "no clock starts a realtime schedule; leave it out")
    return _built(kind, config)


def _built(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "realtime":
        return {"type": kind}
    if kind == "hourly":
        return {"type": kind, "minute": config.get("minute", 0)}
    found: dict[str, Any] = {"type": kind, "at": _time(config)}
    if kind == "weekly":
        day = config.get("dayOfWeek", 0)
        if not isinstance(day, int) or isinstance(day, bool) or not 0 <= day <= 6:
            raise _wrong("config.dayOfWeek", f"dayOfWeek {day!r} is not 0 (Sunday) to 6")
        found["days"] = [_DAYS[day]]
    if kind == "monthly":
        found["days"] = [config.get("dayOfMonth", 1)]
    return found


def _time(config: Mapping[str, Any]) -> str:
    if "time" in config:
        if "hour" in config or "minute" in config:
            raise _wrong("config.time", "time says hour and minute already; leave those out")
        return str(config["time"])
    hour, minute = config.get("hour", 2), config.get("minute", 0)
    for name, value, most in (("hour", hour, 23), ("minute", minute, 59)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise _wrong(f"config.{name}", f"{name} {value!r} is not 0 to {most}")
    return f"{hour:02}:{minute:02}"


def _wrong(field: str, message: str) -> BodyError:
    return BodyError([Wrong(field=field, message=message)])
