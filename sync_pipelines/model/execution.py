"""An execution: one occurrence of a sync, and the only ways it may change.

::

    pending ──► queued ──► running ──► completed | partial | failed | cancelled
       ▲  └────────┴──────────┼──► cancelled
       └─ postponed, retry ───┘

Law: a final status never changes again, and an attempt starts once.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Status(StrEnum):
    """Where an execution stands; the last four are final."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """No further transition is legal."""
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.PARTIAL, Status.FAILED, Status.CANCELLED})


class Trigger(StrEnum):
    """Why an execution exists."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    REALTIME = "realtime"
    RETRY = "retry"
    CATCHUP = "catchup"
    BACKFILL = "backfill"


PRIORITY = {
    Trigger.REALTIME: 30,
    Trigger.MANUAL: 20,
    Trigger.RETRY: 10,
    Trigger.SCHEDULED: 10,
    Trigger.CATCHUP: 5,
    Trigger.BACKFILL: 0,
}
"""Which of a tenant's executions goes first, by trigger: higher first."""


class IllegalTransition(Exception):  # noqa: N818 - reads as the event it is
    """An execution was asked to become what it cannot become any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a trigger asks for beyond the sync's own settings.

    ``streams`` empty means all; ``full`` reads them from the beginning;
    ``window_start`` and ``window_end`` bound a re-sync (half open, in the cursor's
    spelling); ``allow_empty`` lets an empty source empty the destination. ``into`` is a
    dataset to write to beside the sync's own: a shadow, of which nothing else follows.
    ``redrive`` reads nothing of the source, but sends what was rejected through again;
    ``confirm_deletes`` lets as many records be deleted as are gone.
    """

    streams: tuple[str, ...] = ()
    full: bool = False
    window_start: str | None = None
    window_end: str | None = None
    allow_empty: bool = False
    into: str | None = None
    redrive: bool = False
    confirm_deletes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One occurrence of a sync.

    ``attempt`` counts from 1 and ``run_id`` is its Dagster run's, if it has one;
    ``connector`` and ``connection`` are the source's. The last ``fruitless`` attempts
    moved nothing. ``place`` is where it stood in its tenant's line when it was queued.
    ``traceparent`` names the span that it came about in, where spans are recorded.
    """

    id: UUID
    tenant_id: UUID
    sync_id: UUID
    sync_key: str
    connector: str
    connection: str
    trigger: Trigger
    status: Status = Status.PENDING
    attempt: int = 1
    fruitless: int = 0
    place: int = 0
    schedule_id: UUID | None = None
    due_at: datetime | None = None
    created_at: datetime
    next_attempt_at: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    run_id: str | None = None
    request: Request = field(default_factory=Request)
    traceparent: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Its attempt has not started."""
        return self.status in (Status.PENDING, Status.QUEUED)

    def queued(self, at: datetime) -> "Execution":
        """Handed to Dagster's queue."""
        self._must_be(Status.PENDING, becoming=Status.QUEUED)
        return replace(self, status=Status.QUEUED, queued_at=at)

    def started(self, at: datetime, run_id: str | None) -> "Execution":
        """Its attempt runs now; ``started_at`` stays the first attempt's."""
        self._must_be(Status.PENDING, Status.QUEUED, becoming=Status.RUNNING)
        return replace(self, status=Status.RUNNING, run_id=run_id, started_at=self.started_at or at)

    def postponed(self, at: datetime) -> "Execution":
        """Its sync was busy when this attempt wanted to start; it tries again at ``at``."""
        self._must_be(Status.PENDING, Status.QUEUED, becoming=Status.PENDING)
        return replace(self, status=Status.PENDING, next_attempt_at=at, queued_at=None)

    def to_retry(self, at: datetime, *, moved: bool = False) -> "Execution":
        """Its attempt failed, but may have ``moved`` data; the next may start at ``at``."""
        self._must_be(Status.RUNNING, Status.QUEUED, becoming=Status.PENDING)
        return replace(
            self,
            status=Status.PENDING,
            attempt=self.attempt + 1,
            fruitless=0 if moved else self.fruitless + 1,
            next_attempt_at=at,
            queued_at=None,
            run_id=None,
        )

    def ended(self, status: Status, at: datetime) -> "Execution":
        """The outcome: completed, partial, failed or cancelled."""
        if status not in FINAL:
            raise IllegalTransition(f"{status} is not an outcome")
        allowed = [Status.RUNNING]
        if status in (Status.CANCELLED, Status.FAILED):
            allowed += [Status.PENDING, Status.QUEUED]
        self._must_be(*allowed, becoming=status)
        return replace(self, status=status, completed_at=at)

    def _must_be(self, *allowed: Status, becoming: Status) -> None:
        if self.status not in allowed:
            raise IllegalTransition(
                f"execution {self.id} is {self.status} and cannot become {becoming}"
            )
