"""Tells of what became of an attempt, in the transaction that settles it.

Laws:

* An outcome and its messages are durable together. Should they not be to be written, the
  outcome is all the same, as one that was not told; its follow-up tells.
* Last in that transaction, and of it the incident of the cause last: other syncs that fail
  for the same cause wait for it no longer than it takes to write the messages.
* In no circle. What is held then is an execution, its states, the turn of its sync and
  incidents, in this order, and several incidents by their ids; whoever holds an incident
  waits for no execution, schedule or sync. So does a follow-up: it tells at its end.
* The ends of a sync are told in their order: while one is not told, those after it are not.
"""

from datetime import datetime

import structlog
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import breakers, endings
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.notify.emitting import tell_of, tell_of_retry

log = structlog.get_logger()


def tell(db: Db, settled: Execution, now: datetime) -> None:
    """Tell of an attempt that was settled in this transaction, as told if it is final.

    Of a success that concerns nobody there is nothing to tell: that is all it asks for.
    """
    if settled.status is Status.CANCELLED:
        return
    if settled.status is Status.COMPLETED and not endings.concerns_somebody(db, settled):
        return
    try:
        with db.begin_nested():
            is_told = _told(db, settled, now)
    except Exception as error:  # an outcome is not lost because it cannot be told
        log.warning("outcome.not_told", execution=str(settled.id), error=type(error).__name__)
        is_told = False
    if not is_told and settled.status.is_final:
        endings.mark_untold(db, settled)


def is_first_failure(db: Db, ended: Execution) -> bool:
    """Whether an end is the first failure since its sync last succeeded.

    What was not followed up is looked at before the breaker's memory of what was: what is
    followed up in between counts twice then, which changes nothing.
    """
    earlier = endings.not_followed_up_of_sync(db, ended)
    failures = breakers.find(db, ended.sync_id, tenant_id=ended.tenant_id).failures
    for status in (one.status for one in earlier if one.id != ended.id):
        if status is Status.COMPLETED:
            failures = 0
        failures += status is Status.FAILED
    return ended.status is Status.FAILED and not failures


def _told(db: Db, settled: Execution, now: datetime) -> bool:
    if not settled.status.is_final:
        tell_of_retry(db, settled, now)
        return True
    endings.take_turn(db, settled)
    if endings.untold_of_sync(db, settled) - {settled.id}:
        return False
    tell_of(db, settled, now, is_first=is_first_failure(db, settled))
    return True
