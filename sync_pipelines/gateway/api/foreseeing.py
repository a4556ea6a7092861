"""Of ``/api/v2/sync-schedules``: what is to come of a schedule, and why it did or did not run."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from sync_pipelines.engine.explain import explain
from sync_pipelines.engine.foresight import coming
from sync_pipelines.engine.standing import waits_for
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.gateway.api import changing
from sync_pipelines.gateway.api.cadences import with_cadence
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.api.times import Instant
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Viewer
from sync_pipelines.model.cadence import parse_cadence, parse_clock_change
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.timing.firings import Timetable
from sync_pipelines.timing.words import sentence
from sync_pipelines.timing.zones import find_zone

router = APIRouter(prefix="/api/v2/sync-schedules", tags=["sync-schedules"])


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
