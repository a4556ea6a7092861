"""Turns events into executions, and says of each event what became of it.

Laws:

* An event is answered by an execution that reads the whole sync and had not started
  when the event came. While such a one waits, all further events are its too; while
  one runs, they make one more, whatever the schedule does about overlaps: a change that
  comes while a run is reading must not be lost. Only a policy bars an event, and says so.
* An event is processed only once the execution that answers it has succeeded.
* What concerns several syncs is an event of its own for each of them.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db
from sqlalchemy.exc import OperationalError

from sync_pipelines.catalog import events, executions, history, listeners
from sync_pipelines.catalog.due import Armed, lock_armed_for_all_tenants
from sync_pipelines.catalog.listeners import Listener
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine.dead_letters import bury_event
from sync_pipelines.engine.deciding import fire
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.cadence import Event as OnEvent
from sync_pipelines.model.cadence import Realtime
from sync_pipelines.model.condition import holds, unmet
from sync_pipelines.model.event import Event
from sync_pipelines.model.execution import Execution, Request, Status, Trigger
from sync_pipelines.timing.decisions import Outcome

log = structlog.get_logger()

AT_ONCE = 200
"""So many events are processed in one turn, so that none takes longer than a few seconds."""

MOST_REASONS = 5
"""So many schedules' reasons are told of one event."""


def process(catalog: Catalog, now: datetime, limit: int = AT_ONCE) -> int:
    """Decide on events that wait, oldest first, each by itself; how many there were.

    Among tenants they take turns, so that none waits for another's flood.
    """
    with catalog.begin() as db:
        waiting = events.pending_for_all_tenants(db, limit=limit)
    return sum(_process_one(catalog, event_id, now) for event_id in waiting)


def conclude(db: Db, ended: Execution, now: datetime) -> None:
    """Say what became of the events that an execution was to answer, now that it has ended.

    Of one that was cancelled they go on to a later one that reads what they told of. If
    there is none they are ignored: whoever cancelled it does not want it again at once,
    and what changed is read by the next.
    """
    if ended.status is Status.COMPLETED:
        events.put_processed(db, ended, now=now)
    elif answered := events.lock_answered_by(db, ended):
        if ended.status is Status.CANCELLED:
            _hand_on(db, ended, answered, now)
        else:
            _bury(db, ended, answered, now)


def _process_one(catalog: Catalog, event_id: UUID, now: datetime) -> bool:
    try:
        with catalog.begin() as db:
            event = events.lock_pending_for_all_tenants(db, event_id)
            if event is not None:
                _answer(db, event, now)
            return event is not None
    except OperationalError as error:
        # A deadlock, or a lock that is held too long, is one event's: the rest go on.
        log.warning("event.not_processed", event=str(event_id), error=str(error))
        return False


def _answer(db: Db, event: Event, now: datetime) -> None:
    """Let one sync's schedules fire for an event, and pass it on to the others it concerns."""
    listening = listeners.to_events(db, tenant_id=event.tenant_id, sync_id=event.sync_id)
    hearing = [one for one in listening if _hears(one, event)]
    if not hearing:
        events.put_ignored(db, event, reason=_unheard(listening, event), now=now)
        return
    syncs = list({one.sync_id: one.sync_key for one in hearing}.items())
    (sync_id, _), *others = syncs
    events.pass_on(
        db,
        event,
        sync_ids=[other for other, _ in others],
        names=[key.partition("/")[2] for _, key in others],
    )
    mine = {one.schedule_id: one for one in hearing if one.sync_id == sync_id}
    armed = [
        one
        for one in lock_armed_for_all_tenants(db, mine)
        # It may have become another before it was held.
        if one.schedule.cadence == mine[one.schedule.id].cadence
    ]
    answer, barred = _fire(db, armed, event, now)
    if answer is not None:
        events.put_dispatched(db, event, sync_id=sync_id, execution_id=answer)
    else:
        reason = _listed(barred) or "its schedules have just been changed"
        events.put_ignored(db, event, reason=reason, now=now)


