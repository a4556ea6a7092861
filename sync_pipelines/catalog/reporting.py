"""What messages tell besides the outcome itself: what was before, what comes, how it went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select, text

from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow, TenantRow
from sync_pipelines.model.execution import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands around an outcome: until when data is good, and when it runs next."""

    last_good_at: datetime | None
    next_run_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFigures:
    """How a sync fared in a period. ``slowest_ms`` is its longest execution."""

    sync: str
    completed: int
    failed: int
    records: int
    slowest_ms: int
    last_good_at: datetime | None
    is_active: bool
    next_run_at: datetime | None

    @property
    def executions(self) -> int:
        """All that ended, but those that somebody cancelled."""
        return self.completed + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """How many executions of a period failed for one cause, of one connection."""

    connection: str
    error_class: str
    failures: int
    syncs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """A day, as clocks in the reader's zone count them."""

    day: date
    completed: int
    failed: int


def around(db: Db, sync_id: UUID, *, tenant_id: UUID, before: datetime) -> Around:
    """What stands around an outcome of a sync."""
    good = (
        select(ExecutionRow.completed_at)
        .where(
            ExecutionRow.sync_id == sync_id,
            ExecutionRow.tenant_id == tenant_id,
            ExecutionRow.status == Status.COMPLETED,
            ExecutionRow.completed_at < before,
        )
        .order_by(ExecutionRow.created_at.desc())
        .limit(1)
    )
    coming = select(func.min(ScheduleRow.next_run_at)).where(
        ScheduleRow.sync_id == sync_id, ScheduleRow.tenant_id == tenant_id, ScheduleRow.is_active
    )
    return Around(last_good_at=db.scalar(good), next_run_at=db.scalar(coming))


_SYNCS = text("""
    SELECT s.name AS sync,
        count(e.id) FILTER (WHERE e.status = 'completed') AS completed,
        count(e.id) FILTER (WHERE e.status IN ('failed', 'partial')) AS failed,
        coalesce(sum(e.records_processed), 0)::bigint AS records,
        coalesce(max(e.duration_ms), 0) AS slowest_ms,
        (SELECT max(g.completed_at) FROM sync.sync_executions g
         WHERE g.sync_id = s.id AND g.status = 'completed') AS last_good_at,
        s.is_active,
        (SELECT min(h.next_run_at) FROM sync.sync_schedules h
         WHERE h.sync_id = s.id AND h.is_active AND s.is_active) AS next_run_at
    FROM sync.syncs s
    LEFT JOIN sync.sync_executions e ON e.sync_id = s.id AND e.tenant_id = s.tenant_id
        AND e.completed_at >= :since AND e.completed_at < :until AND e.status <> 'cancelled'
    WHERE s.tenant_id = :tenant
        AND (CAST(:sync AS uuid) IS NULL OR s.id = :sync)
    GROUP BY s.id ORDER BY s.name
""")

_CAUSES = text("""
    SELECT c.name AS connection, e.error_details ->> 'error_class' AS error_class,
        count(*) AS failures, count(DISTINCT e.sync_id) AS syncs
    FROM sync.sync_executions e
    JOIN sync.syncs s ON s.id = e.sync_id
    JOIN sync.connections c ON c.id = s.source_id
    WHERE e.tenant_id = :tenant AND e.completed_at >= :since AND e.completed_at < :until
        AND e.status IN ('failed', 'partial')
        AND (CAST(:sync AS uuid) IS NULL OR s.id = :sync)
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
""")

_DAYS = text("""
    SELECT CAST(e.completed_at AT TIME ZONE :zone AS date) AS day,
        count(*) FILTER (WHERE e.status = 'completed') AS completed,
        count(*) FILTER (WHERE e.status <> 'completed') AS failed
    FROM sync.sync_executions e
    WHERE e.tenant_id = :tenant AND e.completed_at >= :since AND e.completed_at < :until
        AND e.status IN ('completed', 'failed', 'partial')
        AND (CAST(:sync AS uuid) IS NULL OR e.sync_id = :sync)
    GROUP BY 1 ORDER BY 1
""")


def figures(
    db: Db, *, tenant_id: UUID, sync_id: UUID | None, since: datetime, until: datetime
) -> Sequence[SyncFigures]:
    """How each sync of a tenant, or one, fared in a half-open period; by name."""
    arguments = {"tenant": tenant_id, "sync": sync_id, "since": since, "until": until}
    return [SyncFigures(**row) for row in db.execute(_SYNCS, arguments).mappings()]


def causes(
    db: Db, *, tenant_id: UUID, sync_id: UUID | None, since: datetime, until: datetime
) -> Sequence[Cause]:
    """What failures of a period were due to, the most frequent first."""
    arguments = {"tenant": tenant_id, "sync": sync_id, "since": since, "until": until}
    rows = db.execute(_CAUSES, arguments).mappings()
    return [Cause(**{**row, "error_class": row["error_class"] or "unexpected"}) for row in rows]


def days(
    db: Db,
    *,
    tenant_id: UUID,
    sync_id: UUID | None,
    since: datetime,
    until: datetime,
    zone: str,
) -> Sequence[DayFigures]:
    """A period's days on the clocks of a zone, those on which something ended."""
    arguments = {"tenant": tenant_id, "sync": sync_id, "since": since, "until": until}
    rows = db.execute(_DAYS, {**arguments, "zone": zone}).mappings()
    return [DayFigures(**row) for row in rows]


def tenant_name(db: Db, tenant_id: UUID) -> str:
    """A tenant's name."""
    return db.execute(select(TenantRow.name).where(TenantRow.id == tenant_id)).scalar_one()
