"""``/api/sync/schedules``: schedules by connection, platform and entity.

The same schedules as ``/api/v2/sync-schedules``, in the words of an older shape (trap T13):
a credential is a connection, a platform its connector, an entity type a stream.
"""

import re
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from connectors.contract import SyncMode
from sync_pipelines.catalog import happenings, listing
from sync_pipelines.catalog.happenings import WhichExecutions
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.listing import ScheduleListed, SyncListed
from sync_pipelines.gateway.api import changing, starting
from sync_pipelines.gateway.api.once import OnceAdmin, OnceOperator, OnceRoute
from sync_pipelines.gateway.api.shapes import Triggered
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Admin, Caller, Viewer
from sync_pipelines.gateway.problems import FieldError, ProblemError, not_found
from sync_pipelines.model.execution import Status
from sync_pipelines.model.sync import SyncStream

router = APIRouter(prefix="/api/sync/schedules", tags=["sync"], route_class=OnceRoute)

DEFAULT_ZONE = "America/Edmonton"

MOST = 10_000
"""So many schedules are listed; this shape knows no pages."""


class CreateScheduleRequest(BaseModel):
    """A schedule for the sync that reads ``entity_type`` from a connection."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "credential_id": "0b9e5b1c-6f0e-4c57-9f5c-8f5b8f1f1c11",
                    "platform": "database",
                    "entity_type": "orders",
                    "cron_expression": "0 0 * * * *",
                    "sync_mode": "incremental",
                }
            ]
        },
    )

    credential_id: UUID
    platform: str = Field(max_length=100)
    entity_type: str = Field(max_length=250)
    cron_expression: str = Field(max_length=200)
    sync_mode: SyncMode = SyncMode.INCREMENTAL
    timezone: str = Field(default=DEFAULT_ZONE, max_length=100)


class UpdateScheduleRequest(BaseModel):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"is_active": False}]}
    )

    cron_expression: str | None = Field(default=None, max_length=200)
    sync_mode: SyncMode | None = None
    timezone: str | None = Field(default=None, max_length=100)
    is_active: bool | None = None


class ScheduleResponse(BaseModel):
    """A schedule in this shape; ``cron_expression`` null: no cron says when it runs."""

    id: UUID
    platform: str
    entity_type: str
    cron_expression: str | None
    sync_mode: SyncMode
    timezone: str
    is_active: bool
    last_run_at: datetime | None
    next_run_at: datetime | None


class Created(BaseModel):
    """The new schedule's id."""

    id: UUID
    message: str


class Done(BaseModel):
    """What was done."""

    message: str


class StatusResponse(BaseModel):
    """How the schedule's last execution stands; all null where there was none."""

    execution_id: UUID | None = None
    status: Status | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    records_processed: int | None = None
    error_message: str | None = None


@router.post("", status_code=HTTPStatus.CREATED)
def create(wanted: CreateScheduleRequest, caller: OnceAdmin, doors: ItsDoors) -> Created:
    """Make a schedule for the sync that there is; 422 if none reads that."""
    sync = _sync_of(caller, wanted)
    written = {
        "cadence": {"type": "cron", "cron": wanted.cron_expression},
        "timezone": wanted.timezone,
    }
    made = changing.create_schedule(
        caller,
        doors,
        sync=sync.name,
        name=f"{as_word(wanted.entity_type)}-{doors.rng.getrandbits(32):08x}",
        written=written,
        mode={wanted.entity_type: wanted.sync_mode},
    )
    return Created(id=made.scheduled.schedule.id, message="Schedule created")


@router.get("")
def list_(caller: Viewer) -> list[ScheduleResponse]:
    """The tenant's schedules."""
    with caller.catalog.begin() as db:
        found = listing.list_schedules(
            db, listing.WhichSchedules(), tenant_id=caller.tenant.id, limit=MOST
        )
    return [_told(one) for one in found.items]


@router.get("/{schedule_id}")
def get(schedule_id: UUID, caller: Viewer) -> ScheduleResponse:
    """One schedule."""
    return _told(_found(caller, schedule_id))


@router.put("/{schedule_id}")
def update(
    schedule_id: UUID, wanted: UpdateScheduleRequest, caller: Admin, doors: ItsDoors
) -> Done:
    """Change a part of a schedule."""
    held = _found(caller, schedule_id)
    patch: dict[str, Any] = {}
    if wanted.cron_expression is not None:
        patch["cadence"] = {"type": "cron", "cron": wanted.cron_expression}
    if wanted.timezone is not None:
        patch["timezone"] = wanted.timezone
    if wanted.is_active is not None:
        patch["is_active"] = wanted.is_active
    mode = {} if wanted.sync_mode is None else {_entity(held).name: wanted.sync_mode}
    changing.change_schedule(caller, doors, schedule_id, patch, is_patch=True, mode=mode)
    return Done(message="Schedule updated")


