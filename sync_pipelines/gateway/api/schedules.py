"""``/api/v2/sync-schedules``: when syncs run."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from sync_pipelines.catalog import happenings, listing
from sync_pipelines.catalog.happenings import TimeSort, WhichExecutions
from sync_pipelines.catalog.listing import ScheduleListed, ScheduleSort, WhichSchedules
from sync_pipelines.gateway.api import changing, starting
from sync_pipelines.gateway.api.once import OnceAdmin, OnceOperator, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.shapes import (
    FORBID,
    Executions,
    Json,
    Schedules,
    ScheduleTold,
    Triggered,
    schedule_etag,
    told_execution,
    told_schedule,
)
from sync_pipelines.gateway.api.times import Instant
from sync_pipelines.gateway.api.versions import IfMatch, answered
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Admin, Viewer
from sync_pipelines.gateway.problems import FieldError, ProblemError
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.kinds import ScheduleType
from sync_pipelines.model.policy import Pause

router = APIRouter(prefix="/api/v2/sync-schedules", tags=["sync-schedules"], route_class=OnceRoute)

NIGHTLY: JsonDict = {
    "sync": "orders",
    "name": "nightly",
    "cadence": {"type": "daily", "at": "02:00"},
    "timezone": "Europe/Berlin",
}


class When(BaseModel):
    """What every way of writing a schedule shares."""

    model_config = FORBID

    description: str | None = Field(default=None, max_length=2000)
    cadence: Json | None = Field(
        default=None,
        description="When it runs, as in a manifest.",
        examples=[{"type": "daily", "at": "02:00"}, {"type": "every", "minutes": 15}],
    )
    schedule_type: str | None = Field(
        default=None, description="Instead of `cadence`: realtime, hourly, daily, weekly, …"
    )
    cron_expression: str | None = Field(default=None, max_length=200, examples=["0 2 * * *"])
    config: Json | None = Field(
        default=None, description="With `schedule_type`: hour, minute, time, dayOfWeek, dayOfMonth."
    )
    timezone: str | None = Field(default=None, max_length=100, examples=["Europe/Berlin"])
    clock_change: Json | None = None
    policies: Json | None = None
    is_active: bool | None = None

    def written(self) -> dict[str, Any]:
        """What was said, and no more."""
        return self.model_dump(exclude_unset=True)


class ScheduleWanted(When):
    """A schedule to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [NIGHTLY]})

    sync: str = Field(max_length=63)
    name: str = Field(max_length=63)


class SchedulePut(When):
    """What a schedule is to become as a whole. ``sync`` and ``name`` stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"cadence": {"type": "hourly"}, "timezone": "UTC"}]},
    )

    sync: str | None = None
    name: str | None = None


class SchedulePatch(SchedulePut):
    """A JSON merge patch (RFC 7396) of a schedule; a ``cadence`` is replaced as a whole."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"is_active": False}]}
    )


class TriggerWanted(BaseModel):
    """What is asked for beyond the sync's own settings."""

    model_config = FORBID

    streams: list[str] = Field(default_factory=list, max_length=10_000)
    full: bool = Field(default=False, description="Read from the beginning.")

    @property
    def request(self) -> Request:
        """As the model has it."""
        return Request(streams=tuple(dict.fromkeys(self.streams)), full=self.full)


class PauseWanted(BaseModel):
    """Why, and until when; without ``until`` until somebody resumes it."""

    model_config = FORBID

    reason: str | None = Field(default=None, max_length=500, examples=["stocktaking"])
    until: Instant | None = None


