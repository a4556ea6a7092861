"""``/api/v2/notifications``: the inbox of whoever is signed in.

Law: an inbox is a person's. A token has none, and sees nobody's.
"""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import inbox, told
from sync_pipelines.catalog.happenings import TimeSort
from sync_pipelines.catalog.inbox import Message, WhichMessages
from sync_pipelines.gateway.api.once import OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.api.times import Instant, to_come
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Caller, Viewer
from sync_pipelines.gateway.problems import ProblemError, not_found
from sync_pipelines.model.notification import Severity, Topic

router = APIRouter(prefix="/api/v2/notifications", tags=["notifications"], route_class=OnceRoute)


def person_of(caller: Viewer) -> UUID:
    """Who is signed in; ends the request with 404 if a token asks, for it is nobody."""
    user = caller.identity.user
    if user is None:
        detail = "an inbox and preferences are a person's, and a token is none; sign in"
        raise ProblemError(HTTPStatus.NOT_FOUND, detail)
    return user.id


PersonId: TypeAlias = Annotated[UUID, Depends(person_of)]
"""A handler's argument of this type is the user who is signed in."""


class MessageTold(BaseModel):
    """A message. ``message`` is its news in words; ``payload`` is what a webhook is sent."""

    id: UUID
    topic: Topic
    severity: Severity
    message: str
    incident_id: UUID | None
    payload: Json
    created_at: datetime
    read_at: datetime | None
    acknowledged_at: datetime | None
    snoozed_until: datetime | None
    resolved_at: datetime | None


class Messages(BaseModel):
    """A page of messages. ``unread`` counts all that are neither read, snoozed nor over."""

    items: list[MessageTold]
    next: str | None
    unread: int


class SnoozeWanted(BaseModel):
    """Until when it is not to be shown."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"until": "2026-03-02T13:00:00Z"}]}
    )

    until: Instant


class AllRead(BaseModel):
    """How many messages were new."""

    messages: int


@router.get("")
def list_(
    caller: Viewer,
    person: PersonId,
    doors: ItsDoors,
    all: bool = False,
    unread: bool = False,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Messages:
    """What one was told, newest first; with `all` also what is over or snoozed."""
    now, tenant_id = doors.clock(), caller.tenant.id
    which = WhichMessages(now=now, user_id=person, every=all, only_unread=unread)
    after = key_of(cursor, sort)
    with caller.catalog.begin() as db:
        found = told.list_messages(
            db, which, tenant_id=tenant_id, sort=sort, after=after, limit=limit
        )
        new = inbox.unread(db, person, tenant_id=tenant_id, now=now)
    items = [_told(one) for one in found.items]
    return Messages(items=items, next=cursor_of(found.next, sort), unread=new)


@router.post("/read")
def read_all(caller: Viewer, person: PersonId, doors: ItsDoors) -> AllRead:
    """One has read everything. Once is as often."""
    with caller.catalog.begin() as db:
        new = inbox.mark_read(db, person, tenant_id=caller.tenant.id, now=doors.clock())
    return AllRead(messages=new)


@router.post("/{message_id}/read")
def read(message_id: UUID, caller: Viewer, person: PersonId, doors: ItsDoors) -> MessageTold:
    """One has read it. Once is as often."""
    mine = {"tenant_id": caller.tenant.id, "user_id": person}
    return _done(
        caller, message_id, lambda db: inbox.read(db, message_id, **mine, now=doors.clock())
    )


@router.post("/{message_id}/acknowledge")
def acknowledge(message_id: UUID, caller: Viewer, person: PersonId, doors: ItsDoors) -> MessageTold:
    """One minds it. Once is as often."""
    mine = {"tenant_id": caller.tenant.id, "user_id": person}
    now = doors.clock()
    return _done(caller, message_id, lambda db: inbox.acknowledge(db, message_id, **mine, now=now))


@router.post("/{message_id}/snooze")
def snooze(
    message_id: UUID, wanted: SnoozeWanted, caller: Viewer, person: PersonId, doors: ItsDoors
) -> MessageTold:
    """Show it again then, as unread."""
    until = to_come(wanted.until, doors.clock())
    mine = {"tenant_id": caller.tenant.id, "user_id": person}
    return _done(caller, message_id, lambda db: inbox.snooze(db, message_id, **mine, until=until))


@router.post("/{message_id}/resolve")
def resolve(message_id: UUID, caller: Viewer, person: PersonId, doors: ItsDoors) -> MessageTold:
    """One takes it for over; its incident goes on for others."""
    mine = {"tenant_id": caller.tenant.id, "user_id": person}
    now = doors.clock()
    return _done(caller, message_id, lambda db: inbox.resolve(db, message_id, **mine, now=now))


def _done(caller: Caller, message_id: UUID, change: Callable[[Db], Message | None]) -> MessageTold:
    with caller.catalog.begin() as db:
        changed = change(db)
    if changed is None:
        raise not_found("message", message_id)
    return _told(changed)


def _told(one: Message) -> MessageTold:
    about = one.payload.get("incident") or one.payload.get("error") or one.payload
    return MessageTold(
        id=one.id,
        topic=one.topic,
        severity=one.severity,
        message=str(one.payload.get("headline") or about.get("message") or one.topic),
        incident_id=one.incident_id,
        payload=dict(one.payload),
        created_at=one.created_at,
        read_at=one.read_at,
        acknowledged_at=one.acknowledged_at,
        snoozed_until=one.snoozed_until,
        resolved_at=one.resolved_at,
    )
