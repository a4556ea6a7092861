"""A provider that a test can script: real HTTP on loopback, routes from data, faults by number.

::

    with FakeApi() as api:
        orders = api.serve("/orders", FakeList(cursor="changed_at"))
        orders.put({"id": 1, "changed_at": "2026-03-01T12:00:00Z"})
        api.at(2, throttled(retry_after="1"))  # the second request from now
        source = RestSource(api=Api(base_url=api.url, ...))

Law: a fault changes how an answer arrives, never what is stored; what was asked is kept
in ``requests``. Doubles of real providers add their own routes with `FakeApi.route`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import sleep
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked. Header names are in lower case."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    places: Mapping[str, str] = field(default_factory=dict)
    received_at: datetime

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered. ``cut`` ends the connection after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay_seconds: float = 0.0

    @classmethod
    def json(
        cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Self:
        """A value as JSON."""
        said = {"Content-Type": "application/json", **(headers or {})}
        return cls(status=status, body=json.dumps(value).encode(), headers=said)


Route: TypeAlias = Callable[[Request], Reply]
Fault: TypeAlias = Callable[[Request, Route], Reply]
"""Is given the request and what would answer it; may answer otherwise, or do something first."""


def throttled(retry_after: str | None = None, **headers: str) -> Fault:
    """429, with ``Retry-After`` in seconds or as a date, or without."""
    said = {**({"Retry-After": retry_after} if retry_after else {}), **headers}
    return lambda request, route: Reply.json({"message": "slow down"}, status=429, headers=said)


def failing(status: int = 500, message: str = "something broke") -> Fault:
    """An error of the provider's own."""
    return lambda request, route: Reply.json({"message": message}, status=status)


def cut_off(after: int = 20) -> Fault:
    """The connection ends in the middle of the body."""
    return lambda request, route: replace(route(request), cut=after)


