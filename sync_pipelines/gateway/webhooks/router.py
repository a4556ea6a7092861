"""``/webhooks/{key}``: the door that providers knock at.

A flood comes in here, so the way is short: it is taken before the application looks for a
route, no model validates it, and the log has one line a second for all of them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from time import perf_counter
from typing import cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.webhooks.contract import Received
from sync_pipelines import tracing
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.metrics import Meter
from sync_pipelines.gateway.webhooks.intake import Answer, Intake

PREFIX = "/webhooks/"

ROUTE = "/webhooks/{key}"
"""What figures call it by: the path itself is known to the provider alone."""

METHODS = frozenset({"POST", "GET", "OPTIONS"})
"""What providers send; all but POST are handshakes."""

NOT_ALLOWED = Answer(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
TOO_LONG = Answer(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

_ALWAYS = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    intake = Intake(cast(Doors, app.state.doors))
    app.state.webhook_intake = intake
    async with intake.running():
        yield


router = APIRouter(lifespan=_lifespan)
"""Without a route: it starts and ends the intake with the application."""


class Incoming:
    """Takes webhooks, and passes on whatever else comes."""

    def __init__(self, app: ASGIApp, *, doors: Doors, meter: Meter) -> None:
        self._app = app
        self._doors = doors
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        status, began = 500, perf_counter()
        method, parent = scope["method"], Headers(scope=scope).get("traceparent")
        with tracing.span(f"{method} {ROUTE}", parent=parent, is_request=True) as span:
            try:
                answer = await self._answer(scope, receive)
                if answer is not None:
                    status = answer.status.value
                    await _send(answer, send)
            finally:
                seconds = perf_counter() - began
                self._meter.count(method=method, route=ROUTE, status=status, seconds=seconds)
                span.note(method=method, route=ROUTE, status=status)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """What to answer; None where nobody waits for it any more."""
        if scope["method"] not in METHODS:
            return NOT_ALLOWED
        # Of two headers of one name the first counts.
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in reversed(scope["headers"])
        }
        most = self._doors.settings.body_limit_bytes
        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > most:
            return TOO_LONG
        body = await _body(receive, most=most)
        if not isinstance(body, bytes):
            return body
        written = scope["query_string"]
        received = Received(
            at=self._doors.clock(),
            method=scope["method"],
            body=body,
            headers=headers,
            query=_query(written) if written else {},
        )
        intake = cast(Intake, scope["app"].state.webhook_intake)
        return await intake.take(scope["path"][len(PREFIX) :], received)


async def _body(receive: Receive, *, most: int) -> bytes | Answer | None:
    """A body; the answer where it is too long, None where its sender has gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return TOO_LONG
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _query(written: bytes) -> dict[str, str]:
    return dict(parse_qsl(written.decode("latin-1"), keep_blank_values=True))


async def _send(answer: Answer, send: Send) -> None:
    body = answer.body.encode()
    headers = [*_ALWAYS, (b"content-length", str(len(body)).encode())]
    for name, value in answer.headers.items():
        headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    await send({"type": "http.response.start", "status": answer.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
