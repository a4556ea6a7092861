"""Sending one request: who asks, what is tried again, and what an error becomes."""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from sync_pipelines.client.errors import (
    ApiError,
    ChangedError,
    ConflictError,
    FieldError,
    NotFoundError,
    UnreachableError,
)

TRIED = 5
"""So often a request is sent, at most."""

LONGEST_WAIT_SECONDS = 30.0

AGAIN = frozenset({429, 503})

_BY_STATUS = {404: NotFoundError, 409: ConflictError, 412: ChangedError}


class Transport:
    """Sends requests of one caller. ``sleep`` and ``rng`` are passed in by tests."""

    def __init__(self, http: httpx.Client, *, sleep: Callable[[float], None], rng: Random) -> None:
        self._http = http
        self.sleep = sleep
        self._rng = rng

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        if_match: str | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """The answer; `ApiError` if it is a refusal, `UnreachableError` if there is none.

        ``key`` names a POST, so that sending it again does nothing again; a new one is
        made where it is None.
        """
        headers = {} if if_match is None else {"If-Match": if_match}
        if method == "POST":
            headers["Idempotency-Key"] = key or f"{self._rng.getrandbits(128):032x}"
        said = {name: value for name, value in (params or {}).items() if value is not None}
        request = self._http.build_request(
            method, path, params=said, json=None if json is None else dict(json), headers=headers
        )
        for attempt in range(1, TRIED + 1):
            try:
                answer = self._http.send(request)
            except httpx.TransportError as error:
                if attempt == TRIED:
                    raise UnreachableError(
                        f"{request.url.host} does not answer: {error}"
                    ) from error
                self.sleep(self._backoff(attempt))
                continue
            if answer.status_code not in AGAIN or attempt == TRIED:
                break
            self.sleep(self._wait(answer, attempt))
        if answer.is_success:
            return answer
        raise _error(answer)

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Every item of a list, one page after another, as they are asked for."""
        cursor: str | None = None
        while True:
            page = self.send("GET", path, params={**params, "cursor": cursor}).json()
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _wait(self, answer: httpx.Response, attempt: int) -> float:
        said: str = answer.headers.get("Retry-After", "")
        if said.isdecimal():
            return min(float(said), LONGEST_WAIT_SECONDS)
        return self._backoff(attempt)

    def _backoff(self, attempt: int) -> float:
        longest: float = min(0.25 * 2**attempt, LONGEST_WAIT_SECONDS)
        return longest * self._rng.uniform(0.5, 1)


def _error(answer: httpx.Response) -> ApiError:
    try:
        said = answer.json()
        errors = [FieldError(**one) for one in said.get("errors", ())]
        detail, request_id = said["detail"], said.get("request_id")
    except (ValueError, TypeError, KeyError, AttributeError):  # a proxy's page
        errors, detail, request_id = [], answer.reason_phrase, None
    kind = _BY_STATUS.get(answer.status_code, ApiError)
    return kind(answer.status_code, detail, errors=errors, request_id=request_id)


def path_of(*parts: str | UUID) -> str:
    """``/api/v2/…``, each part as one."""
    return "/".join(["/api/v2", *(quote(str(part), safe="") for part in parts)])
