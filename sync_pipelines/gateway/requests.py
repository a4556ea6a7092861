"""What happens to every request: it gets an id and a line in the log, and may not be too long.

Laws:

* The log has a route's template, never its address: a path may hold a secret.
* A body that is too long is refused before it is read, or as soon as it turns out to be.
"""

import re
from http import HTTPStatus
from random import Random
from time import perf_counter
from uuid import UUID

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync_pipelines import tracing
from sync_pipelines.gateway.problems import ProblemError, answer

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""An id that a caller may choose; any other is replaced, so that none forges a log line."""

_log = structlog.get_logger()


class Logged:
    """Gives each request an id, and writes one line when it is over."""

    def __init__(self, app: ASGIApp, *, rng: Random) -> None:
        self._app = app
        self._rng = rng

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = self._id_of(headers.get("x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 500  # whoever dies before the answer has begun
        began = perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            tracing.span(
                "http.request", parent=headers.get("traceparent"), is_request=True
            ) as span,
        ):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:  # raised again: only to be in the log with its request
                _log.exception("http.failed", route=route_of(scope))
                raise
            finally:
                told = {
                    "method": scope["method"],
                    "route": route_of(scope),
                    "status": status,
                    "tenant": state.get("tenant"),
                    "actor": state.get("actor"),
                    "execution": _execution_of(scope),
                }
                milliseconds = round((perf_counter() - began) * 1000, 1)
                client = client_of(scope)
                _log.info("http.request", milliseconds=milliseconds, client=client, **told)
                span.rename(f"{scope['method']} {route_of(scope) or ''}".strip())
                span.note(request_id=request_id, **told)

    def _id_of(self, asked: str | None) -> str:
        if asked is not None and REQUEST_ID.fullmatch(asked):
            return asked
        return f"{self._rng.getrandbits(128):032x}"


class Bounded:
    """Refuses a body of more than ``most`` bytes with 413."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self._most:
            problem = ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_long())
            await answer(Request(scope), problem)(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                # The one error that FastAPI lets through while it reads a body.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_long())
            return message

        return counted

    def _too_long(self) -> str:
        return f"the body may have {self._most} bytes at most"


def client_of(scope: Scope) -> str:
    """The address that a request came from; a trusted proxy's word for it where one is named."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def route_of(scope: Scope) -> str | None:
    """The template of the route that took a request, None where none did."""
    return getattr(scope.get("route"), "path", None)


def _execution_of(scope: Scope) -> str | None:
    """The execution that a request's path names, None where it names none."""
    named = str(scope.get("path_params", {}).get("execution_id", ""))
    try:
        return str(UUID(named))
    except ValueError:
        return None
