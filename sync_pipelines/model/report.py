"""What a tenant's syncs have come to in a span of time: the one shape of it, for all doors.

Imports nothing, so that the client may have it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What executions came to. ``success_rate`` is of those that ended by themselves.

    Durations are milliseconds, None where there is nothing to measure;
    ``duration_ms_total`` is what all took together.
    """

    executions: int
    completed: int
    partial: int
    failed: int
    cancelled: int
    unfinished: int
    attempts: int
    success_rate: float | None
    duration_ms_total: int
    duration_ms_p50: float | None
    duration_ms_p95: float | None
    duration_ms_p99: float | None
    duration_ms_max: int | None
    records_processed: int
    records_created: int
    records_updated: int
    records_deleted: int
    records_rejected: int
    bytes_moved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTotals(Totals):
    """The same for one sync; ``sync`` is its bare name."""

    sync: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A span: from ``start`` on and before ``end``, by when executions were created.

    Conflicts are those found within it. Where not ``percentiles_exact``, they come from
    counts by duration, and are within a fifth of what they stand for.
    """

    start: datetime
    end: datetime
    percentiles_exact: bool
    totals: Totals
    syncs: Sequence[SyncTotals]
    conflicts_found: int
    conflicts_open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A UTC day, by when executions were created; ``success_rate`` as of `Totals`."""

    day: date
    completed: int = 0
    partial: int = 0
    failed: int = 0
    cancelled: int = 0
    success_rate: float | None = None
    records_processed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """How a tenant stands. ``days`` are the last seven, today last.

    ``pending``, ``queued`` and ``running`` are executions that have not ended;
    ``next_run_at`` is of the schedule that is due first.
    """

    at: datetime
    days: Sequence[Day]
    pending: int
    queued: int
    running: int
    schedules_active: int
    schedules_paused: int
    next_run_at: datetime | None


def success_rate(*, completed: int, ended: int) -> float | None:
    """The share of those that ended by themselves that completed; None of nothing."""
    return round(completed / ended, 6) if ended else None