def _fire(
    db: Db, armed: Sequence[Armed], event: Event, now: datetime
) -> tuple[UUID | None, list[str]]:
    """The execution that answers an event, if any does; and what barred it where it was."""
    answer, barred = None, []
    for one in armed:
        standing = _not_started(db, one)
        (fired,) = fire(
            db,
            [one],
            event.received_at,
            now=now,
            trigger=Trigger.REALTIME,
            why=f"event {event.event_type} of {event.platform} ({event.event_id})",
            joins=standing,
            never_lost=True,
        )
        if fired.execution_id is not None:
            answer = fired.execution_id
        elif standing is not None and fired.decision.outcome is Outcome.COLLAPSED:
            answer = standing.id
        else:
            barred.append(f"{one.sync_key}/{one.schedule.name}: {fired.decision.reason}")
    return answer, barred


def _hears(listener: Listener, event: Event) -> bool:
    """Whether a schedule fires for an event, as far as its cadence goes."""
    match listener.cadence:
        case OnEvent() as cadence:
            return cadence.trigger is event.source and holds(cadence.conditions, event.facts)
        case Realtime():
            named = event.sync_id == listener.sync_id
            return named or event.platform in (listener.connector, listener.connection)
    return False


def _unheard(listening: Sequence[Listener], event: Event) -> str:
    """Why no schedule fires for an event."""
    reasons = []
    for one in listening:
        if isinstance(one.cadence, OnEvent) and one.cadence.trigger is event.source:
            condition = unmet(one.cadence.conditions, event.facts)
            reasons.append(f"{one.sync_key}/{one.name} asks that {condition}")
    if reasons:
        return f"a condition is not met: {_listed(reasons)}"
    return (
        f"nothing waits for it: no schedule has trigger {event.source}, and no realtime one "
        f"reads from {event.platform!r}"
    )


def _not_started(db: Db, one: Armed) -> Execution | None:
    """An execution for earlier events that has yet to start, held; None if there is none.

    Not one that waits for its next attempt: what its first has read it does not read again.
    """
    schedule = one.schedule
    for found in executions.lock_active(db, schedule.sync_id, tenant_id=schedule.tenant_id):
        if found.trigger is Trigger.REALTIME and found.started_at is None and _is_whole(found):
            return found
    return None


def _is_whole(execution: Execution) -> bool:
    """Whether it reads all that has changed in its sync."""
    return execution.request == Request()


def _hand_on(db: Db, ended: Execution, answered: Sequence[Event], now: datetime) -> None:
    active = executions.lock_active(db, ended.sync_id, tenant_id=ended.tenant_id)
    whole = [one for one in active if _is_whole(one)]
    for event in answered:
        later = [one for one in whole if (one.started_at or now) >= event.received_at]
        if later:
            events.put_dispatched(db, event, sync_id=ended.sync_id, execution_id=later[0].id)
        else:
            reason = "its execution was cancelled; the next one reads what changed"
            events.put_ignored(db, event, reason=reason, now=now)


def _bury(db: Db, ended: Execution, answered: Sequence[Event], now: datetime) -> None:
    entry = history.find(db, ended.id, tenant_id=ended.tenant_id)
    assert entry is not None, "its row is held"
    cause = str((entry.error_details or {}).get("error_class", ErrorClass.UNEXPECTED))
    failed = "failed for good" if ended.status is Status.FAILED else "got through only in part"
    reason = f"its execution {failed}: {entry.error_message or 'it did not say why'}"
    for event in answered:
        bury_event(db, event, cause=cause, reason=reason, now=now)


def _listed(reasons: Sequence[str]) -> str:
    more = len(reasons) - MOST_REASONS
    return "; ".join([*reasons[:MOST_REASONS], *([f"and {more} more"] if more > 0 else [])])
