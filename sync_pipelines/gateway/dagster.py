"""``/dagster``: Dagster's own pages, for whoever runs the installation.

Dagster knows neither users nor tenants: its pages show everybody's runs and can change
everything. So it listens on the loopback address only, and instance admins alone get at
it here; an operator of one tenant would see all others.

Laws:

* Who asks is found out before a byte of the request is passed on, and nothing by which
  they are known is passed on: see `gateway.dagster_rules`.
* Its pages cannot say the session's word, so whoever comes by a cookie and could change
  something must come from a page of this very origin, and say so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Literal, cast
from urllib.parse import quote

import anyio
import httpx
import structlog
from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from sync_pipelines.gateway.cookies import public_url
from sync_pipelines.gateway.dagster_rules import (
    FROM_DAGSTER,
    TO_DAGSTER,
    PathError,
    own_place,
    passed,
    rest_of,
)
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Identity, check_instance_admin, identify_visitor
from sync_pipelines.gateway.problems import ProblemError, is_for_people

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 120.0

LONGEST_SECONDS = 900.0
"""After so long a socket is closed; the page opens another, and shows again who it is."""

MOST_BYTES = 16 * 1024 * 1024
"""Of one message."""

SUBPROTOCOLS = frozenset({"graphql-ws", "graphql-transport-ws"})

log = structlog.get_logger()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    # No proxy of the environment's: it is on this machine, or where the settings say.
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
        app.state.to_dagster = client
        yield


router = APIRouter(include_in_schema=False, lifespan=_lifespan)


@router.api_route("/dagster", methods=["GET", "HEAD", "POST"])
@router.api_route("/dagster/{rest:path}", methods=["GET", "HEAD", "POST"])
async def pages(request: Request, doors: ItsDoors) -> Response:
    """Pass a request on, and its answer back, as they come."""
    is_change = request.method not in ("GET", "HEAD")
    try:
        identity = await run_sync(_admin, request, doors, is_change)
    except ProblemError as problem:
        if problem.status is HTTPStatus.UNAUTHORIZED and is_for_people(request):
            where = f"/sign-in?next={quote(request.url.path)}"
            return RedirectResponse(where, HTTPStatus.SEE_OTHER)
        raise
    try:
        rest = rest_of(request.scope["raw_path"], request.scope["query_string"])
    except PathError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"not a path of Dagster's: {error}") from error
    if is_change:
        log.info("dagster.posted", actor=identity.actor, path=request.url.path)
    return await _passed_on(request, await _where(doors), rest)


@router.get("/favicon-run-{status}.svg")
async def favicon(status: Literal["success", "pending", "failed"]) -> Response:
    """What a run's page shows in its tab: Dagster 1.13 asks for it at the root of any server."""
    return RedirectResponse(f"/dagster/favicon-run-{status}.svg")


@router.websocket("/dagster/graphql")
async def subscribe(socket: WebSocket) -> None:
    """Pass messages on both ways: what Dagster's pages show live."""
    doors = cast(Doors, socket.app.state.doors)
    try:
        rest = rest_of(socket.scope["raw_path"], socket.scope["query_string"])
        identity = await run_sync(_admin, socket, doors, True)
        url = await _where(doors)
    except (ProblemError, PathError) as error:
        log.info("dagster.socket_refused", reason=str(error))
        await socket.close(1008)  # before it was accepted: 403
        return
    wanted = [Subprotocol(one) for one in socket.scope["subprotocols"] if one in SUBPROTOCOLS]
    opening = connect(
        f"ws{url.removeprefix('http')}{rest.decode()}",
        subprotocols=wanted or None,
        open_timeout=CONNECT_SECONDS,
        max_size=MOST_BYTES,
        proxy=None,
        user_agent_header=None,
    )
    try:
        upstream = await opening
    except (WebSocketException, OSError, TimeoutError) as error:
        log.warning("dagster.away", error=type(error).__name__)
        await socket.close(1013)  # before it was accepted: 403
        return
    async with upstream:
        log.info("dagster.socket_opened", actor=identity.actor)
        await socket.accept(upstream.subprotocol)
        await _both_ways(socket, upstream)


def _admin(connection: HTTPConnection, doors: Doors, is_change: bool) -> Identity:
    """Who asks, if they run the installation; ends the request otherwise."""
    identity = identify_visitor(connection, doors)
    check_instance_admin(identity)
    if is_change and identity.token is None:
        origin = connection.headers.get("origin", "")
        if URL(origin).netloc != public_url(connection, doors.settings).netloc:
            raise ProblemError(HTTPStatus.FORBIDDEN, "only a page of this gateway may send this")
    return identity


async def _where(doors: Doors) -> str:
    url = await run_sync(doors.dagster_url)
    if url is None:
        raise _away("Dagster's pages are not running here; `sync-pipelines up` starts them")
    return url


async def _passed_on(request: Request, url: str, rest: bytes) -> Response:
    client = cast(httpx.AsyncClient, request.app.state.to_dagster)
    base = httpx.URL(url)
    passing = client.build_request(
        request.method,
        base.copy_with(raw_path=base.raw_path.rstrip(b"/") + rest),
        content=request.stream() if request.method == "POST" else None,
    )
    # The library's own headers would tell of it; only the host stays.
    own = [(b"host", passing.headers["host"].encode())]
    framing = [(b"transfer-encoding", b"chunked")] if _is_chunked(request) else []
    passing.headers = httpx.Headers([*own, *framing, *passed(request.headers.raw, TO_DAGSTER)])
    try:
        answer = await client.send(passing, stream=True)
    except httpx.TransportError as error:
        log.warning("dagster.away", error=type(error).__name__)
        raise _away("Dagster's pages do not answer; look at the log of `up`") from error
    response = StreamingResponse(_streamed(answer), answer.status_code)
    response.raw_headers = [
        *passed(answer.headers.raw, FROM_DAGSTER),
        (b"x-frame-options", b"SAMEORIGIN"),
    ]
    place = own_place(answer.headers.get("location", ""), url.rstrip("/"))
    if answer.is_redirect and place is not None:
        response.raw_headers.append((b"location", place.encode()))
    return response


async def _streamed(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


async def _both_ways(socket: WebSocket, upstream: ClientConnection) -> None:
    """Until either ends, or too long."""
    with anyio.move_on_after(LONGEST_SECONDS):
        async with anyio.create_task_group() as tasks:

            async def there() -> None:
                try:
                    while True:
                        await upstream.send(await socket.receive_text())
                except (WebSocketDisconnect, ConnectionClosed, KeyError):
                    tasks.cancel_scope.cancel()

            async def back() -> None:
                try:
                    async for message in upstream:
                        await socket.send_text(message if isinstance(message, str) else "")
                except (WebSocketDisconnect, ConnectionClosed) as error:
                    log.warning("dagster.socket_lost", error=type(error).__name__)
                tasks.cancel_scope.cancel()

            tasks.start_soon(there)
            tasks.start_soon(back)
    if socket.client_state.name == "CONNECTED":
        await socket.close(1001)


def _is_chunked(request: Request) -> bool:
    return request.method == "POST" and "content-length" not in request.headers


def _away(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "5"})
