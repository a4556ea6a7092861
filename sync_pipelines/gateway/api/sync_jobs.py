"""``/api/workspaces/{workspace_id}/sync-jobs``: a sync and its schedule as one job.

The same schedules as ``/api/v2/sync-schedules``, in the words of an older shape (trap T13):
a workspace is a tenant, a data source and a destination database are connections. A job's
id is its schedule's. ``toggle`` flips, so that a request sent twice undoes itself (trap
T11): ``enable`` and ``disable`` do not.
"""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import Connection as Db

from connectors.contract import SyncMode
from sync_pipelines.apply.body import Body, body_of, parsed_sync, with_schedule
from sync_pipelines.apply.current import Current
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.catalog import listing
from sync_pipelines.catalog.durations import recent_for_all_tenants
from sync_pipelines.catalog.listing import ConnectionListed, ScheduleListed, WhichSchedules
from sync_pipelines.gateway.api import changing, starting
from sync_pipelines.gateway.api.changing_syncs import remove_if_unused
from sync_pipelines.gateway.api.connections import found_connection
from sync_pipelines.gateway.api.discovering import discovered
from sync_pipelines.gateway.api.older import MOST, as_word, last_execution
from sync_pipelines.gateway.api.once import OnceRoute, once
from sync_pipelines.gateway.api.shapes import milliseconds, sync_name
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Caller, require
from sync_pipelines.model.execution import Status
from sync_pipelines.model.roles import Role

PATH = "/api/workspaces/{workspace_id}/sync-jobs"
TENANT = "workspace_id"

router = APIRouter(prefix=PATH, tags=["sync-jobs"], route_class=OnceRoute)

SCHEDULE = "main"
"""What the schedule of a new job is called."""

Looking: TypeAlias = Annotated[Caller, Depends(require(Role.VIEWER, tenant_in=TENANT))]
Operating: TypeAlias = Annotated[Caller, Depends(once(Role.OPERATOR, tenant_in=TENANT))]
Changing: TypeAlias = Annotated[Caller, Depends(require(Role.ADMIN, tenant_in=TENANT))]
Making: TypeAlias = Annotated[Caller, Depends(once(Role.ADMIN, tenant_in=TENANT))]


class Camel(BaseModel):
    """Names as this shape spells them."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class JobSchedule(Camel):
    """When a job runs."""

    cron: str = Field(max_length=200, examples=["0 * * * *"])
    timezone: str = Field(default="UTC", max_length=100, examples=["America/New_York"])


class JobScheduleTold(Camel):
    """When a job runs; ``cron`` null: no cron says it."""

    cron: str | None
    timezone: str


class JobWanted(Camel):
    """A job to be made. Without ``entityFilter`` it moves all that its source has now."""

    name: str = Field(min_length=1, max_length=250, examples=["Hourly Stripe Sync"])
    data_source_id: UUID
    destination_database_id: UUID
    schedule: JobSchedule
    sync_mode: SyncMode = SyncMode.FULL
    entity_filter: list[str] = Field(default_factory=list, max_length=10_000)
    enabled: bool = True


class JobPatch(Camel):
    """What is to change; what is left out stays."""

    name: str | None = Field(default=None, min_length=1, max_length=250)
    schedule: JobSchedule | None = None
    sync_mode: SyncMode | None = None
    enabled: bool | None = None


class JobTold(Camel):
    """A job."""

    id: UUID
    workspace_id: UUID
    name: str
    data_source_id: UUID
    destination_database_id: UUID
    schedule: JobScheduleTold
    sync_mode: SyncMode
    entity_filter: list[str]
    enabled: bool
    last_run_at: datetime | None
    next_run_at: datetime | None
    created_at: datetime
    updated_at: datetime


class JobStatus(Camel):
    """How a job stands."""

    id: UUID
    enabled: bool
    is_running: bool
    status: Status | None = Field(description="Of the last execution; null: it has not run.")
    last_execution_id: UUID | None
    last_run_at: datetime | None
    next_run_at: datetime | None
    last_error: str | None
    last_duration_ms: int | None
    average_duration_ms: int | None


class JobRun(Camel):
    """What was started."""

    execution_id: UUID
    launched: bool


@router.get("")
def list_(workspace_id: str, caller: Looking) -> list[JobTold]:
    """The workspace's jobs."""
    with caller.catalog.begin() as db:
        found = listing.list_schedules(db, WhichSchedules(), tenant_id=caller.tenant.id, limit=MOST)
    return [_told(one) for one in found.items]


