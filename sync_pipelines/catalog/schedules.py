"""Schedules: reading, writing and removing what says when a sync runs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from connectors.errors import ConfigError
from sync_pipelines.catalog.syncs import missing
from sync_pipelines.catalog.tables import ScheduleRow, SyncRow, TenantRow
from sync_pipelines.model.cadence import parse_cadence, parse_clock_change, to_mapping
from sync_pipelines.model.policy import parse_policies, policies_mapping
from sync_pipelines.model.schedule import Learned, Schedule


def list_schedules(db: Db, sync_id: UUID, *, tenant_id: UUID) -> list[Schedule]:
    """A sync's schedules by name."""
    query = (
        select(ScheduleRow.__table__)
        .where(ScheduleRow.tenant_id == tenant_id, ScheduleRow.sync_id == sync_id)
        .order_by(ScheduleRow.name)
    )
    return [schedule_from_row(row) for row in db.execute(query).mappings()]


def find_schedule(db: Db, key: str) -> Schedule:
    """The schedule ``tenant/sync/name``; `NotFoundError` names the nearest if there is none."""
    tenant, sync, name = split_schedule_key(key)
    query = (
        select(ScheduleRow.__table__)
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .join(TenantRow, TenantRow.id == ScheduleRow.tenant_id)
        .where(TenantRow.name == tenant, SyncRow.name == sync)
    )
    rows = {row["name"]: row for row in db.execute(query).mappings()}
    if name not in rows:
        raise missing("schedule", name, tuple(rows))
    return schedule_from_row(rows[name])


def split_schedule_key(key: str) -> tuple[str, str, str]:
    """``tenant/sync/name`` in three; `ConfigError` when it is not that."""
    parts = key.split("/")
    if len(parts) != 3 or not all(parts):
        raise ConfigError(f"{key!r} should be TENANT/SYNC/SCHEDULE, for example demo/flights/live")
    return parts[0], parts[1], parts[2]


def count_active(db: Db, *, tenant_id: UUID) -> int:
    """How many schedules of a tenant are switched on."""
    query = select(func.count()).where(ScheduleRow.tenant_id == tenant_id, ScheduleRow.is_active)
    return db.execute(query).scalar_one()


def put_schedule(db: Db, schedule: Schedule, *, now: datetime) -> UUID:
    """Create or change a schedule by its name; ``id`` and ``created_at`` of an old one stay."""
    values = {
        "description": schedule.description,
        "schedule_type": schedule.cadence.schedule_type,
        "cron_expression": schedule.cadence.cron_expression,
        "timezone": schedule.timezone,
        "is_active": schedule.is_active,
        "config": _config(schedule),
        "learned": _learned_to_json(schedule.learned),
        "decided_until": schedule.decided_until or schedule.created_at,
        "next_run_at": schedule.next_run_at,
        "updated_at": now,
    }
    statement = (
        insert(ScheduleRow)
        .values(
            tenant_id=schedule.tenant_id,
            sync_id=schedule.sync_id,
            name=schedule.name,
            created_at=schedule.created_at,
            **values,
        )
        .on_conflict_do_update(index_elements=["sync_id", "name"], set_=values)
        .returning(ScheduleRow.id)
    )
    return db.execute(statement).scalar_one()


def ids_of_sync(db: Db, sync_id: UUID, *, tenant_id: UUID) -> list[UUID]:
    """The ids of a sync's schedules."""
    query = select(ScheduleRow.id).where(
        ScheduleRow.sync_id == sync_id, ScheduleRow.tenant_id == tenant_id
    )
    return list(db.scalars(query))


def ids_of_tenant(db: Db, *, tenant_id: UUID) -> list[UUID]:
    """The ids of a tenant's schedules."""
    query = select(ScheduleRow.id).where(ScheduleRow.tenant_id == tenant_id)
    return list(db.scalars(query))


def delete_schedule(db: Db, schedule: Schedule) -> None:
    """Remove a schedule; its executions and decisions stay, as its sync's."""
    db.execute(
        delete(ScheduleRow).where(
            ScheduleRow.id == schedule.id, ScheduleRow.tenant_id == schedule.tenant_id
        )
    )


def schedule_from_row(row: RowMapping) -> Schedule:
    """A row of ``sync_schedules`` as the model's schedule."""
    config = row["config"]
    return Schedule(
        id=row["id"],
        tenant_id=row["tenant_id"],
        sync_id=row["sync_id"],
        name=row["name"],
        description=row["description"],
        cadence=parse_cadence(config["cadence"]),
        timezone=row["timezone"],
        clock_change=parse_clock_change(config.get("clock_change", {})),
        policies=parse_policies(config.get("policies", {})),
        learned=_learned_from_json(row["learned"]),
        is_active=row["is_active"],
        created_at=row["created_at"],
        decided_until=row["decided_until"],
        next_run_at=row["next_run_at"],
        last_run_at=row["last_run_at"],
    )


def _config(schedule: Schedule) -> dict[str, Any]:
    return {
        "cadence": to_mapping(schedule.cadence),
        "clock_change": {
            "missing": str(schedule.clock_change.missing),
            "doubled": str(schedule.clock_change.doubled),
        },
        "policies": policies_mapping(schedule.policies),
    }


def _learned_to_json(learned: Learned | None) -> dict[str, Any] | None:
    if learned is None:
        return None
    return {
        "minutes": learned.minutes,
        "since": learned.since.isoformat(),
        "reason": learned.reason,
    }


def _learned_from_json(value: Mapping[str, Any] | None) -> Learned | None:
    if value is None:
        return None
    since = datetime.fromisoformat(value["since"])
    return Learned(minutes=value["minutes"], since=since, reason=value["reason"])
