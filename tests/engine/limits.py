"""Sets what tenants and connections may use, and looks at what waits."""

from datetime import datetime
from time import sleep
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update

from sync_pipelines.catalog.tables import ConnectionRow, ExecutionRow, SyncRow
from sync_pipelines.catalog.tenants import Tenant, put_limits
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.model.sync import Sync
from tests.world import World


def limit(world: World, sync: Sync, *, weight: int = 1, **limits: Any) -> None:
    """Give the sync's tenant limits and a weight."""
    tenant = Tenant(
        id=sync.tenant_id, name=sync.tenant, limits=TenantLimits(**limits), weight=weight
    )
    with world.catalog.begin() as db:
        put_limits(db, tenant, now=world.clock())


def bear(world: World, connection_id: UUID, most_at_once: int) -> None:
    """Let a connection bear only so many executions at a time."""
    mine = ConnectionRow.id == connection_id
    with world.catalog.begin() as db:
        db.execute(update(ConnectionRow).where(mine).values(most_at_once=most_at_once))


def executed(world: World) -> list[tuple[str, datetime | None, Trigger, Status]]:
    """Every execution: its sync's name, when it was due, why it is, and where it stands."""
    query = (
        select(SyncRow.name, ExecutionRow.due_at, ExecutionRow.trigger, ExecutionRow.status)
        .join(SyncRow, SyncRow.id == ExecutionRow.sync_id)
        .order_by(SyncRow.name, ExecutionRow.due_at, ExecutionRow.created_at)
    )
    with world.catalog.begin() as db:
        return [
            (name, due_at, Trigger(trigger), Status(status))
            for name, due_at, trigger, status in db.execute(query)
        ]


def until_somebody_waits(world: World) -> None:
    """Until a transaction waits for what another one holds."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        with world.catalog.begin() as db:
            if db.scalar(query):
                return
        sleep(0.01)
    raise AssertionError("nobody waits")
