"""``/api/v2/dead-letters``: what could not be done, until somebody decides about it."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sync_pipelines.catalog import dead_letters, happenings
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.catalog.happenings import TimeSort
from sync_pipelines.engine.dead_letters import discard
from sync_pipelines.gateway.api import starting
from sync_pipelines.gateway.api.once import OnceOperator, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.shapes import Json, sync_name
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Caller, Viewer
from sync_pipelines.gateway.problems import not_found
from sync_pipelines.model.dead_letter import DeadLetter, LetterKind, LetterStatus

router = APIRouter(prefix="/api/v2/dead-letters", tags=["dead-letters"], route_class=OnceRoute)


class LetterTold(BaseModel):
    """A dead letter. `cause` groups letters; `reason` is for people."""

    id: UUID
    kind: LetterKind
    status: LetterStatus
    sync: str | None
    execution_id: UUID | None
    event_id: UUID | None
    cause: str
    reason: str
    payload: Json
    created_at: datetime
    closed_at: datetime | None
    redriven_as: UUID | None


class Letters(BaseModel):
    """A page of dead letters."""

    items: list[LetterTold]
    next: str | None


class LettersMeant(BaseModel):
    """Which letters. Those that are not open are passed over."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(min_length=1, max_length=1000)


class RedrivenTold(BaseModel):
    """What came of it: letters that were open, what they became, events processed again."""

    letters: list[UUID]
    executions: list[UUID]
    events: int


class DiscardedTold(BaseModel):
    """The letters that were open and now are closed."""

    letters: list[UUID]


@router.get("")
def list_(
    caller: Viewer,
    status: LetterStatus | None = None,
    cause: str | None = None,
    sync: str | None = None,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Letters:
    """The tenant's dead letters, newest first."""
    which = Which(status=status, cause=cause, sync=sync)
    after = key_of(cursor, sort)
    with caller.catalog.begin() as db:
        found = happenings.list_letters(
            db, which, tenant_id=caller.tenant.id, sort=sort, after=after, limit=limit
        )
    items = [_told(one) for one in found.items]
    return Letters(items=items, next=cursor_of(found.next, sort))


@router.get("/{letter_id}")
def get(letter_id: UUID, caller: Viewer) -> LetterTold:
    """One dead letter."""
    return _told(_found(caller, letter_id))


@router.post("/redrive", status_code=HTTPStatus.ACCEPTED)
def redrive_many(meant: LettersMeant, caller: OnceOperator, doors: ItsDoors) -> RedrivenTold:
    """Try letters again: those of a sync that ask for the same become one execution."""
    return _redriven(caller, doors, meant.ids)


@router.post("/discard")
def discard_many(meant: LettersMeant, caller: OnceOperator, doors: ItsDoors) -> DiscardedTold:
    """Close letters that nobody wants to try again."""
    with caller.catalog.begin() as db:
        done = discard(db, meant.ids, tenant_id=caller.tenant.id, now=doors.clock())
        for letter in done:
            starting.note(db, caller, doors, "dead_letter.discarded", subject=str(letter))
    return DiscardedTold(letters=list(done))


@router.post("/{letter_id}/redrive", status_code=HTTPStatus.ACCEPTED)
def redrive(letter_id: UUID, caller: OnceOperator, doors: ItsDoors) -> RedrivenTold:
    """Try one letter again."""
    _found(caller, letter_id)
    return _redriven(caller, doors, [letter_id])


def _redriven(caller: Caller, doors: ItsDoors, ids: list[UUID]) -> RedrivenTold:
    done = starting.redrive_letters(caller, doors, ids)
    for execution in done.executions:
        caller.launch(execution)
    return RedrivenTold(
        letters=list(done.letters), executions=list(done.executions), events=done.events
    )


def _found(caller: Caller, letter_id: UUID) -> DeadLetter:
    with caller.catalog.begin() as db:
        found = dead_letters.find(db, letter_id, tenant_id=caller.tenant.id)
    if found is None:
        raise not_found("dead letter", letter_id)
    return found


def _told(letter: DeadLetter) -> LetterTold:
    return LetterTold(
        id=letter.id,
        kind=letter.kind,
        status=letter.status,
        sync=None if letter.sync_key is None else sync_name(letter.sync_key),
        execution_id=letter.execution_id,
        event_id=letter.event_id,
        cause=letter.cause,
        reason=letter.reason,
        payload=dict(letter.payload),
        created_at=letter.created_at,
        closed_at=letter.closed_at,
        redriven_as=letter.redriven_as,
    )
