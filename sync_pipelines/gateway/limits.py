"""How much a caller may ask for: requests a second here, manual triggers an hour in the catalog.

Requests are counted in this process alone: of two gateways side by side, each allows as
much. That keeps a program that runs wild off the catalog, and costs no statement.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from sqlalchemy import func, select

from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.clock import Clock
from sync_pipelines.engine.cancelling import BY_PEOPLE
from sync_pipelines.gateway.problems import too_many
from sync_pipelines.settings import Settings

BURST_SECONDS = 5
"""Whoever was quiet for so long may ask for all of it at once."""

MOST_REMEMBERED = 10_000

REFUSED_PER_SECOND = 2
"""Of wrong credentials from one address: somebody tries them out."""


class Buckets:
    """A bucket of requests for each key, filled at ``per_second``; nothing asked for is full."""

    def __init__(self, per_second: float, *, clock: Callable[[], datetime]) -> None:
        self._per_second = per_second
        self._most = per_second * BURST_SECONDS
        self._clock = clock
        self._lock = Lock()
        self._left: dict[str, tuple[float, datetime]] = {}

    def take(self, key: str) -> timedelta:
        """Take one; nothing is taken where one must wait, and how long that is."""
        now = self._clock()
        with self._lock:
            left = self._refilled(key, now)
            if left < 1:
                return timedelta(seconds=(1 - left) / self._per_second)
            if len(self._left) >= MOST_REMEMBERED:
                self._forget(now)
            self._left[key] = (left - 1, now)
        return timedelta(0)

    def wait(self, key: str) -> timedelta:
        """How long `take` would have one wait, without taking."""
        with self._lock:
            left = self._refilled(key, self._clock())
        return timedelta(seconds=max(0.0, 1 - left) / self._per_second)

    def _refilled(self, key: str, now: datetime) -> float:
        left, at = self._left.get(key, (self._most, now))
        passed = max(0.0, (now - at).total_seconds())
        return min(self._most, left + passed * self._per_second)

    def _forget(self, now: datetime) -> None:
        """The full ones are as those that never were; if all are in use, everybody begins anew."""
        full = [key for key in self._left if self._refilled(key, now) >= self._most]
        for key in full:
            del self._left[key]
        if not full:
            self._left.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the gateway counts. ``refused`` is by address, the others by token or tenant."""

    caller: Buckets
    tenant: Buckets
    refused: Buckets


def limits_from(settings: Settings, clock: Clock) -> Limits:
    """The limits that the settings name, with nothing used yet."""
    return Limits(
        caller=Buckets(settings.token_requests_per_second, clock=clock),
        tenant=Buckets(settings.tenant_requests_per_second, clock=clock),
        refused=Buckets(REFUSED_PER_SECOND, clock=clock),
    )


def spend(buckets: Buckets, key: str, *, whose: str) -> None:
    """Take one request of somebody's, or end the request with 429."""
    wait = buckets.take(key)
    if wait:
        raise too_many(f"{whose} asks for more than it may; wait a little", wait=wait)


def check_manual_triggers(view: Catalog, settings: Settings, *, now: datetime) -> None:
    """End the request with 429 if a tenant has started its executions of this hour by hand.

    ``view`` is the tenant's own, from `Catalog.as_tenant`.
    """
    most, hour = settings.manual_triggers_per_hour, timedelta(hours=1)
    query = select(func.count(), func.min(ExecutionRow.created_at)).where(
        ExecutionRow.tenant_id == view.tenant_id,
        ExecutionRow.created_at > now - hour,
        ExecutionRow.trigger.in_(BY_PEOPLE),
    )
    with view.begin() as db:
        used, oldest = db.execute(query).one()
    if used >= most:
        wait = max(oldest + hour - now, timedelta(seconds=1))
        raise too_many(f"{most} executions an hour may be started by hand, and were", wait=wait)
