"""``/api/v2/syncs``: what moves where."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlalchemy import Connection as Db

from sync_pipelines.apply.current import CurrentSync
from sync_pipelines.apply.spelled import spelled_breaker, spelled_retry, spelled_stream
from sync_pipelines.catalog import audit, listing
from sync_pipelines.catalog.listing import NameSort, SyncListed
from sync_pipelines.engine import steering
from sync_pipelines.engine.conflicts import review_resumed
from sync_pipelines.gateway.api import changing_syncs, starting
from sync_pipelines.gateway.api.once import OnceAdmin, OnceOperator, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.schedules import PauseWanted, TriggerWanted
from sync_pipelines.gateway.api.shapes import Json, Triggered
from sync_pipelines.gateway.api.versions import IfMatch, answered, check_match, etag
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Admin, Caller, Viewer
from sync_pipelines.gateway.problems import ProblemError, not_found

router = APIRouter(prefix="/api/v2/syncs", tags=["syncs"], route_class=OnceRoute)

ORDERS: JsonDict = {
    "name": "orders",
    "source": "shop",
    "destination": "warehouse",
    "streams": [{"name": "orders", "sync_mode": "incremental", "write_mode": "upsert"}],
}


class SyncParts(BaseModel):
    """What every way of writing a sync shares; as in a manifest."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(default=None, description="A connection's name.")
    destination: str | None = Field(default=None, description="A connection's name.")
    dataset: str | None = Field(default=None, max_length=250)
    description: str | None = Field(default=None, max_length=2000)
    streams: list[str | Json] | None = Field(default=None, max_length=10_000)
    retry: Json | None = None
    breaker: Json | None = None
    is_active: bool | None = None
    pause_reason: str | None = Field(default=None, max_length=500)
    tags: list[str] | None = Field(default=None, max_length=50)

    def written(self) -> dict[str, Any]:
        """What was said, and no more."""
        return self.model_dump(exclude_unset=True)


class SyncWanted(SyncParts):
    """A sync to be made; its schedules are resources of their own."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [ORDERS]})

    name: str = Field(max_length=63)


class SyncPut(SyncParts):
    """What a sync is to become as a whole. ``name`` stays as it is."""

    name: str | None = None


class SyncPatch(SyncPut):
    """A JSON merge patch (RFC 7396) of a sync; ``streams`` are replaced as a whole."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"is_active": False}]}
    )


class SyncTold(BaseModel):
    """A sync as it was configured."""

    id: UUID
    name: str
    description: str | None
    source: str
    destination: str
    connector: str
    dataset: str
    streams: list[Json]
    retry: Json
    breaker: Json
    is_active: bool
    tags: list[str]
    pause_reason: str | None
    created_at: datetime
    updated_at: datetime


class Syncs(BaseModel):
    """A page of syncs."""

    items: list[SyncTold]
    next: str | None


