"""``Idempotency-Key``: a POST that is sent again does nothing again, and has the same answer.

A router whose routes are `OnceRoute`; a handler whose caller is `OnceOperator` or
`OnceAdmin` instead of the plain one.

Law: all that such a handler does by its caller's catalog is one transaction, with the answer.
What it has started is launched after that, and not at all if nothing came of the request.
"""

import json
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias
from uuid import UUID, uuid4

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from sync_pipelines.catalog import idempotency
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Caller, require
from sync_pipelines.gateway.problems import ProblemError
from sync_pipelines.model.roles import Role

_KEY = Header(
    alias="Idempotency-Key",
    min_length=1,
    max_length=200,
    pattern=r"^[!-~]+$",
    description="A word of your own: a request sent again with it, within a day, is done once.",
)


@dataclass(slots=True, kw_only=True)
class _Taken:
    """A key that this request has taken. ``view`` is the tenant's catalog.

    ``work`` is an open transaction while ``catalog`` is joined to it; ``started`` is what is
    to be launched once it is over.
    """

    doors: Doors
    view: Catalog
    catalog: Catalog
    tenant_id: UUID
    key: str
    owner: UUID
    work: ExitStack = field(default_factory=ExitStack)
    started: list[UUID] = field(default_factory=list)

    def start(self, execution_id: UUID) -> bool:
        """Have an execution launched later."""
        self.started.append(execution_id)
        return False


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
                await run_in_threadpool(_keep, request, response)
            except ReplayError as replay:
                return _again(replay.answered)
            except idempotency.OvertakenError as error:
                await run_in_threadpool(_undo, request, error)
                raise ProblemError(
                    HTTPStatus.CONFLICT,
                    "this took too long, and a later request of the same Idempotency-Key does it",
                ) from error
            except Exception as error:  # raised again: only to be undone
                await run_in_threadpool(_undo, request, error)
                raise
            except BaseException as error:  # cancelled: nothing can be waited for
                _undo(request, error)
                raise
            return response

        return answer_once


def _take(request: Request, caller: Caller, key: str, doors: Doors) -> Caller:
    """The caller, whose changes are kept with the answer; or the end of the request."""
    view, request_hash = caller.catalog, request.state.request_hash
    taken = _Taken(
        doors=doors,
        view=view,
        catalog=view,
        tenant_id=caller.tenant.id,
        key=key,
        owner=uuid4(),
    )
    with view.begin() as db:
        answered = idempotency.take(
            db,
            key,
            tenant_id=taken.tenant_id,
            request_hash=request_hash,
            owner=taken.owner,
            now=doors.clock(),
        )
    if answered is None:
        request.state.taken = taken
        taken.catalog = taken.work.enter_context(view.joined())
        return replace(caller, catalog=taken.catalog, launch=taken.start)
    if answered.request_hash != request_hash:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"Idempotency-Key {key!r} was another request's; take a new one for each",
        )
    if answered.status is not None:
        raise ReplayError(answered)
    raise ProblemError(
        HTTPStatus.CONFLICT,
        f"the request of Idempotency-Key {key!r} has not been answered yet; ask again: if it "
        f"died, it is done anew after {idempotency.LEASE.total_seconds():.0f} seconds",
        headers={"Retry-After": "1"},
    )


def _keep(request: Request, response: Response) -> None:
    """Keep what was done with its answer; then launch what was started, and say so in it."""
    taken: _Taken | None = getattr(request.state, "taken", None)
    if taken is None:
        return
    _answered(taken, taken.catalog, response)
    taken.work.close()
    launched = [taken.doors.launch(execution_id) for execution_id in taken.started]
    told = json.loads(bytes(response.body)) if any(launched) else {}
    if "launched" in told:
        response.body = json.dumps({**told, "launched": True}).encode()
        response.headers["Content-Length"] = str(len(response.body))
        _answered(taken, taken.view, response)


def _answered(taken: _Taken, catalog: Catalog, response: Response) -> None:
    with catalog.begin() as db:
        idempotency.keep(
            db,
            taken.key,
            tenant_id=taken.tenant_id,
            owner=taken.owner,
            status=response.status_code,
            body=bytes(response.body).decode(),
        )


def _undo(request: Request, error: BaseException) -> None:
    """Nothing came of the request, and its key is free again."""
    taken: _Taken | None = getattr(request.state, "taken", None)
    if taken is None:
        return
    taken.work.__exit__(type(error), error, error.__traceback__)
    with taken.view.begin() as db:
        idempotency.give_back(db, taken.key, tenant_id=taken.tenant_id, owner=taken.owner)


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
