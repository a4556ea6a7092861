"""What a tenant's syncs have come to in a span of time.

Of few executions the rows are read. Of many, whole UTC days are taken as the database has
counted them, and rows are read only of what has not ended and of the days that the span
begins and ends in: counts and sums are as exact, percentiles are estimated.

Executions whose rows housekeeping has summed up count by the day on which they ended;
percentiles are of those whose rows are left.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from operator import add
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, func, select, text

from sync_pipelines.catalog.rollups import PLACES, estimated
from sync_pipelines.catalog.tables import DayRow
from sync_pipelines.model.report import Report, SyncTotals, Totals, success_rate

PERCENTS = (50, 95, 99)

MOST_EXACT = 5_000
"""The rows of so many executions are read for a report, and of no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A span, and the whole UTC days within it: from ``first`` on and before ``last``.

    Where there are none, both instants are the end: all of the span is before them.
    """

    start: datetime
    end: datetime
    first: date
    last: date
    first_at: datetime
    last_at: datetime


@dataclass(slots=True)
class _Sum:
    """What executions come to, while it is added up."""

    numbers: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    longest: int | None = None
    durations: list[int] = field(default_factory=lambda: [0] * PLACES)

    def add_row(self, row: RowMapping) -> None:
        """Count what a row of `_DAYS` says."""
        for name in _NUMBERS:
            self.numbers[name] += row[name] or 0
        self._measure(row["longest_ms"], row["durations"])
        for place in row["places"] or ():
            if place is not None:
                self.durations[place - 1] += 1

    def add(self, other: "_Sum") -> None:
        """Count all of another."""
        for name in _NUMBERS:
            self.numbers[name] += other.numbers[name]
        self._measure(other.longest, other.durations)

    def _measure(self, longest: int | None, counts: Sequence[int] | None) -> None:
        if longest is not None:
            self.longest = max(longest, self.longest or 0)
        if counts:
            self.durations = list(map(add, self.durations, counts))

    def totals(self) -> dict[str, Any]:
        """As `Totals` has them, with estimated percentiles."""
        shares = [estimated(self.durations, percent, longest=self.longest) for percent in PERCENTS]
        return _totals(self.numbers, shares, self.longest)


def report(db: Db, *, tenant_id: UUID, start: datetime, end: datetime) -> Report:
    """What came of the executions that were created within a span."""
    span = _span(start, end)
    values = {
        **{name: getattr(span, name) for name in _Span.__dataclass_fields__},
        "tenant": tenant_id,
        "shares": [percent / 100 for percent in PERCENTS],
    }
    is_exact = _ended_about(db, tenant_id, span) <= MOST_EXACT
    whole, syncs = _of_rows(db, values) if is_exact else _of_days(db, values)
    conflicts = db.execute(_CONFLICTS, values).one()
    return Report(
        start=start,
        end=end,
        percentiles_exact=is_exact,
        totals=whole,
        syncs=tuple(sorted(syncs, key=lambda one: one.sync)),
        conflicts_found=conflicts.found,
        conflicts_open=conflicts.open,
    )


def _span(start: datetime, end: datetime) -> _Span:
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    is_midnight = start.time() == time()
    first = start.date() if is_midnight else start.date() + timedelta(days=1)
    last = max(first, end.date())
    is_none = first >= end.date()
    return _Span(
        start=start,
        end=end,
        first=first,
        last=last,
        first_at=end if is_none else datetime.combine(first, time(), UTC),
        last_at=end if is_none else datetime.combine(last, time(), UTC),
    )


def _ended_about(db: Db, tenant_id: UUID, span: _Span) -> int:
    """How many ended of the days that a span touches: no fewer than within it."""
    ended = DayRow.completed + DayRow.partial + DayRow.failed + DayRow.cancelled
    query = select(func.coalesce(func.sum(ended), 0)).where(
        DayRow.tenant_id == tenant_id,
        DayRow.day.between(span.start.date(), span.end.date()),
    )
    return int(db.execute(query).scalar_one())


def _of_rows(db: Db, values: Mapping[str, Any]) -> tuple[Totals, list[SyncTotals]]:
    rows = db.execute(_ROWS, values).mappings().all()
    whole = next(row for row in rows if row["is_whole"])
    return Totals(**_of_row(whole)), [
        SyncTotals(sync=row["name"], **_of_row(row)) for row in rows if not row["is_whole"]
    ]


def _of_row(row: RowMapping) -> dict[str, Any]:
    numbers = {name: int(row[name] or 0) for name in _NUMBERS}
    return _totals(numbers, list(row["shares"] or (None, None, None)), row["longest_ms"])


def _of_days(db: Db, values: Mapping[str, Any]) -> tuple[Totals, list[SyncTotals]]:
    whole, syncs = _Sum(), defaultdict[str, _Sum](_Sum)
    for row in db.execute(_DAYS, values).mappings():
        syncs[row["name"]].add_row(row)
    for one in syncs.values():
        whole.add(one)
    return Totals(**whole.totals()), [
        SyncTotals(sync=name, **one.totals()) for name, one in syncs.items()
    ]


def _totals(
    numbers: Mapping[str, int], shares: Sequence[float | None], longest: int | None
) -> dict[str, Any]:
    counted = {name: numbers[name] for name in _NUMBERS}
    total_ms = counted.pop("duration_ms")
    ended = counted["completed"] + counted["partial"] + counted["failed"]
    return {
        **counted,
        "executions": ended + counted["cancelled"] + counted["unfinished"],
        "success_rate": success_rate(completed=counted["completed"], ended=ended),
        "duration_ms_total": total_ms,
        "duration_ms_p50": shares[0],
        "duration_ms_p95": shares[1],
        "duration_ms_p99": shares[2],
        "duration_ms_max": longest,
    }


_SUMMED = (
    *("completed", "partial", "failed", "cancelled", "attempts"),
    *("records_processed", "records_created", "records_updated", "records_deleted"),
    *("records_rejected", "bytes_moved", "duration_ms"),
)
_NUMBERS = (*_SUMMED, "unfinished")

_OF_ROWS = """
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'partial') AS partial,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
        CAST(sum(attempt) AS bigint) AS attempts,
        CAST(sum(records_processed) AS bigint) AS records_processed,
        CAST(sum(records_created) AS bigint) AS records_created,
        CAST(sum(records_updated) AS bigint) AS records_updated,
        CAST(sum(records_deleted) AS bigint) AS records_deleted,
        CAST(sum(records_rejected) AS bigint) AS records_rejected,
        CAST(sum(bytes_moved) AS bigint) AS bytes_moved,
        CAST(sum(duration_ms) AS bigint) AS duration_ms,
        count(*) FILTER (WHERE status IN ('pending', 'queued', 'running')) AS unfinished,
        max(duration_ms) AS longest_ms"""

_SUMMARIES = f"""
    SELECT sync_id, {", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in _SUMMED)},
        0 AS unfinished, max(longest_ms) AS longest_ms"""

_ROWS = text(f"""
WITH left_over AS (
    SELECT sync_id, {_OF_ROWS},
        percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY duration_ms) AS shares,
        grouping(sync_id) = 1 AS is_whole
    FROM sync.sync_executions
    WHERE tenant_id = :tenant AND created_at >= :start AND created_at < :end
    GROUP BY GROUPING SETS ((sync_id), ())
), summed_up AS ({_SUMMARIES},
        grouping(sync_id) = 1 AS is_whole
    FROM sync.sync_summaries
    WHERE tenant_id = :tenant AND day >= :first AND day < :last
    GROUP BY GROUPING SETS ((sync_id), ())
)
SELECT coalesce(l.is_whole, s.is_whole) AS is_whole, n.name, l.shares,
    {", ".join(f"coalesce(l.{name}, 0) + coalesce(s.{name}, 0) AS {name}" for name in _NUMBERS)},
    greatest(l.longest_ms, s.longest_ms) AS longest_ms
