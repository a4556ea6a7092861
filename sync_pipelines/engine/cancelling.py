"""Cancels executions: at once if they wait, at their next batch if they run."""

from datetime import datetime

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import executions
from sync_pipelines.model.execution import Execution, Status, Trigger
from sync_pipelines.model.schedule import Schedule

BY_PEOPLE = (Trigger.MANUAL, Trigger.RETRY, Trigger.BACKFILL)
"""What a person asked for is not cancelled because a schedule's time has come."""


def cancel_before(db: Db, schedule: Schedule, *, now: datetime) -> None:
    """Cancel what has not ended of a schedule's sync and no person asked for."""
    reason = f"schedule {schedule.name!r} is due again and starts a new one"
    for execution in executions.lock_active(db, schedule.sync_id, tenant_id=schedule.tenant_id):
        if execution.trigger not in BY_PEOPLE:
            cancel_one(db, execution, now=now, reason=reason)


def cancel_one(db: Db, execution: Execution, *, now: datetime, reason: str) -> Execution:
    """Cancel an execution whose row is held; as it is afterwards."""
    if execution.status is Status.RUNNING:
        executions.request_cancel(db, execution.id, tenant_id=execution.tenant_id, now=now)
        return execution
    cancelled = execution.ended(Status.CANCELLED, now)
    details = {"error_class": "cancelled", "streams": {}}
    executions.save(db, execution, cancelled, error_message=reason, error_details=details)
    return cancelled
