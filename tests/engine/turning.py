"""A dispatcher's turn, and what it has decided."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from sync_pipelines.catalog import decisions
from sync_pipelines.catalog.tables import ScheduleRow
from sync_pipelines.engine.dispatch import claim_due
from sync_pipelines.model.sync import Sync
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.world import World

MINUTE = timedelta(minutes=1)
EVERY_15 = {"type": "every", "minutes": 15}


def dispatch(world: World, connector: str = "database") -> list[UUID]:
    """One turn; what it handed over."""
    launches = claim_due(world.catalog, connector, world.clock(), tick=f"{world.clock()}")
    return [launch.execution_id for launch in launches]


def told(world: World, sync: Sync) -> list[tuple[str, int, Outcome, Cause | None]]:
    """Its decisions, oldest first: the last instant of each, how many, what and why."""
    with world.catalog.begin() as db:
        found = decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id)
    return [
        (f"{one.due_at:%H:%M}", one.count, one.outcome, one.cause)
        for one in (decided.decision for decided in reversed(found))
    ]


def next_start_of(world: World, schedule_id: UUID) -> datetime | None:
    with world.catalog.begin() as db:
        return db.scalar(select(ScheduleRow.next_run_at).where(ScheduleRow.id == schedule_id))