@router.get("")
def list_(
    caller: Viewer,
    doors: ItsDoors,
    sync: str | None = None,
    is_active: bool | None = None,
    schedule_type: ScheduleType | None = None,
    sort: ScheduleSort = ScheduleSort.NAME,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Schedules:
    """The tenant's schedules with their next runs."""
    which = WhichSchedules(sync=sync, is_active=is_active, schedule_type=schedule_type)
    with caller.catalog.begin() as db:
        found = listing.list_schedules(
            db,
            which,
            tenant_id=caller.tenant.id,
            sort=sort,
            after=key_of(cursor, sort),
            limit=limit,
        )
    now = doors.clock()
    items = [told_schedule(one, now) for one in found.items]
    return Schedules(items=items, next=cursor_of(found.next, sort))


@router.post("", status_code=HTTPStatus.CREATED)
def create(
    wanted: ScheduleWanted, caller: OnceAdmin, response: Response, doors: ItsDoors
) -> ScheduleTold:
    """Make a schedule; 409 if its sync has one of that name, or it would clash for certain."""
    made = changing.create_schedule(
        caller, doors, sync=wanted.sync, name=wanted.name, written=wanted.written()
    )
    response.headers["Location"] = f"{router.prefix}/{made.scheduled.schedule.id}"
    return _answer(made, response, doors)


@router.get("/{schedule_id}")
def get(schedule_id: UUID, caller: Viewer, response: Response, doors: ItsDoors) -> ScheduleTold:
    """One schedule."""
    with caller.catalog.begin() as db:
        found = changing.found_schedule(db, schedule_id, caller)
    return _answer(found, response, doors)


@router.put("/{schedule_id}")
def put(
    schedule_id: UUID,
    wanted: SchedulePut,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> ScheduleTold:
    """Replace a schedule: what is left out becomes its default, but for whether it is active."""
    written = wanted.written()
    changed = changing.change_schedule(
        caller, doors, schedule_id, written, is_patch=False, if_match=if_match
    )
    return _answer(changed, response, doors)


@router.patch("/{schedule_id}")
def patch(
    schedule_id: UUID,
    wanted: SchedulePatch,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> ScheduleTold:
    """Change a part of a schedule."""
    written = wanted.written()
    changed = changing.change_schedule(
        caller, doors, schedule_id, written, is_patch=True, if_match=if_match
    )
    return _answer(changed, response, doors)


@router.delete("/{schedule_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(schedule_id: UUID, caller: Admin, doors: ItsDoors, if_match: IfMatch = None) -> None:
    """Remove a schedule. What it has started stays in its sync's history."""
    changing.remove_schedule(caller, doors, schedule_id, if_match=if_match)


@router.post("/{schedule_id}/trigger", status_code=HTTPStatus.ACCEPTED)
def trigger(
    schedule_id: UUID,
    caller: OnceOperator,
    doors: ItsDoors,
    wanted: Annotated[TriggerWanted | None, Body()] = None,
) -> Triggered:
    """Start its sync now, by hand, even where the schedule is paused."""
    with caller.catalog.begin() as db:
        found = changing.found_schedule(db, schedule_id, caller)
    request = (wanted or TriggerWanted()).request
    return starting.start(
        caller, doors, found.scheduled.sync.key, request=request, schedule_id=schedule_id
    )


@router.post("/{schedule_id}/pause")
def pause(
    schedule_id: UUID,
    caller: OnceOperator,
    doors: ItsDoors,
    wanted: Annotated[PauseWanted | None, Body()] = None,
) -> ScheduleTold:
    """Let it start nothing until it is resumed, or until a time has come."""
    asked = wanted or PauseWanted()
    if asked.until is not None and asked.until <= doors.clock():
        message = f"until {asked.until:%Y-%m-%d %H:%M} UTC has passed already; name a time to come"
        wrong = FieldError(field="body.until", message=message)
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=[wrong])
    reason = asked.reason or f"paused by {caller.actor}"
    found = changing.pause_schedule(
        caller, doors, schedule_id, Pause(reason=reason, until=asked.until)
    )
    return told_schedule(found, doors.clock())


@router.post("/{schedule_id}/resume")
def resume(schedule_id: UUID, caller: OnceOperator, doors: ItsDoors) -> ScheduleTold:
    """Let it start its sync again, from its next instant on."""
    return told_schedule(changing.resume_schedule(caller, doors, schedule_id), doors.clock())


@router.get("/{schedule_id}/history")
def history(
    schedule_id: UUID,
    caller: Viewer,
    status: Status | None = None,
    trigger: Trigger | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Executions:
    """What it has started, newest first."""
    which = WhichExecutions(
        schedule_id=schedule_id, status=status, trigger=trigger, since=since, until=until
    )
    with caller.catalog.begin() as db:
        changing.found_schedule(db, schedule_id, caller)
        found = happenings.list_executions(
            db,
            which,
            tenant_id=caller.tenant.id,
            sort=sort,
            after=key_of(cursor, sort),
            limit=limit,
        )
    items = [told_execution(one) for one in found.items]
    return Executions(items=items, next=cursor_of(found.next, sort))


def _answer(listed: ScheduleListed, response: Response, doors: Doors) -> ScheduleTold:
    told = told_schedule(listed, doors.clock())
    return answered(told, response, version=schedule_etag(listed))
