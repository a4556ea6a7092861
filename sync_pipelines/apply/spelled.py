"""What there is, spelled as `apply.body` reads it, so that a part of it can be replaced.

Law: a body of these spellings plans no change.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from connectors.contract import Json
from sync_pipelines.apply.current import CurrentSync
from sync_pipelines.apply.describe import described_schedule
from sync_pipelines.catalog.codec import (
    DURATIONS,
    PATIENCE,
    breaker_to_json,
    retry_to_json,
    stream_to_json,
)
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import SyncStream

_MICROSECOND = timedelta(microseconds=1)


def spelled_sync(current: CurrentSync) -> Mapping[str, Json]:
    """A sync without its name and schedules."""
    sync = current.sync
    return {
        "source": sync.source.name,
        "destination": sync.destination.name,
        "dataset": sync.dataset,
        "description": current.description,
        "streams": [spelled_stream(stream) for stream in sync.streams],
        "retry": spelled_retry(sync.retry),
        "breaker": spelled_breaker(sync.breaker),
        "is_active": sync.is_active,
        "pause_reason": None if sync.is_active else sync.pause_reason,
        "tags": list(sync.tags),
    }


def spelled_stream(stream: SyncStream) -> dict[str, Json]:
    """A stream, with what differs from the defaults."""
    return _with_durations(stream_to_json(stream), ("lag",))


def spelled_retry(retry: RetryPolicy) -> dict[str, Json]:
    """How a sync's failed attempts are repeated."""
    return _with_durations(retry_to_json(retry), DURATIONS)


def spelled_breaker(breaker: BreakerPolicy) -> dict[str, Json]:
    """When a sync that keeps failing is left alone."""
    return _with_durations(breaker_to_json(breaker), PATIENCE)


def spelled_schedule(schedule: Schedule) -> Mapping[str, Json]:
    """A schedule without its name and sync."""
    return described_schedule(schedule)


def merged(held: Mapping[str, Json], patch: Mapping[str, Json]) -> dict[str, Json]:
    """A JSON merge patch (RFC 7396): None takes a key away, mappings are merged in turn."""
    found = dict(held)
    for key, value in patch.items():
        inner = found.get(key)
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping):
            found[key] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            found[key] = value
    return found


def _with_durations(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Json]:
    spelled = {name: _duration(value[name]) for name in names if name in value}
    return {**value, **spelled}


def _duration(seconds: float) -> str:
    """Seconds, in full: the shortest spelling of a number may have an exponent."""
    micros = timedelta(seconds=seconds) // _MICROSECOND
    whole, rest = divmod(micros, 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".") + "s"