@router.get("")
def list_(
    caller: Viewer,
    source: str | None = None,
    is_active: bool | None = None,
    tag: str | None = None,
    sort: NameSort = NameSort.NAME,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Syncs:
    """The tenant's syncs."""
    with caller.catalog.begin() as db:
        found = listing.list_syncs(
            db,
            tenant_id=caller.tenant.id,
            source=source,
            is_active=is_active,
            tag=tag,
            sort=sort,
            after=key_of(cursor, sort),
            limit=limit,
        )
    return Syncs(items=[_told(one) for one in found.items], next=cursor_of(found.next, sort))


@router.post("", status_code=HTTPStatus.CREATED)
def create(wanted: SyncWanted, caller: OnceAdmin, response: Response, doors: ItsDoors) -> SyncTold:
    """Make a sync; 409 if there is one of that name."""
    changing_syncs.create_sync(caller, doors, name=wanted.name, written=wanted.written())
    with caller.catalog.begin() as db:
        made = listing.find_sync_named(db, wanted.name, tenant_id=caller.tenant.id)
    assert made is not None, "it was made just now"
    response.headers["Location"] = f"{router.prefix}/{made.id}"
    return answered(_told(made), response, version=_etag(made))


@router.get("/{sync_id}")
def get(sync_id: UUID, caller: Viewer, response: Response) -> SyncTold:
    """One sync."""
    found = _found(caller, sync_id)
    return answered(_told(found), response, version=_etag(found))


@router.put("/{sync_id}")
def put(
    sync_id: UUID,
    wanted: SyncPut,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> SyncTold:
    """Replace a sync: what is left out becomes its default, but for whether it is active."""
    return _changed(caller, doors, sync_id, wanted, response, is_patch=False, if_match=if_match)


@router.patch("/{sync_id}")
def patch(
    sync_id: UUID,
    wanted: SyncPatch,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> SyncTold:
    """Change a part of a sync."""
    return _changed(caller, doors, sync_id, wanted, response, is_patch=True, if_match=if_match)


@router.delete("/{sync_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(sync_id: UUID, caller: Admin, doors: ItsDoors, if_match: IfMatch = None) -> None:
    """Remove a sync with its schedules and its history; what it has written stays.

    409 while an execution of it has not ended, or others wait for it.
    """
    name = _found(caller, sync_id).name
    check = _checked(sync_id, caller, if_match)
    changing_syncs.remove_sync(caller, doors, name, check=check)


@router.post("/{sync_id}/trigger", status_code=HTTPStatus.ACCEPTED)
def trigger(
    sync_id: UUID,
    caller: OnceOperator,
    doors: ItsDoors,
    wanted: Annotated[TriggerWanted | None, Body()] = None,
) -> Triggered:
    """Start it now, by hand, even where it is paused."""
    key = f"{caller.tenant.name}/{_found(caller, sync_id).name}"
    return starting.start(caller, doors, key, request=(wanted or TriggerWanted()).request)


@router.post("/{sync_id}/pause")
def pause(
    sync_id: UUID,
    caller: OnceOperator,
    doors: ItsDoors,
    wanted: Annotated[PauseWanted | None, Body()] = None,
) -> SyncTold:
    """Let none of its schedules start it until it is resumed."""
    asked = wanted or PauseWanted()
    if asked.until is not None:
        detail = "a sync is paused until it is resumed; pause its schedules for a time"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    reason = asked.reason or f"paused by {caller.actor}"
    with caller.catalog.begin() as db:
        _must_be(db, caller, sync_id)
        steering.pause_sync(
            db, sync_id, tenant_id=caller.tenant.id, reason=reason, now=doors.clock()
        )
        _note(db, caller, doors, sync_id, "sync.paused", reason=reason)
    return _told(_found(caller, sync_id))


@router.post("/{sync_id}/resume")
def resume(sync_id: UUID, caller: OnceOperator, doors: ItsDoors) -> SyncTold:
    """Let its schedules start it again; 409 if one would clash."""
    now = doors.clock()
    with caller.catalog.begin() as db:
        _must_be(db, caller, sync_id)
        steering.resume_sync(db, sync_id, tenant_id=caller.tenant.id, now=now)
        _note(db, caller, doors, sync_id, "sync.resumed")
        review_resumed(caller.catalog, db, caller.tenant.name, now=now)
    return _told(_found(caller, sync_id))


def _changed(
    caller: Caller,
    doors: Doors,
    sync_id: UUID,
    wanted: SyncPut,
    response: Response,
    *,
    is_patch: bool,
    if_match: str | None,
) -> SyncTold:
    changing_syncs.change_sync(
        caller,
        doors,
        _found(caller, sync_id).name,
        wanted.written(),
        is_patch=is_patch,
        check=_checked(sync_id, caller, if_match),
    )
    found = _found(caller, sync_id)
    return answered(_told(found), response, version=_etag(found))


def _checked(sync_id: UUID, caller: Caller, if_match: str | None) -> changing_syncs.Check:
    def check(db: Db, _: CurrentSync) -> None:
        check_match(if_match, _etag(_must_be(db, caller, sync_id)))

    return check


def _note(
    db: Db, caller: Caller, doors: Doors, sync_id: UUID, action: str, **after: object
) -> None:
    name = _must_be(db, caller, sync_id).name
    audit.record(
        db,
        at=doors.clock(),
        actor=caller.actor,
        action=action,
        subject=f"{caller.tenant.name}/{name}",
        tenant_id=caller.tenant.id,
        after=after or None,
    )


def _found(caller: Caller, sync_id: UUID) -> SyncListed:
    with caller.catalog.begin() as db:
        return _must_be(db, caller, sync_id)


def _must_be(db: Db, caller: Caller, sync_id: UUID) -> SyncListed:
    found = listing.find_sync(db, sync_id, tenant_id=caller.tenant.id)
    if found is None:
        raise not_found("sync", sync_id)
    return found


def _etag(found: SyncListed) -> str:
    described = _told(found).model_dump(mode="json")
    return etag(described, found.updated_at)


def _told(found: SyncListed) -> SyncTold:
    return SyncTold(
        id=found.id,
        name=found.name,
        description=found.description,
        source=found.source,
        destination=found.destination,
        connector=found.connector,
        dataset=found.dataset,
        streams=[spelled_stream(stream) for stream in found.streams],
        retry=spelled_retry(found.retry),
        breaker=spelled_breaker(found.breaker),
        is_active=found.is_active,
        pause_reason=found.pause_reason,
        tags=list(found.tags),
        created_at=found.created_at,
        updated_at=found.updated_at,
    )
