"""Which schedules are due, and moving them on: what a dispatcher's turn reads and writes.

Law: whoever decides on a schedule holds its row and its sync's. Others pass over it,
so that nobody waits, and two schedules of one sync are never decided on at once. The
sync's is taken first: who waits for that holds no schedule that another may want.

A schedule that cannot be read is passed over, and told of: it holds up no other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, bindparam, func, select, text, update

from sync_pipelines.catalog.codec import breaker_from_json
from sync_pipelines.catalog.schedules import schedule_from_row
from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow, SyncRow, TenantRow
from sync_pipelines.catalog.tenants import limits_from_json
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.timing.zones import find_zone

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """A schedule with all that decides whether it may start its sync.

    ``pause`` says why the whole sync, or its tenant, starts nothing; None if it may.
    """

    schedule: Schedule
    sync_key: str
    pause: str | None
    breaker: BreakerPolicy
    limits: TenantLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Where a schedule stands after a decision; ``last_run_at`` None leaves it as it was."""

    schedule_id: UUID
    decided_until: datetime
    next_run_at: datetime | None
    last_run_at: datetime | None


PAUSED = "the sync is paused"
SUSPENDED = "the tenant is suspended"


def pause_of(*, tenant_is_active: bool, sync_is_active: bool, reason: str | None) -> str | None:
    """Why no schedule starts a sync; None if they may."""
    if not tenant_is_active:
        return SUSPENDED
    return None if sync_is_active else reason or PAUSED


def _select() -> Select[Any]:
    return (
        select(
            ScheduleRow.__table__,
            func.concat(TenantRow.name, "/", SyncRow.name).label("sync_key"),
            SyncRow.is_active.label("sync_is_active"),
            TenantRow.is_active.label("tenant_is_active"),
            SyncRow.pause_reason,
            SyncRow.breaker,
            TenantRow.limits,
        )
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .join(TenantRow, TenantRow.id == ScheduleRow.tenant_id)
    )


def lock_due_for_all_tenants(db: Db, connector: str, now: datetime, *, limit: int) -> list[Armed]:
    """Schedules of a connector that may start something now, longest due first.

    Without those that somebody else holds. For all tenants, because a turn serves all
    of a connector's.
    """
    query = (
        _select()
        .where(
            SyncRow.connector == connector,
            ScheduleRow.next_run_at <= now,
        )
        .order_by(ScheduleRow.next_run_at, ScheduleRow.id)
        .limit(limit)
        .with_for_update(of=(SyncRow, ScheduleRow), key_share=True, skip_locked=True)
    )
    return _readable(db.execute(query).mappings().all())


def due_ids_for_all_tenants(db: Db, connector: str, now: datetime) -> list[UUID]:
    """Schedules of a connector that may start something now, held by somebody or not.

    For all tenants, because a turn serves all of a connector's.
    """
    query = (
        select(ScheduleRow.id)
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .where(SyncRow.connector == connector, ScheduleRow.next_run_at <= now)
    )
    return list(db.scalars(query))


def lock_armed_for_all_tenants(db: Db, ids: Iterable[UUID]) -> list[Armed]:
    """These schedules, waiting for whoever holds them; in an order that never deadlocks.

    For all tenants, because the engine acts for each of them.
    """
    query = (
        _select()
        .where(ScheduleRow.id.in_(set(ids)))
        .order_by(SyncRow.id, ScheduleRow.id)
        .with_for_update(of=(SyncRow, ScheduleRow), key_share=True)
    )
    return _readable(db.execute(query).mappings().all())


def move_on(db: Db, moved: Sequence[Moved]) -> None:
    """Store where schedules stand now."""
    if not moved:
        return
    statement = (
        update(ScheduleRow)
        .where(ScheduleRow.id == bindparam("schedule_id"))
        .values(
            decided_until=bindparam("until"),
            next_run_at=bindparam("next_at"),
            last_run_at=func.coalesce(bindparam("last_at"), ScheduleRow.last_run_at),
        )
    )
    rows = [
        {
            "schedule_id": one.schedule_id,
            "until": one.decided_until,
            "next_at": one.next_run_at,
            "last_at": one.last_run_at,
        }
        for one in moved
    ]
    db.execute(statement, rows)


_HOLD_COUNTS = text(
    """
    SELECT pg_advisory_xact_lock(key)
    FROM (
        SELECT DISTINCT hashtextextended('executions of ' || id, 0) AS key
        FROM unnest(CAST(:ids AS text[])) AS id
        ORDER BY key
    ) AS keys
    """
)


def executions_since_for_all_tenants(
    db: Db, tenant_ids: Iterable[UUID], since: datetime
) -> dict[UUID, int]:
    """How many executions each tenant has been given since an instant.

    Nobody else counts theirs until the transaction ends: two that both see room for one
    would go beyond a limit. To be asked for after schedules are held, not before.
    For all tenants, because a dispatcher decides for many at once.
    """
    tenant_ids = set(tenant_ids)
    db.execute(_HOLD_COUNTS, {"ids": [str(tenant_id) for tenant_id in tenant_ids]})
    query = (
        select(ExecutionRow.tenant_id, func.count())
        .where(ExecutionRow.tenant_id.in_(tenant_ids), ExecutionRow.created_at > since)
        .group_by(ExecutionRow.tenant_id)
    )
    return {row[0]: row[1] for row in db.execute(query)}


def _readable(rows: Sequence[RowMapping]) -> list[Armed]:
    found = []
    for row in rows:
        try:
            found.append(_armed(row))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.error(
                "schedule.unreadable",
                schedule=str(row["id"]),
                sync=row["sync_key"],
                error=str(error),
            )
    return found


def _armed(row: RowMapping) -> Armed:
    find_zone(row["timezone"])
    return Armed(
        schedule=schedule_from_row(row),
        sync_key=row["sync_key"],
        pause=pause_of(
            tenant_is_active=row["tenant_is_active"],
            sync_is_active=row["sync_is_active"],
            reason=row["pause_reason"],
        ),
        breaker=breaker_from_json(row["breaker"]),
        limits=limits_from_json(row["limits"]),
    )