@router.delete("/{schedule_id}")
def delete(schedule_id: UUID, caller: Admin, doors: ItsDoors) -> Done:
    """Remove a schedule."""
    changing.remove_schedule(caller, doors, schedule_id)
    return Done(message="Schedule deleted")


@router.post("/{schedule_id}/trigger", status_code=HTTPStatus.ACCEPTED)
def trigger(schedule_id: UUID, caller: OnceOperator, doors: ItsDoors) -> Triggered:
    """Start its sync now (R143)."""
    key = _found(caller, schedule_id).scheduled.sync.key
    return starting.start(caller, doors, key, schedule_id=schedule_id)


@router.get("/{schedule_id}/status")
def status(schedule_id: UUID, caller: Viewer) -> StatusResponse:
    """How its last execution stands (R143)."""
    _found(caller, schedule_id)
    last = last_execution(caller, schedule_id)
    if last is None:
        return StatusResponse()
    execution = last.execution
    return StatusResponse(
        execution_id=execution.id,
        status=execution.status,
        started_at=execution.started_at,
        completed_at=execution.completed_at,
        records_processed=last.counts.processed,
        error_message=last.error_message,
    )


@router.post("/{schedule_id}/retry", status_code=HTTPStatus.ACCEPTED)
def retry(schedule_id: UUID, caller: OnceOperator, doors: ItsDoors) -> Triggered:
    """Try its last execution again (R143); 409 if that has not failed."""
    _found(caller, schedule_id)
    last = last_execution(caller, schedule_id)
    if last is None:
        raise ProblemError(HTTPStatus.CONFLICT, "it has not run yet; trigger it instead")
    return starting.retry(caller, doors, last.execution.id)


def last_execution(caller: Caller, schedule_id: UUID) -> HistoryEntry | None:
    """The newest execution of a schedule."""
    with caller.catalog.begin() as db:
        found = happenings.list_executions(
            db, WhichExecutions(schedule_id=schedule_id), tenant_id=caller.tenant.id, limit=1
        )
    return found.items[0] if found.items else None


def _found(caller: Caller, schedule_id: UUID) -> ScheduleListed:
    with caller.catalog.begin() as db:
        return changing.found_schedule(db, schedule_id, caller)


def _sync_of(caller: Caller, wanted: CreateScheduleRequest) -> SyncListed:
    """The one sync that reads the entity from the connection; the one with fewest streams."""
    with caller.catalog.begin() as db:
        held = listing.find_connection(db, wanted.credential_id, tenant_id=caller.tenant.id)
        if held is None:
            raise not_found("connection", wanted.credential_id)
        if held.connector != wanted.platform:
            message = f"credential_id is a connection of platform {held.connector!r}"
            raise _wrong("platform", message)
        found = listing.list_syncs(db, tenant_id=caller.tenant.id, source=held.name, limit=MOST)
    reading = [
        one
        for one in found.items
        if any(stream.name == wanted.entity_type for stream in one.streams)
    ]
    if not reading:
        message = (
            f"no sync reads {wanted.entity_type!r} from connection {held.name!r}; "
            "make one with POST /api/v2/syncs"
        )
        raise _wrong("entity_type", message)
    return min(reading, key=lambda one: (len(one.streams), one.name))


def _told(listed: ScheduleListed) -> ScheduleResponse:
    schedule = listed.scheduled.schedule
    entity = _entity(listed)
    return ScheduleResponse(
        id=schedule.id,
        platform=listed.connector,
        entity_type=entity.name,
        cron_expression=schedule.cadence.cron_expression,
        sync_mode=entity.sync_mode,
        timezone=schedule.timezone,
        is_active=schedule.is_active,
        last_run_at=schedule.last_run_at,
        next_run_at=schedule.next_run_at,
    )


def _entity(listed: ScheduleListed) -> SyncStream:
    """The stream that a schedule is about: the one that its name was made from, or the first."""
    name = listed.scheduled.schedule.name.rpartition("-")[0]
    return next((one for one in listed.streams if as_word(one.name) == name), listed.streams[0])


def as_word(text: str) -> str:
    """A text as a part of a name."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:40] or "schedule"


def _wrong(field: str, message: str) -> ProblemError:
    error = FieldError(field=f"body.{field}", message=message)
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=[error])
