"""Taking away what was configured, for good."""

from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import delete, exists, or_, select

from sync_pipelines.catalog.executions import ACTIVE
from sync_pipelines.catalog.tables import ConnectionRow, EndpointRow, ExecutionRow, SyncRow


def is_busy(db: Db, sync_id: UUID, *, tenant_id: UUID) -> bool:
    """Whether an execution of a sync has not ended."""
    query = exists().where(
        ExecutionRow.tenant_id == tenant_id,
        ExecutionRow.sync_id == sync_id,
        ExecutionRow.status.in_(ACTIVE),
    )
    return bool(db.scalar(select(query)))


def delete_sync(db: Db, sync_id: UUID, *, tenant_id: UUID) -> None:
    """Remove a sync with its schedules and its whole history."""
    db.execute(delete(SyncRow).where(SyncRow.id == sync_id, SyncRow.tenant_id == tenant_id))


def users_of_connection(db: Db, connection_id: UUID, *, tenant_id: UUID) -> list[str]:
    """The names of the syncs that read from a connection or write to it."""
    query = (
        select(SyncRow.name)
        .where(
            SyncRow.tenant_id == tenant_id,
            or_(SyncRow.source_id == connection_id, SyncRow.destination_id == connection_id),
        )
        .order_by(SyncRow.name)
    )
    return list(db.scalars(query))


def endpoints_of_connection(db: Db, connection_id: UUID, *, tenant_id: UUID) -> list[str]:
    """The names of the webhook endpoints that a connection has."""
    query = select(EndpointRow.name).where(
        EndpointRow.tenant_id == tenant_id, EndpointRow.connection_id == connection_id
    )
    return list(db.scalars(query))


def delete_connection(db: Db, connection_id: UUID, *, tenant_id: UUID) -> None:
    """Remove a connection that nothing uses."""
    db.execute(
        delete(ConnectionRow).where(
            ConnectionRow.id == connection_id, ConnectionRow.tenant_id == tenant_id
        )
    )