@router.post("", status_code=HTTPStatus.CREATED)
def create(workspace_id: str, wanted: JobWanted, caller: Making, doors: ItsDoors) -> JobTold:
    """Make a job: a sync with a schedule; 409 if there is one of that name."""
    name = as_word(wanted.name)
    with caller.catalog.begin() as db:
        source = found_connection(db, caller, wanted.data_source_id)
        destination = found_connection(db, caller, wanted.destination_database_id)
    body = body_of(
        {
            "source": source.name,
            "destination": destination.name,
            "description": wanted.name,
            "streams": _streams(caller, source, wanted),
        }
    )
    schedule = body_of(
        {
            "cadence": {"type": "cron", "cron": wanted.schedule.cron},
            "timezone": wanted.schedule.timezone,
            "is_active": wanted.enabled,
        }
    )

    def want(_: Db, current: Current) -> tuple[Body, Parsed]:
        if current.sync(name) is not None:
            raise changing.already("sync", name)
        parsed = parsed_sync(body, caller.tenant.name, name)
        return body, with_schedule(parsed, schedule, SCHEDULE)

    changing.plan_and_act(caller, doors, want)
    with caller.catalog.begin() as db:
        made = listing.find_schedule_named(db, name, SCHEDULE, tenant_id=caller.tenant.id)
    assert made is not None, "it was made just now"
    return _told(made)


@router.get("/{job_id}")
def get(workspace_id: str, job_id: UUID, caller: Looking) -> JobTold:
    """One job."""
    return _told(_found(caller, job_id))


@router.put("/{job_id}")
def update(
    workspace_id: str, job_id: UUID, wanted: JobPatch, caller: Changing, doors: ItsDoors
) -> JobTold:
    """Change a part of a job."""
    patch: dict[str, Any] = {}
    if wanted.schedule is not None:
        patch["cadence"] = {"type": "cron", "cron": wanted.schedule.cron}
        if "timezone" in wanted.schedule.model_fields_set:
            patch["timezone"] = wanted.schedule.timezone
    if wanted.enabled is not None:
        patch["is_active"] = wanted.enabled
    held = _found(caller, job_id)
    mode = {one.name: wanted.sync_mode for one in held.streams if wanted.sync_mode is not None}
    changed = changing.change_schedule(
        caller, doors, job_id, patch, is_patch=True, mode=mode, sync_description=wanted.name
    )
    return _told(changed)


