"""``/api/v2/executions/{id}/events``: an execution as it moves on, as server-sent events.

Each event is the whole of where the execution stands, so that nothing is lost over a new
connection: with ``Last-Event-ID`` only what is new is sent. The last one is ``end``; who
asks again after that is told 204, upon which a browser stops asking. A gateway that stops
ends its streams at once, and browsers go on at another, or at the next.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from time import monotonic
from typing import Annotated, cast
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Header, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.applications import Starlette

from sync_pipelines.catalog.listening import (
    Key,
    Stand,
    listening,
    stand_of,
    stands_for_all_tenants,
)
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.identity import Caller, Viewer
from sync_pipelines.gateway.problems import ProblemError, not_found
from sync_pipelines.gateway.progress_hub import Hub
from sync_pipelines.model.execution import Status

HEARTBEAT_SECONDS = 15.0
"""Proxies cut what is silent for longer, often after a minute."""

LONGEST_SECONDS = 600.0
"""After so long who watches comes again, and shows again who they are."""

RETRY_MILLISECONDS = 1000

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Records(BaseModel):
    """What was moved so far."""

    processed: int
    created: int
    updated: int
    deleted: int
    rejected: int
    bytes: int


class Step(BaseModel):
    """Where an execution stands. ``progress`` is of the attempt that runs."""

    id: UUID
    sync: str
    status: Status
    attempt: int
    is_cancelling: bool
    records: Records
    progress: dict[str, str | int | float | bool | None]
    started_at: datetime | None
    completed_at: datetime | None
    next_attempt_at: datetime | None
    error_message: str | None


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    catalog = cast(Doors, app.state.doors).catalog

    def read(keys: Collection[Key]) -> Mapping[Key, Stand]:
        with catalog.begin() as db:
            return stands_for_all_tenants(db, keys)

    hub = Hub(lambda: listening(catalog), read)
    app.state.progress = hub
    async with hub.running():
        yield


def end_streams(app: Starlette) -> None:
    """End all that are open, and those that are opened from now on; nothing before it runs."""
    hub: Hub | None = getattr(app.state, "progress", None)
    if hub is not None:
        hub.dismiss()


router = APIRouter(tags=["executions"], lifespan=_lifespan)


@router.get(
    "/api/v2/executions/{execution_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events, until its end."},
        204: {"description": "It has ended, and that has been told."},
    },
)
async def events(
    execution_id: UUID,
    caller: Viewer,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """An execution's steps as they happen: event ``step`` each, and ``end`` for the last."""
    hub = cast(Hub, request.app.state.progress)
    stand = await run_sync(_found, caller, execution_id)
    if stand is None:
        raise not_found("execution", execution_id)
    if stand.status.is_final and _id_of(_data(stand)) == last_event_id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if not hub.has_room(caller.tenant.id):
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too many executions are watched; ask for this one now and then instead",
            headers={"Retry-After": "30"},
        )
    key = (caller.tenant.id, execution_id)
    steps = _steps(hub, key, stand, last_event_id)
    return StreamingResponse(steps, media_type="text/event-stream", headers=HEADERS)


async def _steps(hub: Hub, key: Key, first: Stand, told: str | None) -> AsyncIterator[str]:
    until = monotonic() + LONGEST_SECONDS
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    with hub.watching(key) as watcher:
        stand: Stand | None = first
        while monotonic() < until:
            if stand is None:
                yield ": still here\n\n"
            elif _id_of(data := _data(stand)) != told:
                told = _id_of(data)
                yield _event("end" if stand.status.is_final else "step", told, data)
            if stand is not None and stand.status.is_final:
                return
            stand = await watcher.next(HEARTBEAT_SECONDS)
            if watcher.is_dismissed:
                yield f": this gateway stops; ask again\nretry: {RETRY_MILLISECONDS}\n\n"
                return
            if watcher.is_gone:  # no longer kept, or its sync was removed
                yield _event("gone", "gone", "{}")
                return


def _found(caller: Caller, execution_id: UUID) -> Stand | None:
    with caller.catalog.begin() as db:
        return stand_of(db, execution_id, tenant_id=caller.tenant.id)


def _event(name: str, event_id: str, data: str) -> str:
    return f"event: {name}\nid: {event_id}\ndata: {data}\n\n"


def _id_of(data: str) -> str:
    return sha256(data.encode()).hexdigest()[:16]


def _data(stand: Stand) -> str:
    """One line of JSON."""
    counts = stand.counts
    step = Step(
        id=stand.id,
        sync=stand.sync_key,
        status=stand.status,
        attempt=stand.attempt,
        is_cancelling=stand.is_cancelling,
        records=Records(
            processed=counts.processed,
            created=counts.created,
            updated=counts.updated,
            deleted=counts.deleted,
            rejected=counts.rejected,
            bytes=counts.bytes,
        ),
        progress=dict(stand.progress),
        started_at=stand.started_at,
        completed_at=stand.completed_at,
        next_attempt_at=stand.next_attempt_at,
        error_message=stand.error_message,
    )
    return step.model_dump_json()