FROM left_over l
FULL JOIN summed_up s ON l.is_whole = s.is_whole AND coalesce(l.sync_id, :tenant) =
    coalesce(s.sync_id, :tenant)
LEFT JOIN sync.syncs n ON n.tenant_id = :tenant AND n.id = coalesce(l.sync_id, s.sync_id)
""")

# One statement, so that what ends meanwhile is counted once: as ended, or as not. The last
# day is taken whole where nothing was created after the end: so it is with a span up to now.
_DAYS = text(f"""
WITH cut AS MATERIALIZED (
    SELECT EXISTS (
        SELECT FROM sync.sync_executions WHERE tenant_id = :tenant AND created_at >= :end
    ) OR :last_at = :end AS is_so
), counted AS ({_SUMMARIES},
        ARRAY[{", ".join(f"sum(durations[{place}])" for place in range(1, PLACES + 1))}]
            AS durations, NULL::integer[] AS places
    FROM sync.execution_days
    WHERE tenant_id = :tenant AND day >= :first
        AND day < CASE WHEN (SELECT is_so FROM cut) THEN :last ELSE :last + 1 END
    GROUP BY sync_id
), beside AS (
    SELECT sync_id, {_OF_ROWS},
        NULL::bigint[] AS durations, array_agg(sync.duration_place(duration_ms)) AS places
    FROM (
        SELECT * FROM sync.sync_executions
        WHERE tenant_id = :tenant AND created_at >= :start AND created_at < :first_at
        UNION ALL
        SELECT * FROM sync.sync_executions
        WHERE tenant_id = :tenant AND created_at >= :last_at AND created_at < :end
            AND (SELECT is_so FROM cut)
        UNION ALL
        SELECT * FROM sync.sync_executions
        WHERE tenant_id = :tenant AND created_at >= :first_at
            AND created_at < CASE WHEN (SELECT is_so FROM cut) THEN :last_at ELSE :end END
            AND status IN ('pending', 'queued', 'running')
    ) edges
    GROUP BY sync_id
), summed_up AS ({_SUMMARIES},
        NULL::bigint[] AS durations, NULL::integer[] AS places
    FROM sync.sync_summaries
    WHERE tenant_id = :tenant AND day >= :first AND day < :last
    GROUP BY sync_id
)
SELECT n.name, found.*
FROM (TABLE counted UNION ALL TABLE beside UNION ALL TABLE summed_up) found
JOIN sync.syncs n ON n.tenant_id = :tenant AND n.id = found.sync_id
""")

_CONFLICTS = text("""
SELECT count(*) FILTER (WHERE found_at >= :start) AS found,
    count(*) FILTER (WHERE resolved_at IS NULL) AS open
FROM sync.sync_schedule_conflicts
WHERE tenant_id = :tenant AND found_at < :end
""")
