"""What is wrong with a request, as RFC 9457 problem details.

::

    401  nobody is known by these credentials       404  not there, or not yours
    403  the role does not allow it, and which does  409, 422  the request is wrong, and where
    429  too much, and when again                    5xx  our fault: only the request's id

Law: an answer of 5xx tells nothing of the inside; the log has it under the same id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from math import ceil
from typing import Any, TypeAlias

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from connectors.errors import ConfigError, TransientError
from sync_pipelines.apply.body import BodyError
from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.catalog.syncs import NotFoundError
from sync_pipelines.engine.conflicts import ConflictError
from sync_pipelines.engine.dispatch import LimitReachedError
from sync_pipelines.model.cadence import CadenceError

MEDIA_TYPE = "application/problem+json"

HOUR = timedelta(hours=1)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One mistake: ``field`` is its path, such as ``body.cadence.type``; empty for the whole."""

    field: str
    message: str


class ProblemError(Exception):
    """Ends a request with problem details. ``detail`` is for whoever sent it."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def not_found(kind: str, name: object) -> ProblemError:
    """It is not there, or belongs to another tenant: nobody is told which."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no {kind} {str(name)!r}")


def too_many(detail: str, *, wait: timedelta) -> ProblemError:
    """A limit is reached; ``wait`` is when it makes sense to ask again."""
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": _whole_seconds(wait)}
    )


ProblemPage: TypeAlias = Callable[[ProblemError, str | None, Mapping[str, str]], Response]
"""Shows a problem of a request, whose id may be given, with these headers."""

OF_PROGRAMS = ("/api/", "/webhooks/", "/health/", "/metrics")


def is_for_people(request: Request) -> bool:
    """Whether a browser asks for a page, or sends a form of one."""
    return (
        request.method in ("GET", "POST")
        and "text/html" in request.headers.get("accept", "")
        and not request.url.path.startswith(OF_PROGRAMS)
    )


def install_problems(app: FastAPI, *, problem_page: ProblemPage) -> None:
    """Let every error of a handler become problem details."""
    app.state.problem_page = problem_page
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    for kind in (ConfigError, CadenceError, TransientError):
        app.add_exception_handler(kind, _ours)
    for unavailable in (OperationalError, PoolTimeoutError):
        app.add_exception_handler(unavailable, _unavailable)
    app.add_exception_handler(DataError, _not_storable)
    app.add_exception_handler(Exception, _unexpected)


def answer(request: Request, problem: ProblemError) -> Response:
    """The response that tells of a problem: a page where a person looks."""
    found = getattr(request.state, "request_id", None)
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
        "errors": [{"field": one.field, "message": one.message} for one in problem.errors],
        "request_id": found,
    }
    headers = dict(problem.headers)
    if found is not None:
        headers["X-Request-ID"] = found
    if is_for_people(request):
        shown: ProblemPage = request.app.state.problem_page
        return shown(problem, found, headers)
    return JSONResponse(
        content, status_code=problem.status.value, headers=headers, media_type=MEDIA_TYPE
    )


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return answer(request, error)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = status.description if error.detail in ("", status.phrase) else error.detail
    return answer(request, ProblemError(status, detail, headers=error.headers))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(field=".".join(str(part) for part in one["loc"]), message=one["msg"])
        for one in error.errors()
    ]
    named = "; ".join(f"{one.field}: {one.message}" for one in errors[:3])
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return answer(
        request, ProblemError(status, f"the request is not valid: {named}", errors=errors)
    )


def _ours(request: Request, error: Exception) -> Response:
    return answer(request, _translated(error))


def _translated(error: Exception) -> ProblemError:
    """An error that the engine or the catalog raised on purpose, in HTTP's words."""
    text = str(error)
    match error:
        case NotFoundError():
            return ProblemError(HTTPStatus.NOT_FOUND, text)
        case BodyError():
            status = HTTPStatus.CONFLICT if error.is_clash else HTTPStatus.UNPROCESSABLE_ENTITY
            errors = [
                FieldError(field=f"body.{one.field}".rstrip("."), message=one.message)
                for one in error.wrong
            ]
            return ProblemError(status, text, errors=errors)
        case ConflictError():
            return ProblemError(HTTPStatus.CONFLICT, text)
        case CadenceError():
            errors = [FieldError(field=f"body.{error.field}", message=text)]
            return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, text, errors=errors)
        case ManifestError():
            errors = [FieldError(field="", message=one.message) for one in error.problems]
            return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, text, errors=errors)
        case LimitReachedError():
            return too_many(text, wait=HOUR)
        case TransientError():
            wait = error.retry_after or timedelta(seconds=5)
            headers = {"Retry-After": _whole_seconds(wait)}
            return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, text, headers=headers)
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, text)


def _unavailable(request: Request, error: Exception) -> Response:
    _log.error("http.catalog_unavailable", error=type(error).__name__)
    detail = "the catalog does not answer; try again in a moment"
    headers = {"Retry-After": "5"}
    return answer(request, ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers))


def _not_storable(request: Request, error: Exception) -> Response:
    """A value that fits its field and no column: a NUL in a text, a number beyond 64 bits."""
    _log.warning("http.not_storable", error=str(getattr(error, "orig", "")).partition("\n")[0])
    detail = "a value cannot be stored: a text with a NUL in it, or a number that is too large"
    return answer(request, ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail))


def _unexpected(request: Request, _: Exception) -> Response:
    detail = "something went wrong on our side; tell us the request_id"
    return answer(request, ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, detail))


def _whole_seconds(wait: timedelta) -> str:
    return str(max(1, ceil(wait.total_seconds())))
