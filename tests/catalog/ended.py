"""Executions that ended long ago, and what housekeeping leaves of them."""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import insert, select

from sync_pipelines.catalog import keeping
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retention import RetentionPolicy
from tests.world import START

POLICY = RetentionPolicy(executions_for=timedelta(days=30), successes=2, failures=1)
OLD = timedelta(days=40)


def add(world, sync, *, status=Status.COMPLETED, ago=OLD, took=timedelta(), **fields):
    """An execution that came to be some time ago."""
    ended = (
        None if status in (Status.PENDING, Status.QUEUED, Status.RUNNING) else START - ago + took
    )
    values = {
        "id": uuid4(),
        "tenant_id": sync.tenant_id,
        "sync_id": sync.id,
        "trigger": "manual",
        "status": status,
        "created_at": START - ago,
        "completed_at": ended,
        "followed_up_at": ended,
        "duration_ms": 1500,
        "records_processed": 10,
        "bytes_moved": 100,
        **fields,
    }
    with world.catalog.begin() as db:
        db.execute(insert(ExecutionRow).values(**values))
    return values["id"]


def left(world):
    with world.catalog.begin() as db:
        return set(db.scalars(select(ExecutionRow.id)))


def forget(world, policy=POLICY, *, stop=lambda: False, dry_run=False):
    return keeping.forget_executions(world.catalog, policy, now=START, stop=stop, dry_run=dry_run)
