"""``/metrics``: figures of the installation and of this process, for Prometheus.

Laws:

* No label has a value that a caller or a tenant can make up without bound: routes are
  templates, and beyond a few tenants all are one.
* Whoever scrapes often, or from several places, asks the catalog no oftener for it.
* Counters of what ended begin at nothing when the process does, as Prometheus expects;
  each gateway counts all of it, so one is to be looked at, not their sum.
"""

from ipaddress import ip_address
from time import perf_counter
from typing import cast

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.figures import Figures
from sync_pipelines.gateway.identity import check_instance_admin, identify
from sync_pipelines.gateway.requests import client_of, route_of
from sync_pipelines.model.scopes import permits

router = APIRouter()

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""What a proxy says of whom it asks for: then the address is the proxy's."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Meter:
    """What one application counts: its requests, and the installation at each look."""

    def __init__(self, doors: Doors) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sync_http_requests_total",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sync_http_request_seconds",
            "How long answers took; of streams, how long they lasted.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(Figures(doors))

    def count(self, *, method: str, route: str | None, status: int, seconds: float) -> None:
        """One request; ``route`` is its template, None where nothing took it."""
        where = route or "(none)"
        known = method if method in METHODS else "(other)"
        self._requests.labels(known, where, f"{status // 100}xx").inc()
        self._seconds.labels(where).observe(seconds)


class Counted:
    """Counts every request with a `Meter`."""

    def __init__(self, app: ASGIApp, *, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._meter.count(
                method=scope["method"],
                route=route_of(scope),
                status=status,
                seconds=perf_counter() - began,
            )


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, doors: ItsDoors) -> Response:
    """The figures, for this machine, an instance admin, or an instance token for just that."""
    if not is_from_here(request):
        _check_may_look(request, doors)
    meter = cast(Meter, request.app.state.meter)
    return Response(generate_latest(meter.registry), media_type=CONTENT_TYPE_LATEST)


def is_from_here(request: Request) -> bool:
    """Whether a program on this machine asks for itself.

    By its address, by no proxy having put in a word, and by the name that it calls us:
    a page of another site that has its name lead here says its own.
    """
    if any(name in request.headers for name in FORWARDED):
        return False
    host = request.url.hostname or ""
    return _is_loopback(client_of(request.scope)) and (host == "localhost" or _is_loopback(host))


def _check_may_look(request: Request, doors: Doors) -> None:
    identity = identify(request, doors)
    token = identity.token
    is_for_it = token is not None and permits(token.scopes, "metrics", is_read=True)
    if token is None or token.tenant_id is not None or not (token.scopes and is_for_it):
        check_instance_admin(identity)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
