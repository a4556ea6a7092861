"""When a sync that keeps failing is left alone for a while."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """After ``failures`` final failures in a row the breaker opens.

    Then one execution is let through as a probe after ``probe_after``, and after each
    probe that failed ``factor`` times as long, up to ``ceiling``. ``pause`` pauses the
    sync instead, until somebody resumes it.
    """

    failures: int = 10
    probe_after: timedelta = timedelta(minutes=5)
    factor: float = 2.0
    ceiling: timedelta = timedelta(hours=6)
    pause: bool = False

    def __post_init__(self) -> None:
        if self.failures < 1:
            raise ValueError(f"failures {self.failures} must be at least 1")
        if self.probe_after <= timedelta(0) or self.ceiling < self.probe_after:
            raise ValueError(
                f"ceiling {self.ceiling} must not be below probe_after {self.probe_after}, "
                "which must be longer than nothing"
            )
        if self.factor < 1:
            raise ValueError(f"factor {self.factor} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """How a sync has fared of late. Open, once ``opened_at`` is set."""

    failures: int = 0
    opened_at: datetime | None = None
    probes: int = 0
    probe_at: datetime | None = None

    def bars(self, now: datetime) -> bool:
        """Whether what no person asked for may not start now."""
        return self.opened_at is not None and self.probe_at is not None and now < self.probe_at

    def failed(self, policy: BreakerPolicy, now: datetime) -> "Breaker":
        """After another final failure."""
        failures = self.failures + 1
        if self.opened_at is not None:
            return Breaker(
                failures=failures,
                opened_at=self.opened_at,
                probes=self.probes + 1,
                probe_at=now + _patience(policy, self.probes + 1),
            )
        if failures < policy.failures:
            return Breaker(failures=failures)
        return Breaker(failures=failures, opened_at=now, probe_at=now + _patience(policy, 0))

    def probing(self, policy: BreakerPolicy, now: datetime) -> "Breaker":
        """While a probe is under way: no second one before the next would be due."""
        if self.opened_at is None:
            return self
        return Breaker(
            failures=self.failures,
            opened_at=self.opened_at,
            probes=self.probes,
            probe_at=now + _patience(policy, self.probes),
        )

    def succeeded(self) -> "Breaker":
        """After data has moved: closed, and forgotten."""
        return Breaker()


def _patience(policy: BreakerPolicy, probes: int) -> timedelta:
    """How long until the probe after ``probes`` that failed."""
    try:
        grown = policy.probe_after.total_seconds() * policy.factor**probes
    except OverflowError:
        return policy.ceiling
    return min(policy.ceiling, timedelta(seconds=min(grown, policy.ceiling.total_seconds())))
