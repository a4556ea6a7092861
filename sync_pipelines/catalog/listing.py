"""Lists of what a tenant has configured, page by page.

Opens no secret, and holds no row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, func, literal_column, select
from sqlalchemy import Connection as Db
from sqlalchemy.orm import aliased

from sync_pipelines.catalog.codec import (
    breaker_from_json,
    retry_from_json,
    stream_from_json,
)
from sync_pipelines.catalog.paging import Key, Listed, equal, listed, order_of, page
from sync_pipelines.catalog.scheduled import Scheduled, scheduled_from_row, select_scheduled
from sync_pipelines.catalog.tables import (
    ConnectionRow,
    ScheduleRow,
    SyncRow,
)
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import SyncStream

NEVER: ColumnElement[datetime] = literal_column("'9999-12-31 00:00:00+00'::timestamptz")
"""Where what has no time stands in a list that is sorted by times; an index has it so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleListed:
    """A schedule, and what is to be known of the sync that it starts."""

    scheduled: Scheduled
    source_id: UUID
    destination_id: UUID
    connector: str
    streams: tuple[SyncStream, ...]
    sync_description: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncListed:
    """A sync as it was configured, its ends by name."""

    id: UUID
    name: str
    description: str | None
    source: str
    destination: str
    connector: str
    dataset: str
    streams: tuple[SyncStream, ...]
    retry: RetryPolicy
    breaker: BreakerPolicy
    is_active: bool
    tags: tuple[str, ...]
    pause_reason: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionListed:
    """A connection without its secrets."""

    id: UUID
    name: str
    connector: str
    config: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime


class ScheduleSort(StrEnum):
    """What schedules may be sorted by; a minus turns it round."""

    NAME = "name"
    CREATED = "created_at"
    NEXT_RUN = "next_run_at"
    NAME_DOWN = "-name"
    CREATED_DOWN = "-created_at"
    NEXT_RUN_DOWN = "-next_run_at"


class NameSort(StrEnum):
    """What syncs and connections may be sorted by."""

    NAME = "name"
    CREATED = "created_at"
    NAME_DOWN = "-name"
    CREATED_DOWN = "-created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichSchedules:
    """Which schedules are meant; what is None does not matter. ``sync`` is its bare name."""

    sync: str | None = None
    is_active: bool | None = None
    schedule_type: str | None = None


# --- schedules ---------------------------------------------------------------------


def list_schedules(
    db: Db,
    which: WhichSchedules,
    *,
    tenant_id: UUID,
    sort: ScheduleSort = ScheduleSort.NAME,
    after: Key | None = None,
    limit: int,
) -> Listed[ScheduleListed]:
    """A tenant's schedules."""
    wanted: dict[ColumnElement[Any], Any] = {
        SyncRow.name.expression: which.sync,
        ScheduleRow.is_active.expression: which.is_active,
        ScheduleRow.schedule_type.expression: which.schedule_type,
    }
    query = _schedules().where(ScheduleRow.tenant_id == tenant_id, *equal(wanted))
    order = order_of(sort, _SCHEDULES_BY, ScheduleRow.id)
    return listed(page(db, query, order, after=after, limit=limit), _schedule)


def find_schedule(db: Db, schedule_id: UUID, *, tenant_id: UUID) -> ScheduleListed | None:
    """One schedule of a tenant, or None."""
    query = _schedules().where(ScheduleRow.tenant_id == tenant_id, ScheduleRow.id == schedule_id)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _schedule(row)


def find_schedule_named(db: Db, sync: str, name: str, *, tenant_id: UUID) -> ScheduleListed | None:
    """One schedule by its name and its sync's, or None."""
    query = _schedules().where(
        ScheduleRow.tenant_id == tenant_id, SyncRow.name == sync, ScheduleRow.name == name
    )
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _schedule(row)


def _schedules() -> Select[Any]:
    return select_scheduled().add_columns(
        SyncRow.source_id,
        SyncRow.destination_id,
        SyncRow.connector,
        SyncRow.streams,
        SyncRow.description.label("sync_description"),
    )


def _schedule(row: RowMapping) -> ScheduleListed:
    return ScheduleListed(
        scheduled=scheduled_from_row(row),
        source_id=row["source_id"],
        destination_id=row["destination_id"],
        connector=row["connector"],
        streams=tuple(stream_from_json(stream) for stream in row["streams"]),
        sync_description=row["sync_description"],
        updated_at=row["updated_at"],
    )


# --- syncs and connections ---------------------------------------------------------


