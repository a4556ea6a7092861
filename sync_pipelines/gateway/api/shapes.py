"""How schedules and executions look in ``/api/v2``, in the documents' words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from sync_pipelines.apply.describe import described_schedule
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.listing import ScheduleListed
from sync_pipelines.engine.standing import State, standing_of
from sync_pipelines.gateway.api.versions import etag
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.kinds import ScheduleType
from sync_pipelines.notify.remedies import remedy_of
from sync_pipelines.timing.words import sentence

Json = dict[str, Any]

FORBID = ConfigDict(extra="forbid")


class ScheduleTold(BaseModel):
    """A schedule: when its sync runs, how it stands, what comes next."""

    id: UUID
    tenant_id: UUID
    sync_id: UUID
    sync: str = Field(description="The sync's name.")
    connection_id: UUID = Field(description="Where the sync reads from.")
    name: str
    description: str | None
    schedule_type: ScheduleType
    cron_expression: str | None = Field(description="The cadence as cron, if cron can say it.")
    cadence: Json
    sentence: str = Field(description="The cadence for people.")
    timezone: str
    clock_change: Json
    policies: Json
    is_active: bool
    state: State
    reason: str = Field(description="Why it stands as it does.")
    next_run_at: datetime | None
    last_run_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Schedules(BaseModel):
    """A page of schedules; `next` as `cursor` brings the next one, null: that was all."""

    items: list[ScheduleTold]
    next: str | None


class ExecutionTold(BaseModel):
    """An execution, and what it moved so far."""

    id: UUID
    tenant_id: UUID
    sync_id: UUID
    sync: str
    schedule_id: UUID | None
    trigger: Trigger
    status: Status
    attempt: int
    due_at: datetime | None
    created_at: datetime
    queued_at: datetime | None
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
    remedy: str | None = Field(description="What helps, where something went wrong.")
    error_details: Json | None
    execution_metadata: Json
    progress: Json
    attempts: list[Json]
    run_id: str | None = Field(description="Dagster's run of the present attempt.")


class Executions(BaseModel):
    """A page of executions."""

    items: list[ExecutionTold]
    next: str | None


class Triggered(BaseModel):
    """What was started. `launched`: Dagster has it; else it is taken up within seconds."""

    execution_id: UUID
    launched: bool


def told_schedule(listed: ScheduleListed, now: datetime) -> ScheduleTold:
    """A schedule as it is answered."""
    schedule, standing = listed.scheduled.schedule, standing_of(listed.scheduled, now)
    described: Mapping[str, Any] = described_schedule(schedule)
    return ScheduleTold(
        id=schedule.id,
        tenant_id=schedule.tenant_id,
        sync_id=schedule.sync_id,
        sync=sync_name(listed.scheduled.sync.key),
        connection_id=listed.source_id,
        name=schedule.name,
        description=schedule.description,
        schedule_type=schedule.cadence.schedule_type,
        cron_expression=schedule.cadence.cron_expression,
        cadence=described["cadence"],
        sentence=sentence(schedule.cadence, schedule.timezone),
        timezone=schedule.timezone,
        clock_change=described["clock_change"],
        policies=described["policies"],
        is_active=schedule.is_active,
        state=standing.state,
        reason=standing.said,
        next_run_at=schedule.next_run_at,
        last_run_at=schedule.last_run_at,
        created_at=schedule.created_at,
        updated_at=listed.updated_at,
    )


def schedule_etag(listed: ScheduleListed) -> str:
    """The version of a schedule's configuration."""
    return etag(described_schedule(listed.scheduled.schedule), listed.updated_at)


def told_execution(entry: HistoryEntry) -> ExecutionTold:
    """An execution as it is answered."""
    execution, counts = entry.execution, entry.counts
    return ExecutionTold(
        id=execution.id,
        tenant_id=execution.tenant_id,
        sync_id=execution.sync_id,
        sync=sync_name(execution.sync_key),
        schedule_id=execution.schedule_id,
        trigger=execution.trigger,
        status=execution.status,
        attempt=execution.attempt,
        due_at=execution.due_at,
        created_at=execution.created_at,
        queued_at=execution.queued_at,
        started_at=execution.started_at,
        completed_at=execution.completed_at,
        next_attempt_at=execution.next_attempt_at if execution.is_waiting else None,
        duration_ms=milliseconds(entry),
        records_processed=counts.processed,
        records_created=counts.created,
        records_updated=counts.updated,
        records_deleted=counts.deleted,
        records_rejected=counts.rejected,
        bytes_moved=counts.bytes,
        error_message=entry.error_message,
        remedy=remedy_of(entry),
        error_details=None if entry.error_details is None else dict(entry.error_details),
        execution_metadata=dict(entry.metadata),
        progress=dict(entry.progress),
        attempts=[dict(attempt) for attempt in entry.attempts],
        run_id=execution.run_id,
    )


def milliseconds(entry: HistoryEntry) -> int | None:
    """How long an execution took, once it has ended."""
    return None if entry.duration is None else round(entry.duration.total_seconds() * 1000)


def sync_name(key: str) -> str:
    """``orders`` of ``acme/orders``."""
    return key.partition("/")[2]
