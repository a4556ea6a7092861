"""Executions that have ended, on their way into the audit."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection as Db
from sqlalchemy import exists, func, select, update

from sync_pipelines.catalog.audit import Done
from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow, SyncRow, TenantRow

ACTION = "execution.ended"

_UNAUDITED = (ExecutionRow.completed_at.is_not(None), ExecutionRow.audited_at.is_(None))


def is_any_unaudited_for_all_tenants(db: Db) -> bool:
    """Whether an execution has ended that the audit does not know; nothing is held."""
    return bool(db.scalar(select(exists().where(*_UNAUDITED))))


def take_unaudited_for_all_tenants(db: Db, *, now: datetime, limit: int) -> Sequence[Done]:
    """The oldest ends that the audit does not know, noted as known; waits for no execution.

    For all tenants, because they share the audit's chain.
    """
    query = (
        select(
            ExecutionRow.id,
            ExecutionRow.tenant_id,
            ExecutionRow.trigger,
            ExecutionRow.status,
            ExecutionRow.attempt,
            ExecutionRow.run_id,
            ExecutionRow.due_at,
            ExecutionRow.started_at,
            ExecutionRow.completed_at,
            ExecutionRow.records_processed,
            func.concat(TenantRow.name, "/", SyncRow.name).label("sync_key"),
            ScheduleRow.name.label("schedule"),
        )
        .join(SyncRow, SyncRow.id == ExecutionRow.sync_id)
        .join(TenantRow, TenantRow.id == ExecutionRow.tenant_id)
        .outerjoin(ScheduleRow, ScheduleRow.id == ExecutionRow.schedule_id)
        .where(*_UNAUDITED)
        .order_by(ExecutionRow.completed_at, ExecutionRow.id)
        .limit(limit)
        .with_for_update(of=ExecutionRow, skip_locked=True, key_share=True)
    )
    found = db.execute(query).all()
    marked = update(ExecutionRow).where(ExecutionRow.id.in_([row.id for row in found]))
    db.execute(marked.values(audited_at=now))
    return [
        Done(
            tenant_id=row.tenant_id,
            at=row.completed_at,
            actor=f"schedule {row.sync_key}/{row.schedule}" if row.schedule else row.trigger,
            action=ACTION,
            subject=f"{row.sync_key} {row.id}",
            before={
                "status": "pending" if row.started_at is None else "running",
                "trigger": row.trigger,
                "due_at": _spelled(row.due_at),
                "started_at": _spelled(row.started_at),
            },
            after={
                "status": row.status,
                "attempt": row.attempt,
                "records_processed": row.records_processed,
                "run_id": row.run_id,
            },
        )
        for row in found
    ]


def _spelled(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
