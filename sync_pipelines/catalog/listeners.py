"""Schedules that no clock drives, by what they wait for."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select

from sync_pipelines.catalog.tables import ConnectionRow, ScheduleRow, SyncRow, TenantRow
from sync_pipelines.model.cadence import Cadence, ScheduleType, parse_cadence


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A schedule that waits for events; ``connector`` and ``connection`` are its source's.

    ``streams`` are those that its sync reads.
    """

    schedule_id: UUID
    name: str
    cadence: Cadence
    sync_id: UUID
    sync_key: str
    connector: str
    connection: str
    streams: tuple[str, ...] = ()


def after_sync(db: Db, sync_key: str, *, tenant_id: UUID) -> list[UUID]:
    """The tenant's schedules that fire after a sync, ``tenant/name``, has succeeded."""
    waits_for = ScheduleRow.config["cadence"]["sync"].astext
    query = select(ScheduleRow.id).where(
        ScheduleRow.tenant_id == tenant_id,
        ScheduleRow.schedule_type == ScheduleType.AFTER,
        waits_for.in_([sync_key, sync_key.partition("/")[2]]),
    )
    return list(db.scalars(query))


def to_events(db: Db, *, tenant_id: UUID, sync_id: UUID | None = None) -> list[Listener]:
    """The tenant's schedules that wait for events, by name; those of one sync, if it is given."""
    query = (
        select(
            ScheduleRow.id,
            ScheduleRow.name,
            ScheduleRow.config,
            ScheduleRow.sync_id,
            func.concat(TenantRow.name, "/", SyncRow.name).label("sync_key"),
            SyncRow.connector,
            SyncRow.streams,
            ConnectionRow.name.label("connection"),
        )
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .join(ConnectionRow, ConnectionRow.id == SyncRow.source_id)
        .join(TenantRow, TenantRow.id == ScheduleRow.tenant_id)
        .where(
            ScheduleRow.tenant_id == tenant_id,
            ScheduleRow.schedule_type.in_([ScheduleType.EVENT, ScheduleType.REALTIME]),
        )
        .order_by(SyncRow.name, ScheduleRow.name)
    )
    if sync_id is not None:
        query = query.where(ScheduleRow.sync_id == sync_id)
    return [
        Listener(
            schedule_id=row.id,
            name=row.name,
            cadence=parse_cadence(row.config["cadence"]),
            sync_id=row.sync_id,
            sync_key=row.sync_key,
            connector=row.connector,
            connection=row.connection,
            streams=tuple(stream["name"] for stream in row.streams),
        )
        for row in db.execute(query)
    ]
