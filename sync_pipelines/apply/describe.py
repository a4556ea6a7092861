"""Connections, syncs and schedules as plain data to compare, show and audit; no secrets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from connectors.contract import Json
from sync_pipelines.apply.manifest import WantedSync
from sync_pipelines.catalog.codec import breaker_to_json, retry_to_json, stream_to_json
from sync_pipelines.model.cadence import to_mapping
from sync_pipelines.model.policy import policies_mapping
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Sync

Described: TypeAlias = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One value that becomes another; None is absent. A secret's values are never here."""

    field: str
    before: Json = None
    after: Json = None
    is_secret: bool = False


def described_connection(
    connector: str, config: Mapping[str, Json], secrets: Sequence[str], *, reaches_private: bool
) -> Described:
    """A connection, its secret fields by name only; what may not lead inside says so."""
    kept_outside = {} if reaches_private else {"reaches_private": False}
    return {
        "connector": connector,
        "config": config,
        "secrets": sorted(secrets),
        **kept_outside,
    }


def described_sync(sync: Sync | WantedSync, description: str | None) -> Described:
    """A sync; its streams by name, with what differs from the defaults."""
    streams = {stream.name: stream_to_json(stream) for stream in sync.streams}
    return {
        "source": sync.source.name,
        "destination": sync.destination.name,
        "dataset": sync.dataset,
        "description": description,
        "is_active": bool(sync.is_active),
        "pause_reason": sync.pause_reason,
        "tags": list(sync.tags),
        "order": list(streams),
        "streams": {
            name: {key: value for key, value in stream.items() if key != "name"}
            for name, stream in streams.items()
        },
        "retry": retry_to_json(sync.retry),
        "breaker": breaker_to_json(sync.breaker),
    }


def described_schedule(schedule: Schedule) -> Described:
    """A schedule, without what it has come to by itself."""
    return {
        "description": schedule.description,
        "cadence": plain_json(to_mapping(schedule.cadence)),
        "timezone": schedule.timezone,
        "clock_change": {
            "missing": str(schedule.clock_change.missing),
            "doubled": str(schedule.clock_change.doubled),
        },
        "policies": plain_json(policies_mapping(schedule.policies)),
        "is_active": schedule.is_active,
    }


def differences(before: Described | None, after: Described) -> tuple[FieldChange, ...]:
    """The values that differ, by their dotted names; none when ``before`` is None."""
    if before is None:
        return ()
    found = tuple(_differences("", before, after))
    # Another order of the same streams is told; where streams come or go, it is plain.
    moved = len(found) == 1 or not any(one.field.startswith("streams.") for one in found)
    return tuple(one for one in found if moved or one.field != "order")


def _differences(path: str, before: Json, after: Json) -> Iterator[FieldChange]:
    if before == after:
        return
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield FieldChange(field=path, before=before, after=after)
        return
    for key in dict.fromkeys((*before, *after)):
        inner = f"{path}.{key}" if path else key
        yield from _differences(inner, before.get(key), after.get(key))


def plain_json(value: Mapping[str, object]) -> Json:
    """A mapping of the model's, as JSON knows it."""
    found: Json = json.loads(json.dumps(value))
    return found