@router.delete("/{job_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(workspace_id: str, job_id: UUID, caller: Changing, doors: ItsDoors) -> None:
    """Remove a job's schedule, and its sync too where that has never run and has no other."""
    removed = changing.remove_schedule(caller, doors, job_id)
    remove_if_unused(caller, doors, sync_name(removed.scheduled.sync.key))


@router.post("/{job_id}/toggle")
def toggle(workspace_id: str, job_id: UUID, caller: Operating, doors: ItsDoors) -> JobTold:
    """Turn a job on if it is off, and off if it is on. Rather use enable or disable."""
    return _switch(caller, doors, job_id, None)


@router.post("/{job_id}/enable")
def enable(workspace_id: str, job_id: UUID, caller: Operating, doors: ItsDoors) -> JobTold:
    """Turn a job on. Once is as often."""
    return _switch(caller, doors, job_id, True)


@router.post("/{job_id}/disable")
def disable(workspace_id: str, job_id: UUID, caller: Operating, doors: ItsDoors) -> JobTold:
    """Turn a job off. Once is as often."""
    return _switch(caller, doors, job_id, False)


@router.post("/{job_id}/run", status_code=HTTPStatus.ACCEPTED)
def run(workspace_id: str, job_id: UUID, caller: Operating, doors: ItsDoors) -> JobRun:
    """Start a job now, also one that is off."""
    key = _found(caller, job_id).scheduled.sync.key
    made = starting.start(caller, doors, key, schedule_id=job_id)
    return JobRun(execution_id=made.execution_id, launched=made.launched)


@router.get("/{job_id}/status")
def status(workspace_id: str, job_id: UUID, caller: Looking) -> JobStatus:
    """How a job stands, how its last execution went, and how long they usually take (R22)."""
    schedule = _found(caller, job_id).scheduled.schedule
    last = last_execution(caller, job_id)
    with caller.catalog.begin() as db:
        taken = recent_for_all_tenants(db, [schedule.sync_id]).get(schedule.sync_id, ())
    average = (
        round(sum(one.total_seconds() for one in taken) / len(taken) * 1000) if taken else None
    )
    execution = None if last is None else last.execution
    return JobStatus(
        id=job_id,
        enabled=schedule.is_active,
        is_running=execution is not None and execution.status is Status.RUNNING,
        status=None if execution is None else execution.status,
        last_execution_id=None if execution is None else execution.id,
        last_run_at=schedule.last_run_at if execution is None else execution.started_at,
        next_run_at=schedule.next_run_at,
        last_error=None if last is None else last.error_message,
        last_duration_ms=None if last is None else milliseconds(last),
        average_duration_ms=average,
    )


def _switch(caller: Caller, doors: Doors, job_id: UUID, is_on: bool | None) -> JobTold:
    wanted = is_on if is_on is not None else not _found(caller, job_id).scheduled.schedule.is_active
    changed = changing.change_schedule(caller, doors, job_id, {"is_active": wanted}, is_patch=True)
    return _told(changed)


def _streams(
    caller: Caller, source: ConnectionListed, wanted: JobWanted
) -> list[Mapping[str, Any]]:
    """What moves: the entities that were named, or all; a part is put into what is there."""
    known = {}
    if not wanted.entity_filter or wanted.sync_mode is SyncMode.INCREMENTAL:
        known = {one.name: one for one in discovered(caller, source.id)}
    names = wanted.entity_filter or list(known)
    if wanted.sync_mode is SyncMode.FULL:
        return [{"name": name} for name in names]
    keyed = {name for name in names if name in known and known[name].primary_key}
    return [
        {
            "name": name,
            "sync_mode": str(SyncMode.INCREMENTAL),
            "write_mode": "upsert" if name in keyed else "append",
        }
        for name in names
    ]


def _found(caller: Caller, job_id: UUID) -> ScheduleListed:
    with caller.catalog.begin() as db:
        return changing.found_schedule(db, job_id, caller)


def _told(listed: ScheduleListed) -> JobTold:
    schedule = listed.scheduled.schedule
    modes = {one.sync_mode for one in listed.streams}
    return JobTold(
        id=schedule.id,
        workspace_id=schedule.tenant_id,
        name=listed.sync_description or sync_name(listed.scheduled.sync.key),
        data_source_id=listed.source_id,
        destination_database_id=listed.destination_id,
        schedule=JobScheduleTold(cron=schedule.cadence.cron_expression, timezone=schedule.timezone),
        sync_mode=SyncMode.INCREMENTAL if SyncMode.INCREMENTAL in modes else SyncMode.FULL,
        entity_filter=[one.name for one in listed.streams],
        enabled=schedule.is_active,
        last_run_at=schedule.last_run_at,
        next_run_at=schedule.next_run_at,
        created_at=schedule.created_at,
        updated_at=listed.updated_at,
    )
