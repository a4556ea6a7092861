"""Executions on their way out: those that have ended, and whether that was followed up."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import select, update

from sync_pipelines.catalog.executions import from_row, selected
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Execution

_UNFOLLOWED = (ExecutionRow.completed_at.is_not(None), ExecutionRow.followed_up_at.is_(None))


def find_ended_for_all_tenants(db: Db, execution_id: UUID) -> Execution | None:
    """An execution that has ended and was not followed up; None if it is no such.

    For all tenants, because an execution's id comes from the catalog itself.
    """
    query = selected().where(ExecutionRow.id == execution_id, *_UNFOLLOWED)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else from_row(row)


def not_followed_up_for_all_tenants(db: Db, *, before: datetime, limit: int = 500) -> list[UUID]:
    """Executions that ended before an instant and were not followed up, oldest first.

    For all tenants, because whoever looks after the dead looks after all of them.
    """
    query = (
        select(ExecutionRow.id)
        .where(ExecutionRow.completed_at < before, *_UNFOLLOWED)
        .order_by(ExecutionRow.completed_at)
        .limit(limit)
    )
    return list(db.scalars(query))


def mark_followed_up(db: Db, execution: Execution, *, now: datetime) -> bool:
    """Note that an execution was followed up; False when somebody else has done it."""
    statement = (
        update(ExecutionRow)
        .where(ExecutionRow.id == execution.id, *_UNFOLLOWED)
        .values(followed_up_at=now)
    )
    return db.execute(statement).rowcount == 1
