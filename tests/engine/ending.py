"""Runs and ends executions in the catalog, as an engine would, without moving anything."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select

from connectors.contract import Counts
from sync_pipelines.catalog import decisions, executions, history
from sync_pipelines.catalog.decisions import Decided
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.sync import Sync
from tests.world import World


def start(world: World, execution_id: UUID) -> None:
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        assert executions.save(db, found, found.started(world.clock(), None))


def finish(
    world: World, execution_id: UUID, status: Status = Status.COMPLETED, *, changes: int = 0
) -> None:
    """Settle it as told, as the process does that then dies before it follows up."""
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        if found.is_waiting and status is not Status.CANCELLED:
            started = found.started(world.clock(), None)
            executions.save(db, found, started)
            found = started
        counts: Mapping[str, Any] = executions.count_columns(
            Counts(processed=changes, updated=changes)
        )
        ended = found.ended(status, world.clock())
        assert executions.save(db, found, ended, told_at=ended.completed_at, **counts)


def end(
    world: World, execution_id: UUID, status: Status = Status.COMPLETED, *, changes: int = 0
) -> None:
    finish(world, execution_id, status, changes=changes)
    follow_up(world.catalog, execution_id, world.clock())


def executions_of(world: World, sync: Sync) -> list[Execution]:
    """A sync's executions, oldest first."""
    with world.catalog.begin() as db:
        ids = db.scalars(
            select(ExecutionRow.id)
            .where(ExecutionRow.sync_id == sync.id)
            .order_by(ExecutionRow.created_at, ExecutionRow.due_at)
        )
        found = [history.find(db, each, tenant_id=sync.tenant_id) for each in list(ids)]
    return [entry.execution for entry in found]


def decided_of(world: World, sync: Sync) -> list[Decided]:
    """What was decided on a sync's instants, oldest first."""
    with world.catalog.begin() as db:
        found = decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id, limit=5000)
    return list(reversed(found))
