"""What the end of an execution brings about for others: once, after it is settled.

Laws:

* Done once: in one transaction that also marks the execution as followed up. Whoever
  comes second finds the mark, and does nothing.
* Not in the transaction that settles. That one holds the execution; this one holds the
  schedules first, as dispatchers do, so that none waits for the other in a circle.
  Should the process die in between, the dispatcher does it.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import breakers, endings
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.schedules import ids_of_sync
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import breaker_policy
from sync_pipelines.engine.steering import pause_sync
from sync_pipelines.model.execution import Execution, Status

LEFT_BEHIND = timedelta(seconds=5)
"""An execution that ended so long ago and was not followed up has lost its process."""


def follow_up(catalog: Catalog, execution_id: UUID, now: datetime) -> None:
    """Do what an execution's end brings about, if it has ended and nobody did it before."""
    with catalog.begin() as db:
        ended = endings.find_ended_for_all_tenants(db, execution_id)
        if ended is None:
            return
        lock_armed_for_all_tenants(db, ids_of_sync(db, ended.sync_id, tenant_id=ended.tenant_id))
        if endings.mark_followed_up(db, ended, now=now):
            _mind_the_breaker(db, ended, now)


def follow_up_left_behind(catalog: Catalog, now: datetime) -> int:
    """Do it for those whose process died before it could; how many there were."""
    with catalog.begin() as db:
        left = endings.not_followed_up_for_all_tenants(db, before=now - LEFT_BEHIND)
    for execution_id in left:
        follow_up(catalog, execution_id, now)
    return len(left)


def _mind_the_breaker(db: Db, ended: Execution, now: datetime) -> None:
    """Count a final failure, or forget them; pause the sync if that is its policy.

    What got through in part is neither: the source answers, but something is wrong.
    """
    if ended.status not in (Status.FAILED, Status.COMPLETED):
        return
    before = breakers.find(db, ended.sync_id, tenant_id=ended.tenant_id)
    policy = breaker_policy(db, ended.sync_id, tenant_id=ended.tenant_id)
    after = before.succeeded() if ended.status is Status.COMPLETED else before.failed(policy, now)
    breakers.put(db, ended.sync_id, after, tenant_id=ended.tenant_id)
    if policy.pause and after.opened_at is not None and before.opened_at is None:
        reason = f"its last {after.failures} executions failed"
        pause_sync(db, ended.sync_id, tenant_id=ended.tenant_id, reason=reason, now=now)
