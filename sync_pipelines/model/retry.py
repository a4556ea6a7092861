"""How often and how patiently a failed attempt is repeated."""

from dataclasses import dataclass
from datetime import timedelta
from random import Random

PATIENCE = 10
"""An execution that gets further each time has so many times its policy's attempts."""

SHORTEST_STALL = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with a ceiling and jitter.

    ``max_attempts`` counts the first one, and those that moved nothing: an attempt that
    brought data further gives the whole budget back, up to `PATIENCE` times as many in
    all. Where there is one attempt only, it is never repeated. ``jitter`` is the share by
    which a delay may be longer or shorter, 0 to 1. An attempt that brings nothing further
    for ``stalled_after`` is ended, and retried.
    """

    max_attempts: int = 3
    initial: timedelta = timedelta(seconds=2)
    factor: float = 2.0
    ceiling: timedelta = timedelta(minutes=15)
    jitter: float = 0.25
    stalled_after: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts {self.max_attempts} must be at least 1")
        if self.initial < timedelta(0) or self.ceiling < self.initial:
            raise ValueError(f"ceiling {self.ceiling} must not be below initial {self.initial}")
        if self.factor < 1:
            raise ValueError(f"factor {self.factor} must be at least 1")
        if self.stalled_after < SHORTEST_STALL:
            raise ValueError(f"stalled_after {self.stalled_after} must be at least a minute")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter {self.jitter} must lie between 0 and 1")

    def delay(
        self,
        attempt: int,
        rng: Random,
        *,
        fruitless: int | None = None,
        retry_after: timedelta | None = None,
    ) -> timedelta | None:
        """How long to wait after ``attempt`` failed, or None to give up.

        ``attempt`` counts from 1; the last ``fruitless`` of them, with this one, moved
        nothing (all, if it is left out): after none, waiting starts again from ``initial``.
        Never shorter than the provider's Retry-After (RFC 9110, 10.2.3), never longer than
        ``ceiling`` plus jitter otherwise.
        """
        count = attempt if fruitless is None else fruitless
        most = self.max_attempts * PATIENCE if self.max_attempts > 1 else 1
        if count >= self.max_attempts or attempt >= most:
            return None
        try:
            grown = self.initial.total_seconds() * self.factor ** max(count - 1, 0)
        except OverflowError:
            grown = self.ceiling.total_seconds()
        base = min(self.ceiling.total_seconds(), grown)
        wait = timedelta(seconds=base * (1 + self.jitter * rng.uniform(-1, 1)))
        return max(wait, retry_after) if retry_after is not None else wait
