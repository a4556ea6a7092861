"""What became of an attempt, and what happens next: pure decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from connectors.contract import Committed, Counts, State
from connectors.errors import (
    AuthError,
    ConfigError,
    ContractError,
    DataError,
    RateLimitedError,
    TransientError,
)
from sync_pipelines.engine.progress import CancelledError
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retry import RetryPolicy


class ErrorClass(StrEnum):
    """Kinds of failure, by what helps. `LOST`: the process died without a word."""

    AUTH = "auth"
    CONFIG = "config"
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    DATA = "data"
    CONTRACT = "contract"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNEXPECTED = "unexpected"

    @property
    def is_retried(self) -> bool:
        """Whether the same call may succeed later without anybody acting."""
        return self in RETRIED


RETRIED = frozenset(
    {ErrorClass.RATE_LIMITED, ErrorClass.TRANSIENT, ErrorClass.LOST, ErrorClass.UNEXPECTED}
)

_CLASSES: tuple[tuple[type[BaseException], ErrorClass], ...] = (
    (AuthError, ErrorClass.AUTH),
    (ConfigError, ErrorClass.CONFIG),
    (RateLimitedError, ErrorClass.RATE_LIMITED),
    (TransientError, ErrorClass.TRANSIENT),
    (DataError, ErrorClass.DATA),
    (ContractError, ErrorClass.CONTRACT),
    (CancelledError, ErrorClass.CANCELLED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a stream, or a whole attempt, did not get through."""

    error_class: ErrorClass
    message: str
    retry_after: timedelta | None = None

    @property
    def is_understood(self) -> bool:
        """Somebody raised it on purpose; a traceback would tell nothing more."""
        return self.error_class not in (ErrorClass.UNEXPECTED, ErrorClass.CONTRACT)

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Classify an exception."""
        found = (kind for family, kind in _CLASSES if isinstance(error, family))
        kind = next(found, ErrorClass.UNEXPECTED)
        message = str(error) or type(error).__name__
        if kind is ErrorClass.UNEXPECTED:
            message = f"{type(error).__name__}: {message}"
        return cls(
            error_class=kind,
            message=message,
            retry_after=getattr(error, "retry_after", None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResult:
    """What one attempt did to one stream. ``failure`` None means: all of it is durable.

    ``moved``: this attempt brought it further than the one before had left it.
    ``columns_added`` and ``columns_widened`` are those of its table, if it was there before.
    """

    stream: str
    counts: Counts = field(default_factory=Counts)
    encoding: str = ""
    seconds: float = 0.0
    state: State | None = None
    state_from: str | None = None
    committed_at: datetime | None = None
    rejections: tuple[str, ...] = ()
    columns_added: tuple[str, ...] = ()
    columns_widened: tuple[str, ...] = ()
    failure: Failure | None = None
    moved: bool = False

    @property
    def watermark(self) -> str | None:
        """How far the stream is now."""
        return self.state.watermark if self.state else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt comes to: a final status, or a retry at an instant.

    ``moved``: the attempt brought data further, which gives its budget of retries back.
    ``warning`` tells what somebody should look at although it got through.
    """

    status: Status
    retry_at: datetime | None = None
    failure: Failure | None = None
    moved: bool = False
    warning: str | None = None


def is_further(before: Committed, after: Committed) -> bool:
    """Whether a stream has come further: its state has moved, or all of its data is there.

    Records alone do not count: those at the edge of a state are read again every time.
    """
    if after.finished and not before.finished:
        return after.state != before.state or after.counts.processed > before.counts.processed
    return after.state != before.state


def decide(
    results: Sequence[StreamResult],
    *,
    attempt: int,
    fruitless: int,
    policy: RetryPolicy,
    now: datetime,
    rng: Random,
) -> Outcome:
    """Judge an attempt by its streams.

    Anything that a retry can mend is retried while the policy allows, with the
    longest wait that any stream's provider asked for. ``fruitless`` attempts in a row
    had moved nothing before this one; if this one has, their count starts again. After
    that, what got through counts: some streams make the execution partial, none make
    it failed.
    """
    failures = [result.failure for result in results if result.failure is not None]
    warning = _warning(results)
    if not failures:
        return Outcome(status=Status.COMPLETED, warning=warning)
    cancelled = [f for f in failures if f.error_class is ErrorClass.CANCELLED]
    if cancelled:
        return Outcome(status=Status.CANCELLED, failure=cancelled[0])
    retried = [failure for failure in failures if failure.error_class.is_retried]
    if retried:
        asked = max((f.retry_after for f in retried if f.retry_after), default=None)
        moved = any(result.moved for result in results)
        in_vain = 0 if moved else fruitless + 1
        delay = policy.delay(attempt, rng, fruitless=in_vain, retry_after=asked)
        if delay is not None:
            again = now + delay
            return Outcome(status=Status.PENDING, retry_at=again, failure=retried[0], moved=moved)
    status = Status.FAILED if len(failures) == len(results) else Status.PARTIAL
    return Outcome(status=status, failure=failures[0], warning=warning)


def _warning(results: Sequence[StreamResult]) -> str | None:
    """That records were rejected: everything else arrived, so the execution has not failed."""
    found = {one.stream: one.counts.rejected for one in results if one.counts.rejected}
    if not found:
        return None
    listed = ", ".join(f"{count} of {stream}" for stream, count in found.items())
    return f"rejected records: {listed}; `sync-pipelines rejected list` shows those that are kept"
