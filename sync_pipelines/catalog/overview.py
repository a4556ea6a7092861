"""What people look at: syncs with how they stand, in one query whatever their number.

Opens no secrets: looking must work even when the keys are not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, func, select
from sqlalchemy.orm import aliased

from sync_pipelines.catalog.tables import (
    ConnectionRow,
    ExecutionRow,
    ScheduleRow,
    StateRow,
    SyncRow,
    TenantRow,
)
from sync_pipelines.model.execution import FINAL, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class LastResult:
    """How a sync's newest finished execution ended."""

    execution_id: UUID
    status: Status
    completed_at: datetime
    records_processed: int
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a sync is doing now; ``progress`` as the execution's row shows it."""

    execution_id: UUID
    attempt: int
    started_at: datetime
    progress: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOverview:
    """One sync as a person sees it. ``watermarks`` are by stream."""

    key: str
    source: str
    destination: str
    is_active: bool
    next_run_at: datetime | None
    waiting: int
    running: Running | None
    last: LastResult | None
    watermarks: Mapping[str, str]


def descriptions(db: Db, *, tenant_id: UUID) -> Mapping[str, str | None]:
    """What a tenant wrote about its syncs, by their names."""
    query = select(SyncRow.name, SyncRow.description).where(SyncRow.tenant_id == tenant_id)
    return {row.name: row.description for row in db.execute(query)}


def overview_for_all_tenants(db: Db) -> list[SyncOverview]:
    """Every sync, by its key. For all tenants, for whoever runs the installation."""
    source, destination = aliased(ConnectionRow), aliased(ConnectionRow)
    next_run = (
        select(func.min(ScheduleRow.next_run_at))
        .where(ScheduleRow.sync_id == SyncRow.id, ScheduleRow.is_active)
        .scalar_subquery()
    )
    waiting = (
        select(ExecutionRow.sync_id, func.count().label("waiting"))
        .where(ExecutionRow.status.in_((Status.PENDING, Status.QUEUED)))
        .group_by(ExecutionRow.sync_id)
        .subquery()
    )
    watermarks = (
        select(func.jsonb_object_agg(StateRow.stream, StateRow.watermark))
        .where(StateRow.sync_id == SyncRow.id, StateRow.watermark.is_not(None))
        .scalar_subquery()
    )
    last = (
        select(ExecutionRow.__table__)
        .where(
            ExecutionRow.sync_id == SyncRow.id,
            ExecutionRow.status.in_(FINAL),
        )
        .order_by(ExecutionRow.created_at.desc())
        .limit(1)
        .lateral("last_one")
    )
    running = (
        select(ExecutionRow.__table__)
        .where(ExecutionRow.sync_id == SyncRow.id, ExecutionRow.status == Status.RUNNING)
        .lateral("running_one")
    )
    query = (
        select(
            TenantRow.name.label("tenant"),
            SyncRow.name,
            SyncRow.is_active,
            source.name.label("source"),
            destination.name.label("destination"),
            next_run.label("next_run_at"),
            func.coalesce(waiting.c.waiting, 0).label("waiting"),
            watermarks.label("watermarks"),
            *(last.c[name].label(f"last_{name}") for name in _LAST),
            *(running.c[name].label(f"running_{name}") for name in _RUNNING),
        )
        .join(TenantRow, TenantRow.id == SyncRow.tenant_id)
        .join(source, source.id == SyncRow.source_id)
        .join(destination, destination.id == SyncRow.destination_id)
        .outerjoin(waiting, waiting.c.sync_id == SyncRow.id)
        .outerjoin(last, last.c.id.is_not(None))
        .outerjoin(running, running.c.id.is_not(None))
        .order_by(TenantRow.name, SyncRow.name)
    )
    return [_overview(row) for row in db.execute(query).mappings()]


_LAST = ("id", "status", "completed_at", "records_processed", "error_message")
_RUNNING = ("id", "attempt", "started_at", "progress")


def _overview(row: RowMapping) -> SyncOverview:
    last, running = None, None
    if row["last_id"] is not None:
        last = LastResult(
            execution_id=row["last_id"],
            status=Status(row["last_status"]),
            completed_at=row["last_completed_at"],
            records_processed=row["last_records_processed"],
            error_message=row["last_error_message"],
        )
    if row["running_id"] is not None:
        running = Running(
            execution_id=row["running_id"],
            attempt=row["running_attempt"],
            started_at=row["running_started_at"],
            progress=row["running_progress"],
        )
    return SyncOverview(
        key=f"{row['tenant']}/{row['name']}",
        source=row["source"],
        destination=row["destination"],
        is_active=row["is_active"],
        next_run_at=row["next_run_at"],
        waiting=row["waiting"],
        running=running,
        last=last,
        watermarks=row["watermarks"] or {},
    )