def list_syncs(
    db: Db,
    *,
    tenant_id: UUID,
    source: str | None = None,
    is_active: bool | None = None,
    tag: str | None = None,
    sort: NameSort = NameSort.NAME,
    after: Key | None = None,
    limit: int,
) -> Listed[SyncListed]:
    """A tenant's syncs."""
    query, source_name = _syncs()
    wanted = {source_name: source, SyncRow.is_active.expression: is_active}
    query = query.where(SyncRow.tenant_id == tenant_id, *equal(wanted))
    if tag is not None:
        query = query.where(SyncRow.tags.contains([tag]))
    by = {"name": SyncRow.name, "created_at": SyncRow.created_at}
    paged = page(db, query, order_of(sort, by, SyncRow.id), after=after, limit=limit)
    return listed(paged, _sync)


def find_sync(db: Db, sync_id: UUID, *, tenant_id: UUID) -> SyncListed | None:
    """One sync of a tenant, or None."""
    return _one_sync(db, SyncRow.id == sync_id, tenant_id)


def find_sync_named(db: Db, name: str, *, tenant_id: UUID) -> SyncListed | None:
    """One sync of a tenant by its bare name, or None."""
    return _one_sync(db, SyncRow.name == name, tenant_id)


def _one_sync(db: Db, which: ColumnElement[bool], tenant_id: UUID) -> SyncListed | None:
    query, _ = _syncs()
    row = db.execute(query.where(SyncRow.tenant_id == tenant_id, which)).mappings().one_or_none()
    return None if row is None else _sync(row)


def _syncs() -> tuple[Select[Any], ColumnElement[Any]]:
    source, destination = aliased(ConnectionRow), aliased(ConnectionRow)
    query = (
        select(
            SyncRow.__table__,
            source.name.label("source"),
            destination.name.label("destination"),
        )
        .join(source, source.id == SyncRow.source_id)
        .join(destination, destination.id == SyncRow.destination_id)
    )
    return query, source.name.expression


def _sync(row: RowMapping) -> SyncListed:
    return SyncListed(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        source=row["source"],
        destination=row["destination"],
        connector=row["connector"],
        dataset=row["dataset"],
        streams=tuple(stream_from_json(stream) for stream in row["streams"]),
        retry=retry_from_json(row["retry"]),
        breaker=breaker_from_json(row["breaker"]),
        is_active=row["is_active"],
        tags=tuple(row["tags"]),
        pause_reason=row["pause_reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def list_connections(
    db: Db,
    *,
    tenant_id: UUID,
    connector: str | None = None,
    sort: NameSort = NameSort.NAME,
    after: Key | None = None,
    limit: int,
) -> Listed[ConnectionListed]:
    """A tenant's connections."""
    query: Select[Any] = select(*_CONNECTION).where(
        ConnectionRow.tenant_id == tenant_id,
        *equal({ConnectionRow.connector.expression: connector}),
    )
    by = {"name": ConnectionRow.name, "created_at": ConnectionRow.created_at}
    paged = page(db, query, order_of(sort, by, ConnectionRow.id), after=after, limit=limit)
    return listed(paged, _connection)


def find_connection(db: Db, connection_id: UUID, *, tenant_id: UUID) -> ConnectionListed | None:
    """One connection of a tenant, or None."""
    return _one_connection(db, ConnectionRow.id == connection_id, tenant_id)


def find_connection_named(db: Db, name: str, *, tenant_id: UUID) -> ConnectionListed | None:
    """One connection of a tenant by its bare name, or None."""
    return _one_connection(db, ConnectionRow.name == name, tenant_id)


def _one_connection(db: Db, which: ColumnElement[bool], tenant_id: UUID) -> ConnectionListed | None:
    query = select(*_CONNECTION).where(ConnectionRow.tenant_id == tenant_id, which)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _connection(row)


_CONNECTION: tuple[Any, ...] = (
    ConnectionRow.id,
    ConnectionRow.name,
    ConnectionRow.connector,
    ConnectionRow.config,
    ConnectionRow.created_at,
    ConnectionRow.updated_at,
)


def _connection(row: RowMapping) -> ConnectionListed:
    return ConnectionListed(**{column.key: row[column.key] for column in _CONNECTION})


_SCHEDULES_BY: Mapping[str, Any] = {
    "name": ScheduleRow.name,
    "created_at": ScheduleRow.created_at,
    "next_run_at": func.coalesce(ScheduleRow.next_run_at, NEVER),
}
