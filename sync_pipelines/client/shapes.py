"""What the gateway answers, as frozen data. What a newer gateway adds is passed over.

Reports are those of `sync_pipelines.model.report`.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_type_hints
from uuid import UUID

Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a sync runs. ``etag`` is its version, None where it came in a list."""

    id: UUID
    sync_id: UUID
    sync: str
    name: str
    description: str | None
    schedule_type: str
    cron_expression: str | None
    cadence: Mapping[str, Any]
    sentence: str
    timezone: str
    clock_change: Mapping[str, Any]
    policies: Mapping[str, Any]
    is_active: bool
    state: str
    reason: str
    next_run_at: datetime | None
    last_run_at: datetime | None
    created_at: datetime
    updated_at: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What moves where; ``etag`` as for `Schedule`."""

    id: UUID
    name: str
    description: str | None
    source: str
    destination: str
    connector: str
    dataset: str
    streams: Sequence[Mapping[str, Any]]
    retry: Mapping[str, Any]
    breaker: Mapping[str, Any]
    is_active: bool
    tags: Sequence[str] = ()
    pause_reason: str | None
    created_at: datetime
    updated_at: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A system that was connected, without its secrets; ``etag`` as for `Schedule`."""

    id: UUID
    name: str
    connector: str
    config: Mapping[str, Any]
    secret_fields: Sequence[str]
    created_at: datetime
    updated_at: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """Whether a person has let a connection in; ``by_person``: it is done by that at all.

    ``redirect_uri`` is what must be registered with the provider.
    """

    by_person: bool
    is_authorized: bool
    refreshed_at: datetime | None
    redirect_uri: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An execution, and what it moved so far."""

    id: UUID
    sync: str
    schedule_id: UUID | None
    trigger: str
    status: str
    attempt: int
    due_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    next_attempt_at: datetime | None
    duration_ms: int | None
    records_processed: int
    records_created: int
    records_updated: int
    records_deleted: int
    records_rejected: int
    bytes_moved: int
    error_message: str | None
    remedy: str | None = None
    error_details: Mapping[str, Any] | None
    progress: Mapping[str, Any]

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.completed_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered:
    """What was started. ``launched``: Dagster has it; else it is taken up within seconds."""

    execution_id: UUID
    launched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One thing that happened to an execution."""

    at: datetime
    level: str
    event: str
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What could not be done, until somebody decides about it."""

    id: UUID
    kind: str
    status: str
    sync: str | None
    execution_id: UUID | None
    event_id: UUID | None
    cause: str
    reason: str
    payload: Mapping[str, Any]
    created_at: datetime
    closed_at: datetime | None
    redriven_as: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What came of redriving."""

    letters: Sequence[str]
    executions: Sequence[str]
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """An instant to come; ``runs`` False: it is skipped, and ``reason`` says why."""

    due_at: datetime
    at: datetime
    local: str
    runs: bool
    count: int
    reason: str | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What is to come of a schedule."""

    sentence: str
    timezone: str
    cron_expression: str | None
    waits_for: str | None
    is_over: bool
    next: Sequence[Firing]


def read(shape: type[Shape], said: Mapping[str, Any], **besides: object) -> Shape:
    """An answer as a shape; KeyError names a field that it lacks."""
    kinds = _kinds(cast(Hashable, shape))
    named = {name: _as(kinds[name], said[name]) for name in kinds if name in said}
    return shape(**{**named, **besides})


@cache
def _kinds(shape: Any) -> Mapping[str, Any]:
    hints = get_type_hints(shape)
    return {field.name: hints[field.name] for field in fields(shape)}


def _as(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    kinds = (kind, *get_args(kind))
    if datetime in kinds:
        return datetime.fromisoformat(value)
    if date in kinds:
        return date.fromisoformat(value)
    return UUID(value) if UUID in kinds else value