def damaged(request: Request, route: Route) -> Reply:
    """The body ends early, although the length that was announced is kept."""
    whole = route(request)
    return replace(whole, body=whole.body[: len(whole.body) // 2])


def html_page(request: Request, route: Route) -> Reply:
    """A page for people, with status 200."""
    page = b"<!DOCTYPE html><title>Maintenance</title>"
    return Reply(body=page, headers={"Content-Type": "text/html"})


def unauthorized(request: Request, route: Route) -> Reply:
    """The credentials are no longer accepted."""
    return Reply.json({"message": "token expired"}, status=401)


def slow(seconds: float) -> Fault:
    """The answer comes late."""
    return lambda request, route: replace(route(request), delay_seconds=seconds)


def first(action: Callable[[], object]) -> Fault:
    """Something happens right before the answer is made: a change in the middle of a scan."""

    def act(request: Request, route: Route) -> Reply:
        action()
        return route(request)

    return act


def same_cursor(request: Request, route: Route) -> Reply:
    """The page names the cursor that led to it as the next one."""
    whole = route(request)
    body = {**json.loads(whole.body), "next_cursor": request.params.get("cursor")}
    return replace(whole, body=json.dumps(body).encode())


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class FakeApi:
    """The provider. ``clock`` is what its Date header shows; ``guard`` may refuse a request."""

    clock: Callable[[], datetime] = _now
    guard: Callable[[Request], Reply | None] = lambda request: None
    requests: list[Request] = field(default_factory=list)
    delay_seconds: float = 0.0
    _routes: list[tuple[str, re.Pattern[str], Route]] = field(default_factory=list)
    _faults: dict[int, Fault] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def route(self, method: str, path: str, answer: Route) -> None:
        """Answer a path; ``{name}`` in it becomes a place of the request. The last one wins."""
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
        self._routes.insert(0, (method, re.compile(pattern), answer))

    def serve(self, path: str, served: FakeList) -> FakeList:
        """Serve a list at a path."""
        self.route("GET", path, lambda request: served.answer(request, self.url))
        return served

    def at(self, nth: int, *faults: Fault) -> None:
        """From the n-th request from now on, one fault each; 1 is the next one."""
        with self._lock:
            for place, fault in enumerate(faults, start=len(self.requests) + nth - 1):
                self._faults[place] = fault

    def calm(self) -> None:
        """No more faults."""
        with self._lock:
            self._faults.clear()

    def answer(self, request: Request) -> Reply:
        """What a request is answered."""
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            fault = self._faults.pop(number, None)
        return self._routed(request) if fault is None else fault(request, self._routed)

    def _routed(self, request: Request) -> Reply:
        refused = self.guard(request)
        if refused is not None:
            return refused
        for method, pattern, route in self._routes:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                return route(replace(request, places=found.groupdict()))
        return Reply.json({"message": f"no route {request.method} {request.path}"}, status=404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the provider's."""


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _do(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                method=self.command,
                path=parts.path,
                params=dict(parse_qsl(parts.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length),
                received_at=_now(),
            )
            self._send(api.answer(request))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815

        def _send(self, reply: Reply) -> None:
            if api.delay_seconds or reply.delay_seconds:
                sleep(api.delay_seconds + reply.delay_seconds)
            lines = [f"HTTP/1.1 {reply.status} {reply.status}"]
            said = {
                "Date": format_datetime(api.clock(), usegmt=True),
                "Content-Length": str(len(reply.body)),
                **reply.headers,
            }
            lines.extend(f"{name}: {value}" for name, value in said.items())
            head = "\r\n".join([*lines, "", ""]).encode()
            self.wfile.write(head + reply.body[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return Handler


@dataclass(slots=True, kw_only=True)
class FakeList:
    """Records behind a path, in whatever way of paging is asked for.

    ``page``, ``offset``, ``cursor`` and ``since_id`` are understood, with ``limit``; an
    answer has ``data``, ``total``, ``has_more``, ``next_cursor``, ``next`` and the headers
    ``X-Total``, ``X-Total-Pages`` and ``Link``. ``since`` and ``until`` compare ``cursor``;
    ``exclusive`` compares with ``>``. ``sort=cursor`` orders by it, else the key does; any
    other parameter must equal a field.
    """

    key: str = "id"
    cursor: str = "changed_at"
    exclusive: bool = False
    most: int = 250
    records: dict[Any, Mapping[str, Any]] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)

    def put(self, *records: Mapping[str, Any]) -> None:
        """Add records; one of a known key takes the old one's place."""
        with self._lock:
            for record in records:
                self.records[record[self.key]] = dict(record)

    def remove(self, key: Any) -> None:
        """Take a record away, if it is there."""
        with self._lock:
            self.records.pop(key, None)

    def answer(self, request: Request, base: str) -> Reply:
        """One page."""
        with self._lock:
            found = list(self.records.values())
        params = dict(request.params)
        size = min(int(params.pop("limit", self.most)), self.most)
        asked = {name: params.pop(name, None) for name in _PAGING}
        by_cursor = params.pop("sort", None) == "cursor"
        found = [one for one in found if self._wanted(one, params)]
        order = self._by_cursor if by_cursor else (lambda one: (one[self.key],))
        found.sort(key=order)
        start, rest = 0, found
        if asked["page"] is not None:
            start = (int(asked["page"]) - 1) * size
        elif asked["offset"] is not None:
            start = int(asked["offset"])
        elif asked["since_id"] is not None:
            rest = [one for one in found if one[self.key] > int(asked["since_id"])]
        elif asked["cursor"] is not None:
            after = tuple(json.loads(asked["cursor"]))
            rest = [one for one in found if tuple(order(one)) > after]
        page = rest[start : start + size]
        more = len(rest) > start + size
        link = self._link(request, base) if more else None
        return Reply.json(
            {
                "data": page,
                "total": len(found),
                "has_more": more,
                "next_cursor": json.dumps(order(page[-1])) if more and page else None,
                "next": link,
            },
            headers={
                "X-Total": str(len(found)),
                "X-Total-Pages": str(-(-len(found) // size)),
                **({"Link": f'<{base}/>; rel="first", <{link}>; rel="next"'} if link else {}),
            },
        )

    def _link(self, request: Request, base: str) -> str:
        number = int(request.params.get("page", "1"))
        params = {**request.params, "page": str(number + 1)}

        return f"{base}{request.path}?{urlencode(params)}"

    def _by_cursor(self, record: Mapping[str, Any]) -> tuple[Any, ...]:
        return (record[self.cursor] or "", record[self.key])

    def _wanted(self, record: Mapping[str, Any], params: Mapping[str, str]) -> bool:
        at = _instant(record.get(self.cursor))
        for name, value in params.items():
            if name == "since":
                bound = _instant(value)
                if at is not None and (at < bound or (self.exclusive and at == bound)):
                    return False
            elif name == "until":
                if at is not None and at > _instant(value):
                    return False
            elif str(record.get(name)) != value:
                return False
        return True


def _instant(value: Any) -> Any:
    """A time as a time: as texts, a whole second would come after its fractions."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


_PAGING = ("page", "offset", "cursor", "since_id")
