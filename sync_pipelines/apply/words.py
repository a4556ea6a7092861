"""What a changed value is called before people: as the file would write it."""

import json
from collections.abc import Callable, Mapping
from typing import TypeAlias

from connectors.contract import Json
from sync_pipelines.model.blackout import parse_blackout
from sync_pipelines.model.condition import parse_condition

Writer: TypeAlias = Callable[[Json], str]

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def value_in_words(field: str, value: Json) -> str:
    """A value by the dotted name of its field; where there is none, its default if it has one."""
    if value is None:
        return _DEFAULTS.get(field, "(none)")
    writer = _WRITERS.get(field) or _WRITERS.get(field.rpartition(".")[2], _plain)
    return writer(value)


def duration_in_words(seconds: float) -> str:
    """``90s``, ``5m``, ``1h`` or ``2d``, in the largest unit that is whole."""
    for unit, size in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _plain(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _duration(value: Json) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return duration_in_words(float(value)) if is_number else _plain(value)  # type: ignore[arg-type]


def _blackouts(value: Json) -> str:
    return "; ".join(str(parse_blackout(each)) for each in _listed(value))


def _conditions(value: Json) -> str:
    told = (parse_condition(each, number=at) for at, each in enumerate(_listed(value), start=1))
    return " and ".join(map(str, told)) or "(none)"


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


_WRITERS: Mapping[str, Writer] = {
    "policies.blackouts": _blackouts,
    "cadence.conditions": _conditions,
    "retry.initial": _duration,
    "retry.ceiling": _duration,
    "retry.stalled_after": _duration,
    "breaker.probe_after": _duration,
    "breaker.ceiling": _duration,
    "lag": _duration,
}

_DEFAULTS = {
    "policies.overlap": '"skip"',
    "policies.missed": '"once"',
    "policies.priority": '"normal"',
    "policies.spread": '"exact"',
}
