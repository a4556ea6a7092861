"""Refuses query parameters that an operation does not have: whoever asks for what failed and
misspells it would be shown everything.
"""

from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from sync_pipelines.gateway.problems import FieldError, ProblemError

REFUSING = "/api/v2/"
"""Where an operation knows its parameters; the older API's callers may send what they like."""


async def known_parameters(request: HTTPConnection) -> None:
    """Ends a request with 422 that has others than the operation's own."""
    route = request.scope.get("route")
    sent = request.query_params.keys()
    if not sent or not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    if not route.path.startswith(REFUSING):
        return
    app = request.app
    document = app.openapi_schema or await run_in_threadpool(app.openapi)  # it takes a while
    known = _parameters(document["paths"][route.path][request.scope["method"].lower()])
    errors = [
        FieldError(field=f"query.{name}", message=_unknown(name, known))
        for name in sent
        if name not in known
    ]
    if errors:
        detail = "; ".join(one.message for one in errors[:3])
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


def _parameters(operation: dict[str, Any]) -> list[str]:
    return [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]


def _unknown(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"there are: {', '.join(known)}" if known else "it takes none"
    return f"there is no parameter {name!r} here; {hint}"
