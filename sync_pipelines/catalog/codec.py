"""Between frozen model objects and the JSON in the catalog's columns."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from connectors.contract import Deletes, SyncMode, WriteMode
from connectors.schema_policy import OnConflict, SchemaPolicy
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.execution import Request
from sync_pipelines.model.mapping import parse_mapping
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import SyncStream

DURATIONS = ("initial", "ceiling", "stalled_after")
PATIENCE = ("probe_after", "ceiling")


def stream_to_json(stream: SyncStream) -> dict[str, Any]:
    """Only what differs from the defaults, so that a diff shows what a tenant chose."""
    default = SyncStream(name=stream.name)
    chosen = {
        field.name: getattr(stream, field.name)
        for field in fields(stream)
        if getattr(stream, field.name) != getattr(default, field.name)
    }
    if "lag" in chosen:
        chosen["lag"] = stream.lag.total_seconds()
    if stream.mapping is not None:
        chosen["mapping"] = stream.mapping.to_mapping()
    listed = {key: list(value) for key, value in chosen.items() if isinstance(value, tuple)}
    return {"name": stream.name, **chosen, **listed}


def stream_from_json(value: Mapping[str, Any]) -> SyncStream:
    """The inverse of `stream_to_json`."""
    key = value.get("primary_key")
    return SyncStream(
        name=value["name"],
        sync_mode=SyncMode(value.get("sync_mode", SyncMode.FULL)),
        write_mode=WriteMode(value.get("write_mode", WriteMode.REPLACE)),
        cursor_field=value.get("cursor_field"),
        primary_key=None if key is None else tuple(key),
        columns=tuple(value.get("columns", ())),
        row_filter=value.get("row_filter"),
        lag=timedelta(seconds=value.get("lag", 0)),
        table=value.get("table"),
        deletes=Deletes(value.get("deletes", Deletes.KEEP)),
        allow_empty=value.get("allow_empty", False),
        most_deleted_percent=value.get("most_deleted_percent", 20),
        mapping=parse_mapping(value["mapping"]) if "mapping" in value else None,
        transform=value.get("transform"),
        schema_policy=SchemaPolicy(value.get("schema_policy", SchemaPolicy.EVOLVE)),
        on_conflict=OnConflict(value.get("on_conflict", OnConflict.FAIL)),
    )


def retry_to_json(retry: RetryPolicy) -> dict[str, Any]:
    """Durations become seconds."""
    value = {field.name: getattr(retry, field.name) for field in fields(retry)}
    return value | {name: value[name].total_seconds() for name in DURATIONS}


def retry_from_json(value: Mapping[str, Any]) -> RetryPolicy:
    """The inverse of `retry_to_json`; what is absent takes its default."""
    seconds = {name: timedelta(seconds=value[name]) for name in DURATIONS if name in value}
    return RetryPolicy(**{**value, **seconds})


def breaker_to_json(breaker: BreakerPolicy) -> dict[str, Any]:
    """Durations become seconds."""
    value = {field.name: getattr(breaker, field.name) for field in fields(breaker)}
    return value | {name: value[name].total_seconds() for name in PATIENCE}


def breaker_from_json(value: Mapping[str, Any]) -> BreakerPolicy:
    """The inverse of `breaker_to_json`; what is absent takes its default."""
    seconds = {name: timedelta(seconds=value[name]) for name in PATIENCE if name in value}
    return BreakerPolicy(**{**value, **seconds})


def request_to_json(request: Request) -> dict[str, Any]:
    """Only what was asked for."""
    value = {
        "streams": list(request.streams),
        "full": request.full,
        "window_start": request.window_start,
        "window_end": request.window_end,
        "allow_empty": request.allow_empty,
        "into": request.into,
        "redrive": request.redrive,
        "confirm_deletes": request.confirm_deletes,
    }
    return {key: asked for key, asked in value.items() if asked}


def request_from_json(value: Mapping[str, Any]) -> Request:
    """The inverse of `request_to_json`."""
    return Request(**{**value, "streams": tuple(value.get("streams", ()))})
