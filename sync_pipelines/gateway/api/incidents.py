"""``/api/v2/incidents``: what is wrong for a tenant, and what helps."""

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import inbox, incidents, told
from sync_pipelines.catalog.incidents import Incident, Kind
from sync_pipelines.catalog.told import OpenSort, WhichIncidents
from sync_pipelines.gateway.api import starting
from sync_pipelines.gateway.api.once import OnceOperator, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.api.times import Instant, to_come
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Caller, Viewer
from sync_pipelines.gateway.problems import ProblemError, not_found
from sync_pipelines.model.notification import Severity

router = APIRouter(prefix="/api/v2/incidents", tags=["incidents"], route_class=OnceRoute)


class IncidentTold(BaseModel):
    """Something that is or was wrong. ``seen`` counts how often it was found while open."""

    id: UUID
    kind: Kind
    subject: str
    severity: Severity
    message: str
    remedy: str
    details: Json
    seen: int
    syncs: list[str] = Field(description="Those that it keeps from succeeding.")
    opened_at: datetime
    last_seen_at: datetime
    acknowledged_at: datetime | None
    snoozed_until: datetime | None
    resolved_at: datetime | None


class Incidents(BaseModel):
    """A page of incidents."""

    items: list[IncidentTold]
    next: str | None


class IncidentSnoozeWanted(BaseModel):
    """Until when nobody is to be reminded."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"until": "2026-03-03T08:00:00Z"}]}
    )

    until: Instant


@router.get("")
def list_(
    caller: Viewer,
    is_open: bool | None = None,
    kind: Kind | None = None,
    sort: OpenSort = OpenSort.OPENED_DOWN,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Incidents:
    """The tenant's incidents, newest first; `is_open` leaves out those that are over, or open."""
    which, after = WhichIncidents(is_open=is_open, kind=kind), key_of(cursor, sort)
    with caller.catalog.begin() as db:
        found = told.list_incidents(
            db, which, tenant_id=caller.tenant.id, sort=sort, after=after, limit=limit
        )
        names = incidents.affected_by(
            db, [one.id for one in found.items], tenant_id=caller.tenant.id
        )
    items = [_told(one, names.get(one.id, ())) for one in found.items]
    return Incidents(items=items, next=cursor_of(found.next, sort))


@router.get("/{incident_id}")
def get(incident_id: UUID, caller: Viewer) -> IncidentTold:
    """One incident."""
    with caller.catalog.begin() as db:
        return _found(db, caller, incident_id)


@router.post("/{incident_id}/acknowledge")
def acknowledge(incident_id: UUID, caller: OnceOperator, doors: ItsDoors) -> IncidentTold:
    """Somebody minds it: no more reminders. 409 if it is over."""
    now, tenant_id = doors.clock(), caller.tenant.id

    def change(db: Db) -> bool:
        return incidents.acknowledge(db, incident_id, tenant_id=tenant_id, now=now)

    return _done(caller, doors, incident_id, "acknowledged", change)


@router.post("/{incident_id}/snooze")
def snooze(
    incident_id: UUID, wanted: IncidentSnoozeWanted, caller: OnceOperator, doors: ItsDoors
) -> IncidentTold:
    """No reminders until then. 409 if it is over."""
    until, tenant_id = to_come(wanted.until, doors.clock()), caller.tenant.id

    def change(db: Db) -> bool:
        return incidents.snooze(db, incident_id, tenant_id=tenant_id, until=until)

    return _done(caller, doors, incident_id, "snoozed", change)


@router.post("/{incident_id}/resolve")
def resolve(incident_id: UUID, caller: OnceOperator, doors: ItsDoors) -> IncidentTold:
    """Somebody takes it for over; what goes wrong after that is a new one. 409 if it is over."""
    now, tenant_id = doors.clock(), caller.tenant.id

    def change(db: Db) -> bool:
        inbox.resolve_incident(db, incident_id, now=now)
        return incidents.close(db, incident_id, tenant_id=tenant_id, now=now)

    return _done(caller, doors, incident_id, "resolved", change)


def _done(
    caller: Caller, doors: Doors, incident_id: UUID, done: str, change: Callable[[Db], bool]
) -> IncidentTold:
    with caller.catalog.begin() as db:
        subject = _must_be(db, caller, incident_id).alarm.subject
        if not change(db):
            raise ProblemError(HTTPStatus.CONFLICT, "the incident is over")
        starting.note(db, caller, doors, f"incident.{done}", subject=f"{subject} {incident_id}")
        return _found(db, caller, incident_id)


def _must_be(db: Db, caller: Caller, incident_id: UUID) -> Incident:
    found = incidents.find(db, incident_id, tenant_id=caller.tenant.id)
    if found is None:
        raise not_found("incident", incident_id)
    return found


def _found(db: Db, caller: Caller, incident_id: UUID) -> IncidentTold:
    one = _must_be(db, caller, incident_id)
    return _told(one, incidents.affected(db, one.id, tenant_id=caller.tenant.id))


def _told(one: Incident, syncs: Sequence[str]) -> IncidentTold:
    alarm = one.alarm
    return IncidentTold(
        id=one.id,
        kind=alarm.kind,
        subject=alarm.subject,
        severity=alarm.severity,
        message=alarm.message,
        remedy=alarm.remedy,
        details=dict(alarm.details),
        seen=one.seen,
        syncs=list(syncs),
        opened_at=one.opened_at,
        last_seen_at=one.last_seen_at,
        acknowledged_at=one.acknowledged_at,
        snoozed_until=one.snoozed_until,
        resolved_at=one.resolved_at,
    )
