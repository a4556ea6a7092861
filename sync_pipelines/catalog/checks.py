"""What a sync's executions have found: the history that an adaptive schedule learns from."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select

from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Status
from sync_pipelines.timing.adaptive import Check


def latest(db: Db, sync_id: UUID, *, tenant_id: UUID, until: datetime, limit: int) -> list[Check]:
    """The last executions of a sync that had succeeded ``until`` then, latest first.

    Whoever asked for them; but only those that went on from the state: one that
    read everything again, a part or a window says nothing about how often things change.
    """
    changed = (
        ExecutionRow.records_created + ExecutionRow.records_updated + ExecutionRow.records_deleted
    )
    looked_at = func.coalesce(ExecutionRow.started_at, ExecutionRow.completed_at)
    query = (
        select(looked_at.label("at"), changed.label("rows"))
        .where(
            ExecutionRow.tenant_id == tenant_id,
            ExecutionRow.sync_id == sync_id,
            ExecutionRow.status == Status.COMPLETED,
            ExecutionRow.completed_at <= until,
            ExecutionRow.request == {},
        )
        .order_by(ExecutionRow.created_at.desc())
        .limit(limit)
    )
    return [
        Check(at=row.at, found_changes=row.rows > 0, rows=row.rows) for row in db.execute(query)
    ]
