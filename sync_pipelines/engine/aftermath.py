"""What the end of an execution brings about for others: once, after it is settled.

Laws:

* Done once: in one transaction that also marks the execution as followed up. Whoever
  comes second finds the mark, and does nothing.
* Not in the transaction that settles and tells. That one holds the execution; this one holds
  the schedules first, as dispatchers do, so that none waits for the other in a circle.
  Should the process die in between, the dispatcher does it.
* What it brings about itself it tells of: that the breaker has opened. Of an outcome that was
  not told as it was settled it tells, too; last, as that holds incidents: see `telling`.
* In the order in which a sync's executions ended: a failure that was left behind never
  counts against a success that came after it.
* Most successes bring nothing about. These are marked by one statement that holds nothing
  else and looks at everything: in the transaction that settles, if nobody is to be told
  either, and after it otherwise. It misses nothing: what an end may concern (a letter, a
  breaker's memory, an event to answer) was durable before, or comes from an earlier end.
  That is followed up, which is seen whole, or is not yet, which is seen too, and sends this
  one the long way, to wait for it.
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import breakers, dead_letters, endings
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.schedules import ids_of_sync
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import breaker_policy
from sync_pipelines.engine.dead_letters import bury, supersede
from sync_pipelines.engine.events import conclude
from sync_pipelines.engine.followers import fire_followers, followers
from sync_pipelines.engine.learning import learn
from sync_pipelines.engine.steering import pause_sync
from sync_pipelines.engine.telling import is_first_failure
from sync_pipelines.model.breaker import Breaker
from sync_pipelines.model.execution import Execution, Status, Trigger
from sync_pipelines.notify.emitting import tell_of, tell_of_opening

log = structlog.get_logger()

LEFT_BEHIND = timedelta(seconds=5)
"""An execution that ended so long ago and was not followed up has lost its process."""


def follow_up(catalog: Catalog, execution_id: UUID, now: datetime) -> None:
    """Do what an execution's end brings about, if it has ended and nobody did it before.

    Those of its sync that ended before it and were left behind have their turn first.
    """
    with catalog.begin() as db:
        is_done = endings.mark_uneventful_for_all_tenants(db, execution_id, now=now)
    if not is_done:
        follow_up_held(catalog, execution_id, now)


def follow_up_held(catalog: Catalog, execution_id: UUID, now: datetime) -> None:
    """The same, the long way: with all held that an end may concern, whether it does or not."""
    with catalog.begin() as db:
        ended = endings.find_ended_for_all_tenants(db, execution_id)
        if ended is None:
            return
        own = ids_of_sync(db, ended.sync_id, tenant_id=ended.tenant_id)
        lock_armed_for_all_tenants(db, [*own, *followers(db, ended)])
        is_active = endings.hold_sync(db, ended.sync_id, tenant_id=ended.tenant_id)
        untold = endings.untold_of_sync(db, ended)
        to_tell = []
        for one in endings.not_followed_up_of_sync(db, ended):
            if endings.mark_followed_up(db, one, now=now):
                if one.id in untold:
                    to_tell.append((one, is_first_failure(db, one)))
                _mind_the_letters(db, one, now)
                is_active = _mind_the_breaker(db, one, now, is_active=is_active)
                learn(db, one, now)
                fire_followers(db, one, now)
                conclude(db, one, now)
        for one, is_first in to_tell:
            tell_of(db, one, now, is_first=is_first)


def follow_up_left_behind(catalog: Catalog, now: datetime) -> int:
    """Do it for those whose process died before it could; how many there were.

    What goes wrong with one, a lock that is held too long or a row that cannot be read, is
    one sync's: the rest go on.
    """
    with catalog.begin() as db:
        left = endings.not_followed_up_for_all_tenants(db, before=now - LEFT_BEHIND)
    for execution_id in left:
        try:
            follow_up(catalog, execution_id, now)
        except Exception as error:  # whatever it is, it is one sync's: the rest go on
            name = type(error).__name__
            log.warning("execution.not_followed_up", execution=str(execution_id), error=name)
    return len(left)


def _mind_the_letters(db: Db, ended: Execution, now: datetime) -> None:
    """Bury what failed; close what is done now; open again what was not tried after all."""
    if ended.status is Status.FAILED:
        bury(db, ended)
    elif ended.status is Status.COMPLETED:
        supersede(db, ended, now)
    elif ended.status is Status.CANCELLED and ended.trigger is Trigger.RETRY:
        dead_letters.reopen(db, ended)


def _mind_the_breaker(db: Db, ended: Execution, now: datetime, *, is_active: bool) -> bool:
    """Count a final failure, or forget them; whether the sync is still active.

    What got through in part is neither: the source answers, but something is wrong.
    """
    if ended.status not in (Status.FAILED, Status.COMPLETED):
        return is_active
    before = breakers.find(db, ended.sync_id, tenant_id=ended.tenant_id)
    if ended.status is Status.COMPLETED:
        if before != Breaker():
            breakers.put(db, ended.sync_id, before.succeeded(), tenant_id=ended.tenant_id)
        return is_active
    policy = breaker_policy(db, ended.sync_id, tenant_id=ended.tenant_id)
    after = before.failed(policy, now)
    breakers.put(db, ended.sync_id, after, tenant_id=ended.tenant_id)
    if before.opened_at is None and after.opened_at is not None:
        tell_of_opening(db, ended, now)
    if not (policy.pause and is_active and after.opened_at is not None):
        return is_active
    reason = f"its last {after.failures} executions failed"
    pause_sync(db, ended.sync_id, tenant_id=ended.tenant_id, reason=reason, now=now)
    return False
