"""``Idempotency-Key``: a POST that is sent again does nothing again, and has the same answer.

A router whose routes are `OnceRoute`; a handler whose caller is `OnceOperator` or
`OnceAdmin` instead of the plain one.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias
from uuid import UUID, uuid4

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy import Connection as Db
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from connectors.errors import ConnectorError
from sync_pipelines.catalog import idempotency
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Caller, require
from sync_pipelines.gateway.problems import ProblemError
from sync_pipelines.model.cadence import CadenceError
from sync_pipelines.model.roles import Role

REFUSED = (ProblemError, ConnectorError, CadenceError, HTTPException, RequestValidationError)
"""What ends a request of which nothing came; any other error may have come after the work."""

_KEY = Header(
    alias="Idempotency-Key",
    min_length=1,
    max_length=200,
    pattern=r"^[!-~]+$",
    description="A word of your own: a request sent again with it, within a day, is done once.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A key that this request has taken. ``view`` is the plain one, of the tenant."""

    view: Catalog
    key: str
    owner: UUID


class ReplayError(Exception):
    """Ends a request with the answer that an earlier one got; see `OnceRoute`."""

    def __init__(self, answered: idempotency.Answered) -> None:
        super().__init__("answered before")
        self.answered = answered


def once(role: Role, *, tenant_in: str = "tenant") -> Callable[..., Caller]:
    """As `require`, and the request is done once under its key."""
    needed = require(role, tenant_in=tenant_in)

    def caller(
        request: Request,
        doors: ItsDoors,
        found: Annotated[Caller, Depends(needed)],
        key: Annotated[str | None, _KEY] = None,
    ) -> Caller:
        return found if key is None else _take(request, found, key, doors)

    return caller


OnceOperator: TypeAlias = Annotated[Caller, Depends(once(Role.OPERATOR))]
OnceAdmin: TypeAlias = Annotated[Caller, Depends(once(Role.ADMIN))]


class OnceRoute(APIRoute):
    """Keeps the answer under the key, and gives it again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI has it."""
        answer = super().get_route_handler()

        async def answer_once(request: Request) -> Response:
            if "idempotency-key" not in request.headers:
                return await answer(request)
            request.state.request_hash = _hash(request, await request.body())
            try:
                response = await answer(request)
            except ReplayError as replay:
                return _again(replay.answered)
            except idempotency.OvertakenError as error:
                raise ProblemError(
                    HTTPStatus.CONFLICT,
                    "this took too long, and a later request of the same Idempotency-Key does it",
                ) from error
            except REFUSED:
                await run_in_threadpool(_give_back, request)
                raise
            await run_in_threadpool(_keep, request, response)
            return response

        return answer_once


def _take(request: Request, caller: Caller, key: str, doors: Doors) -> Caller:
    """The caller, whose changes are marked at the key; or the end of the request."""
    request_hash, owner = request.state.request_hash, uuid4()
    tenant_id = caller.tenant.id
    with caller.catalog.begin() as db:
        answered = idempotency.take(
            db,
            key,
            tenant_id=tenant_id,
            request_hash=request_hash,
            owner=owner,
            now=doors.clock(),
        )
    if answered is None:
        request.state.taken = _Taken(view=caller.catalog, key=key, owner=owner)

        def mark(db: Db) -> None:
            idempotency.mark(db, key, tenant_id=tenant_id, owner=owner, now=doors.clock())

        return replace(caller, catalog=replace(caller.catalog, before_commit=mark))
    if answered.request_hash != request_hash:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"Idempotency-Key {key!r} was another request's; take a new one for each",
        )
    if answered.status is not None:
        raise ReplayError(answered)
    if answered.is_done and not answered.is_at_work:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"the request of Idempotency-Key {key!r} has done its work, and its answer was "
            "lost; look at what there is, and do not send it again",
        )
    raise ProblemError(
        HTTPStatus.CONFLICT,
        f"the request of Idempotency-Key {key!r} has not been answered yet; ask again: if it "
        f"died without having done anything, it is done anew after "
        f"{idempotency.LEASE.total_seconds():.0f} seconds",
        headers={"Retry-After": "1"},
    )


def _keep(request: Request, response: Response) -> None:
    taken: _Taken | None = getattr(request.state, "taken", None)
    if taken is None:
        return
    assert taken.view.tenant_id is not None
    with taken.view.begin() as db:
        idempotency.keep(
            db,
            taken.key,
            tenant_id=taken.view.tenant_id,
            owner=taken.owner,
            status=response.status_code,
            body=bytes(response.body).decode(),
        )


def _give_back(request: Request) -> None:
    taken: _Taken | None = getattr(request.state, "taken", None)
    if taken is None:
        return
    assert taken.view.tenant_id is not None
    with taken.view.begin() as db:
        tenant_id = taken.view.tenant_id
        idempotency.give_back(db, taken.key, tenant_id=tenant_id, owner=taken.owner)


def _again(answered: idempotency.Answered) -> Response:
    assert answered.status is not None
    return Response(
        answered.body,
        status_code=answered.status,
        media_type="application/json",
        headers={"Idempotency-Replayed": "true"},
    )


def _hash(request: Request, body: bytes) -> str:
    """What was asked: two requests of one key must be alike."""
    said = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return sha256(said + body).hexdigest()
