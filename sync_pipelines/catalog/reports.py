"""What a tenant's syncs have come to in a span of time.

Executions whose rows housekeeping has summed up count by the day on which they ended;
percentiles are of those whose rows are left.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, text

PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What executions came to. ``success_rate`` is of those that ended by themselves.

    Durations are milliseconds, None where there is nothing to measure.
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
class SyncTotals:
    """The same for one sync; ``sync`` is its bare name."""

    sync: str
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A span: from ``start`` on and before ``end``. Conflicts are those found within it."""

    start: datetime
    end: datetime
    totals: Totals
    syncs: tuple[SyncTotals, ...]
    conflicts_found: int
    conflicts_open: int


def report(db: Db, *, tenant_id: UUID, start: datetime, end: datetime) -> Report:
    """What came of the executions that were created within a span."""
    values = {"tenant": tenant_id, "start": start, "end": end, "shares": list(PERCENTILES)}
    days = {"first": _day(start, up=True), "last": _day(end, up=False)}
    rows = db.execute(_TOTALS, {**values, **days}).mappings().all()
    conflicts = db.execute(_CONFLICTS, values).one()
    whole = next(row for row in rows if row["is_whole"])
    syncs = [
        SyncTotals(sync=row["name"], totals=_totals(row)) for row in rows if not row["is_whole"]
    ]
    return Report(
        start=start,
        end=end,
        totals=_totals(whole),
        syncs=tuple(sorted(syncs, key=lambda one: one.sync)),
        conflicts_found=conflicts.found,
        conflicts_open=conflicts.open,
    )


def _day(at: datetime, *, up: bool) -> object:
    """A UTC date: of whole days only, so that a summary is never within by half."""
    at = at.astimezone(UTC)
    is_midnight = at == at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at.date() + timedelta(days=1) if up and not is_midnight else at.date()


_SUMMED = (
    *("completed", "partial", "failed", "cancelled", "attempts"),
    *("records_processed", "records_created", "records_updated", "records_deleted"),
    *("records_rejected", "bytes_moved", "duration_ms"),
)

_TOTALS = text(f"""
WITH left_over AS (
    SELECT sync_id,
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'partial') AS partial,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE status IN ('pending', 'queued', 'running')) AS unfinished,
        sum(attempt) AS attempts,
        sum(records_processed) AS records_processed,
        sum(records_created) AS records_created,
        sum(records_updated) AS records_updated,
        sum(records_deleted) AS records_deleted,
        sum(records_rejected) AS records_rejected,
        sum(bytes_moved) AS bytes_moved,
        sum(duration_ms) AS duration_ms,
        max(duration_ms) AS longest_ms,
        percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY duration_ms) AS shares,
        grouping(sync_id) = 1 AS is_whole
    FROM sync.sync_executions
    WHERE tenant_id = :tenant AND created_at >= :start AND created_at < :end
    GROUP BY GROUPING SETS ((sync_id), ())
), summed_up AS (
    SELECT sync_id, {", ".join(f"sum({name}) AS {name}" for name in _SUMMED)},
        max(longest_ms) AS longest_ms, grouping(sync_id) = 1 AS is_whole
    FROM sync.sync_summaries
    WHERE tenant_id = :tenant AND day >= :first AND day < :last
    GROUP BY GROUPING SETS ((sync_id), ())
)
SELECT coalesce(l.is_whole, s.is_whole) AS is_whole, n.name, l.unfinished, l.shares,
    {", ".join(f"coalesce(l.{name}, 0) + coalesce(s.{name}, 0) AS {name}" for name in _SUMMED)},
    greatest(l.longest_ms, s.longest_ms) AS longest_ms
FROM left_over l
FULL JOIN summed_up s ON l.is_whole = s.is_whole AND coalesce(l.sync_id, :tenant) =
    coalesce(s.sync_id, :tenant)
LEFT JOIN sync.syncs n ON n.tenant_id = :tenant AND n.id = coalesce(l.sync_id, s.sync_id)
""")

_CONFLICTS = text("""
SELECT count(*) FILTER (WHERE found_at >= :start) AS found,
    count(*) FILTER (WHERE resolved_at IS NULL) AS open
FROM sync.sync_schedule_conflicts
WHERE tenant_id = :tenant AND found_at < :end
""")


def _totals(row: RowMapping) -> Totals:
    counted: dict[str, Any] = {name: int(row[name]) for name in _SUMMED}
    total_ms = counted.pop("duration_ms")
    unfinished = int(row["unfinished"] or 0)
    ended = counted["completed"] + counted["partial"] + counted["failed"]
    shares = list(row["shares"] or (None, None, None))
    return Totals(
        **counted,
        executions=ended + counted["cancelled"] + unfinished,
        unfinished=unfinished,
        success_rate=round(counted["completed"] / ended, 6) if ended else None,
        duration_ms_total=total_ms,
        duration_ms_p50=shares[0],
        duration_ms_p95=shares[1],
        duration_ms_p99=shares[2],
        duration_ms_max=None if row["longest_ms"] is None else int(row["longest_ms"]),
    )
