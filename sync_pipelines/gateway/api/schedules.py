"""``/api/v2/sync-schedules``: when syncs run."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from sync_pipelines.catalog import listing
from sync_pipelines.catalog.listing import ScheduleSort, TimeSort, WhichExecutions, WhichSchedules
from sync_pipelines.engine.explain import explain
from sync_pipelines.engine.foresight import coming
from sync_pipelines.engine.standing import waits_for
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.gateway.api import changing, starting
from sync_pipelines.gateway.api.cadences import with_cadence
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
from sync_pipelines.gateway.api.versions import IfMatch
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Admin, Viewer
from sync_pipelines.model.cadence import parse_cadence, parse_clock_change
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.kinds import ScheduleType
from sync_pipelines.model.policy import Pause, parse_policies
from sync_pipelines.timing.firings import Timetable
from sync_pipelines.timing.words import sentence
from sync_pipelines.timing.zones import find_zone

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


class PreviewWanted(BaseModel):
    """A schedule that is not saved."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"cadence": {"type": "hourly"}, "timezone": "UTC"}]},
    )

    cadence: Json | None = None
    schedule_type: str | None = None
    cron_expression: str | None = Field(default=None, max_length=200)
    config: Json | None = None
    timezone: str = Field(default="UTC", max_length=100)
    clock_change: Json = Field(default_factory=dict)
    policies: Json = Field(default_factory=dict)
    count: int = Field(default=5, ge=1, le=100)
    after: Instant | None = None


class FiringTold(BaseModel):
    """An instant to come; `runs` false: it is skipped, and `reason` says why."""

    due_at: datetime
    at: datetime
    local: str
    runs: bool
    count: int
    reason: str | None
    note: str | None = Field(description="What the clocks do that day.")


class PreviewTold(BaseModel):
    """What is to come of a schedule."""

    sentence: str
    timezone: str
    cron_expression: str | None
    waits_for: str | None = Field(description="What starts it, where no clock does.")
    is_over: bool
    next: list[FiringTold]


class ExplanationTold(BaseModel):
    """Why a schedule did or did not start its sync at an instant."""

    asked_at: datetime
    due_at: datetime | None
    verdict: str
    answer: str
    is_forecast: bool
    note: str | None
    execution_id: UUID | None


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
    response.headers["ETag"] = schedule_etag(made)
    response.headers["Location"] = f"{router.prefix}/{made.scheduled.schedule.id}"
    return told_schedule(made, doors.clock())


@router.post("/preview")
def preview_unsaved(wanted: PreviewWanted, _: Viewer, doors: ItsDoors) -> PreviewTold:
    """What would come of a schedule, before it is saved."""
    after = wanted.after or doors.clock()
    find_zone(wanted.timezone)
    when = with_cadence(wanted.model_dump(exclude_unset=True))
    timetable = Timetable(
        id=_UNSAVED,
        cadence=parse_cadence(when.get("cadence")),
        zone=wanted.timezone,
        clock_change=parse_clock_change(wanted.clock_change),
        policies=parse_policies(wanted.policies),
        anchor=after.astimezone(UTC).replace(second=0, microsecond=0),
    )
    return _preview(timetable, after=after, count=wanted.count, is_saved=False)


@router.get("/{schedule_id}")
def get(schedule_id: UUID, caller: Viewer, response: Response, doors: ItsDoors) -> ScheduleTold:
    """One schedule."""
    with caller.catalog.begin() as db:
        found = changing.found_schedule(db, schedule_id, caller)
    response.headers["ETag"] = schedule_etag(found)
    return told_schedule(found, doors.clock())


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
    response.headers["ETag"] = schedule_etag(changed)
    return told_schedule(changed, doors.clock())


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
    response.headers["ETag"] = schedule_etag(changed)
    return told_schedule(changed, doors.clock())


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
        found = listing.list_executions(
            db,
            which,
            tenant_id=caller.tenant.id,
            sort=sort,
            after=key_of(cursor, sort),
            limit=limit,
        )
    items = [told_execution(one) for one in found.items]
    return Executions(items=items, next=cursor_of(found.next, sort))


@router.get("/{schedule_id}/preview")
def preview(
    schedule_id: UUID,
    caller: Viewer,
    doors: ItsDoors,
    count: Annotated[int, Query(ge=1, le=100)] = 5,
    after: Instant | None = None,
) -> PreviewTold:
    """What is to come of it."""
    with caller.catalog.begin() as db:
        found = changing.found_schedule(db, schedule_id, caller).scheduled
    timetable = timetable_of(found.schedule, pause=found.sync.pause)
    return _preview(timetable, after=after or doors.clock(), count=count, is_saved=True)


@router.get("/{schedule_id}/explain")
def explain_(schedule_id: UUID, at: Instant, caller: Viewer, doors: ItsDoors) -> ExplanationTold:
    """Why it did or did not start its sync at an instant, past or to come."""
    with caller.catalog.begin() as db:
        found = changing.found_schedule(db, schedule_id, caller).scheduled
        said = explain(db, found, at=at, now=doors.clock())
    return ExplanationTold(
        asked_at=said.asked_at,
        due_at=said.due_at,
        verdict=said.verdict,
        answer=said.answer,
        is_forecast=said.is_forecast,
        note=said.note,
        execution_id=None if said.execution is None else said.execution.execution.id,
    )


_UNSAVED = UUID(int=0)


def _preview(timetable: Timetable, *, after: datetime, count: int, is_saved: bool) -> PreviewTold:
    found, zone = coming(timetable, after=after, count=count), find_zone(timetable.zone)
    firings = []
    for firing in found.firings:
        at = firing.at if is_saved else firing.due_at  # a spread is drawn when it is saved
        firings.append(
            FiringTold(
                due_at=firing.due_at,
                at=at,
                local=at.astimezone(zone).isoformat(),
                runs=firing.fires,
                count=firing.count,
                reason=firing.reason,
                note=firing.note,
            )
        )
    return PreviewTold(
        sentence=sentence(timetable.cadence, timetable.zone),
        timezone=timetable.zone,
        cron_expression=timetable.cadence.cron_expression,
        waits_for=waits_for(timetable.cadence),
        is_over=found.is_over,
        next=firings,
    )
