"""Lets schedules fire that wait for another sync to succeed.

Laws:

* Once for each execution that succeeded, in the transaction that notes it as followed
  up. One that got through in part, or not at all, fires nothing.
* Under all of a schedule's policies. What they refuse is a decision of its own.
* Of two schedules of one sync, the first by name starts it, whichever was made first.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import listeners
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.engine.deciding import fire
from sync_pipelines.model.execution import Execution, Status, Trigger


def followers(db: Db, ended: Execution) -> list[UUID]:
    """The schedules that fire after an execution's sync; to be held with the sync's own."""
    return listeners.after_sync(db, ended.sync_key, tenant_id=ended.tenant_id)


def fire_followers(db: Db, ended: Execution, now: datetime) -> None:
    """Let them fire for an execution that has ended, if it succeeded and was no shadow."""
    if ended.status is not Status.COMPLETED or ended.request.into is not None:
        return
    assert ended.completed_at is not None
    waiting = followers(db, ended)
    if not waiting:
        return
    armed = lock_armed_for_all_tenants(db, waiting)
    armed.sort(key=lambda one: (one.sync_key, one.schedule.name))
    fire(
        db,
        armed,
        ended.completed_at,
        now=now,
        trigger=Trigger.SCHEDULED,
        why=f"after {ended.sync_key} succeeded",
    )
