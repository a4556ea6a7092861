"""Schedules with what surrounds them, for whoever looks at them.

Holds no row and opens no secret: looking must work while others act, and even when
the keys are not there.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, func, select

from sync_pipelines.catalog.due import pause_of
from sync_pipelines.catalog.schedules import schedule_from_row, split_schedule_key
from sync_pipelines.catalog.syncs import find_tenant_id, missing, split_key
from sync_pipelines.catalog.tables import ScheduleRow, SyncRow, TenantRow
from sync_pipelines.model.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSeen:
    """A sync and its standing; ``pause`` says why no schedule starts it, None if they may."""

    id: UUID
    tenant_id: UUID
    key: str
    pause: str | None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A schedule and the sync that it starts."""

    schedule: Schedule
    sync: SyncSeen

    @property
    def key(self) -> str:
        """``tenant/sync/schedule``."""
        return f"{self.sync.key}/{self.schedule.name}"


def seen_sync(db: Db, key: str) -> SyncSeen:
    """The sync ``tenant/name``; `NotFoundError` names the nearest if there is none."""
    tenant, name = split_key(key)
    syncs = {sync.key: sync for sync in seen_syncs(db, tenant)}
    if key not in syncs:
        raise missing("sync", name, [known.partition("/")[2] for known in syncs])
    return syncs[key]


def seen_syncs(db: Db, tenant: str) -> list[SyncSeen]:
    """A tenant's syncs by name; `NotFoundError` when there is no such tenant."""
    query = (
        select(*_SYNC)
        .join(TenantRow, TenantRow.id == SyncRow.tenant_id)
        .where(SyncRow.tenant_id == find_tenant_id(db, tenant))
        .order_by(SyncRow.name)
    )
    return [_seen(row) for row in db.execute(query).mappings()]


def scheduled_of_tenant(db: Db, tenant: str) -> list[Scheduled]:
    """A tenant's schedules by sync and name; `NotFoundError` when there is no such tenant."""
    query = select_scheduled().where(ScheduleRow.tenant_id == find_tenant_id(db, tenant))
    rows = db.execute(query.order_by(SyncRow.name, ScheduleRow.name)).mappings()
    return [scheduled_from_row(row) for row in rows]


def scheduled_of_sync(db: Db, sync: SyncSeen) -> list[Scheduled]:
    """A sync's schedules by name."""
    query = select_scheduled().where(
        ScheduleRow.sync_id == sync.id, ScheduleRow.tenant_id == sync.tenant_id
    )
    return [
        scheduled_from_row(row) for row in db.execute(query.order_by(ScheduleRow.name)).mappings()
    ]


def find_scheduled(db: Db, key: str) -> Scheduled:
    """The schedule ``tenant/sync/name``; `NotFoundError` names the nearest if there is none."""
    tenant, sync, name = split_schedule_key(key)
    found = {
        one.schedule.name: one for one in scheduled_of_sync(db, seen_sync(db, f"{tenant}/{sync}"))
    }
    if name not in found:
        raise missing("schedule", name, tuple(found))
    return found[name]


_SYNC = (
    SyncRow.id.label("seen_id"),
    SyncRow.tenant_id.label("seen_tenant_id"),
    func.concat(TenantRow.name, "/", SyncRow.name).label("seen_key"),
    SyncRow.is_active.label("seen_is_active"),
    TenantRow.is_active.label("seen_tenant_is_active"),
    SyncRow.pause_reason.label("seen_pause_reason"),
    SyncRow.tags.label("seen_tags"),
)


def select_scheduled() -> Select[Any]:
    """Schedules with their syncs; `scheduled_from_row` reads what it brings."""
    return (
        select(ScheduleRow.__table__, *_SYNC)
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .join(TenantRow, TenantRow.id == ScheduleRow.tenant_id)
    )


def scheduled_from_row(row: RowMapping) -> Scheduled:
    """A row that `select_scheduled` brought."""
    return Scheduled(schedule=schedule_from_row(row), sync=_seen(row))


def _seen(row: RowMapping) -> SyncSeen:
    return SyncSeen(
        id=row["seen_id"],
        tenant_id=row["seen_tenant_id"],
        key=row["seen_key"],
        pause=pause_of(
            tenant_is_active=row["seen_tenant_is_active"],
            sync_is_active=row["seen_is_active"],
            reason=row["seen_pause_reason"],
        ),
        tags=tuple(row["seen_tags"]),
    )
