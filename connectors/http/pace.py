"""When the next call may be made: a token bucket, and what the provider said last.

Law: however many processes lease from one bucket, no span of ``rate.per`` sees more than
``rate.calls`` calls. A lease is used within `Allowance.lasts` or not at all, so the calls
of one span were all leased within the span and that much before it, in which time the
bucket gave out fewer than ``burst + per_second * (per + lasts)`` and one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import floor
from threading import Lock

from connectors.errors import RateLimitedError
from connectors.http.signals import Left
from connectors.surroundings import Budget, Heard, Lease, Rate

PATIENCE = timedelta(seconds=60)
"""A turn that is farther away is waited for by the schedule, not by a worker."""

SHORTEST_WAIT = timedelta(milliseconds=5)
UNLIMITED = 1000
"""Calls leased at once where no rate is known."""
NOTHING = Heard()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """A rate as a bucket: so many at once, so many a second, leases that last so long."""

    burst: int
    per_second: float
    lasts: timedelta

    @classmethod
    def of(cls, rate: Rate) -> Allowance:
        """The bucket that keeps a rate."""
        burst = max(1, rate.calls // 10)
        lasts = min(rate.per / 10, timedelta(seconds=1))
        span = (rate.per + lasts).total_seconds()
        return cls(burst=burst, per_second=max(1, rate.calls - burst) / span, lasts=lasts)


FREE = Allowance(burst=UNLIMITED, per_second=float(UNLIMITED), lasts=timedelta(seconds=1))
"""No rate: asked once a second whether the provider has said stop."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    refilled_at: datetime
    left: Left = field(default_factory=Left)


@dataclass(slots=True, kw_only=True)
class LocalBudget:
    """A budget of this process alone, for connections that nobody lends one."""

    now: Callable[[], datetime]
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, bucket: str, rate: Rate | None, *, wanted: int, heard: Heard) -> Lease:
        """See `Budget.take`."""
        with self._lock:
            return self._take(bucket, Allowance.of(rate) if rate else FREE, wanted, heard)

    def _take(self, bucket: str, allowance: Allowance, wanted: int, heard: Heard) -> Lease:
        now = self.now()
        held = self._buckets.setdefault(bucket, _Bucket(float(allowance.burst), now))
        if heard.remaining is not None or heard.resets_at is not None:
            held.left = Left(remaining=heard.remaining, resets_at=heard.resets_at)
        elapsed = max(0.0, (now - held.refilled_at).total_seconds())
        held.tokens = min(allowance.burst, held.tokens + elapsed * allowance.per_second)
        held.refilled_at = now
        most = min(wanted, floor(held.tokens))
        wait = timedelta(seconds=(1 - held.tokens) / allowance.per_second)
        resets, remaining = held.left.resets_at, held.left.remaining
        if resets is not None and resets > now and remaining is not None:
            most = min(most, remaining)
            held.left = replace(held.left, remaining=remaining - most)
            wait = resets - now if remaining == 0 else wait
        held.tokens -= most
        return Lease(
            calls=most,
            lasts=allowance.lasts,
            wait=timedelta(0) if most else max(wait, timedelta(0)),
        )

    def tell(self, bucket: str, heard: Heard) -> None:
        """See `Budget.tell`; nobody else listens."""

    def enter(self, most: int) -> int | None:
        """See `Budget.enter`; how many calls one client has under way is its own affair."""
        return 1

    def leave(self, place: int) -> None:
        """See `Budget.leave`."""


@dataclass(slots=True, kw_only=True)
class Pacer:
    """Gives out turns to the threads of one client."""

    budget: Budget
    rate: Rate | None
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    most: int
    together: int | None = None
    _leases: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    _heard: dict[str, Heard] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def place(self, bucket: str) -> Iterator[None]:
        """A call may be under way meanwhile; asks nobody where ``together`` is not limited."""
        if self.together is None:
            yield
            return
        place = self._enter(bucket, self.together)
        try:
            yield
        finally:
            self.budget.leave(place)

    def _enter(self, bucket: str, most: int) -> int:
        began = self.now()
        while (place := self.budget.enter(most)) is None:
            if self.now() - began > PATIENCE:
                raise RateLimitedError(
                    f"all {most} calls that may be under way at a time are; others of this "
                    "connection take long",
                    retry_after=PATIENCE,
                )
            self.sleep(0.0)
        if (waited := self.now() - began) > SHORTEST_WAIT:
            self.waited(bucket, waited)
        return place

    def turn(self, bucket: str) -> None:
        """Return when a call may be made; `RateLimitedError` if that is beyond `PATIENCE`."""
        waited = timedelta(0)
        while (wait := self._wait(bucket)) is not None:
            waited += wait
            if waited > PATIENCE:
                seconds = wait.total_seconds()
                raise RateLimitedError(
                    f"the connection's limit is used up; more calls are allowed in {seconds:.0f} s",
                    retry_after=wait,
                )
            self.sleep(wait.total_seconds())
            self.waited(bucket, wait)

    def _wait(self, bucket: str) -> timedelta | None:
        with self._lock:
            now = self.now()
            calls, until = self._leases.get(bucket, (0, now))
            if not calls or until <= now:
                wanted = UNLIMITED if self.rate is None else self.most
                heard = self._heard.pop(bucket, NOTHING)
                lease = self.budget.take(bucket, self.rate, wanted=wanted, heard=heard)
                if not lease.calls:
                    self._leases.pop(bucket, None)
                    return max(lease.wait, SHORTEST_WAIT)
                calls, until = lease.calls, now + lease.lasts
            self._leases[bucket] = (calls - 1, until)
            self._hear(bucket, Heard(calls=1))
            return None

    def heard(self, bucket: str, found: Left, *, throttled: bool) -> None:
        """Take note of what an answer said about the limit."""
        with self._lock:
            calls, until = self._leases.get(bucket, (0, self.now()))
            if found.remaining is not None and found.resets_at is not None:
                self._leases[bucket] = (min(calls, found.remaining), until)
            self._hear(
                bucket,
                Heard(
                    throttles=int(throttled),
                    remaining=found.remaining,
                    resets_at=found.resets_at,
                ),
            )

    def waited(self, bucket: str, wait: timedelta) -> None:
        """Take note of a time in which a call stood still."""
        with self._lock:
            self._hear(bucket, Heard(waited=wait))

    def _hear(self, bucket: str, more: Heard) -> None:
        before = self._heard.get(bucket, NOTHING)
        self._heard[bucket] = Heard(
            calls=before.calls + more.calls,
            throttles=before.throttles + more.throttles,
            waited=before.waited + more.waited,
            remaining=before.remaining if more.remaining is None else more.remaining,
            resets_at=before.resets_at if more.remaining is None else more.resets_at,
        )

    def close(self) -> None:
        """Tell the budget what it has not been told yet."""
        with self._lock:
            for bucket, heard in self._heard.items():
                self.budget.tell(bucket, heard)
            self._heard.clear()
