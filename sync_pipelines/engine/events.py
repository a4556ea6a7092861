"""Turns events into executions, and says of each event what became of it.

Laws:

* An event is answered by an execution that reads what it names, or the whole sync where it
  names nothing, and had not started when the event came. While such a one waits, all
  further events are its too, and it reads what they name; while one runs, they make one
  more, whatever the schedule does about overlaps: a change that comes while a run is
  reading must not be lost. Only a policy bars an event, and says so.
* An event is processed only once the execution that answers it has succeeded.
* What concerns several syncs is an event of its own for each of them.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db
from sqlalchemy.exc import OperationalError

from sync_pipelines import tracing
from sync_pipelines.catalog import events, executions, history, listeners
from sync_pipelines.catalog.due import Armed, lock_armed_for_all_tenants
from sync_pipelines.catalog.listeners import Listener
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine.dead_letters import bury_event
from sync_pipelines.engine.deciding import fire, join
from sync_pipelines.engine.hearing import asked_of, hearing_of, listed, together, unheard
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.dead_letter import covers
from sync_pipelines.model.event import Event
from sync_pipelines.model.execution import Execution, Request, Status, Trigger
from sync_pipelines.timing.decisions import Decision, Outcome

log = structlog.get_logger()

AT_ONCE = 200
"""So many events are processed in one turn, so that none takes longer than a few seconds."""


def process(catalog: Catalog, now: datetime, limit: int = AT_ONCE) -> int:
    """Decide on events that wait, oldest first; how many there were.

    Among tenants they take turns, so that none waits for another's flood.
    """
    with catalog.begin() as db:
        waiting = events.pending_for_all_tenants(db, limit=limit)
    taken, _ = _take_up(catalog, waiting, now)
    return taken


def take_up(catalog: Catalog, event_ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Decide on these events, and on what they are passed on as, as far as they wait.

    The executions that answer them and that nobody has handed to Dagster yet.
    """
    done, left = list(event_ids), list(event_ids)
    while left:
        _, left = _take_up(catalog, left, now)
        done += left
    with catalog.begin() as db:
        return events.answers_pending_for_all_tenants(db, done)


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


def _take_up(catalog: Catalog, event_ids: Sequence[UUID], now: datetime) -> tuple[int, list[UUID]]:
    """Decide on these events, those that are alike together; how many, and what was passed on."""
    taken = 0
    passed: list[UUID] = []
    for alike in _alike(catalog, event_ids):
        try:
            number, further = _process(catalog, alike, now)
            taken, passed = taken + number, [*passed, *further]
        except OperationalError as error:
            # A deadlock, or a lock that is held too long, is one event's: the rest go on.
            log.warning("events.not_processed", number=len(alike), error=str(error))
    return taken, passed


def _alike(catalog: Catalog, event_ids: Sequence[UUID]) -> list[list[UUID]]:
    """Events of one tenant that the same schedules hear, together; the oldest first."""
    if not event_ids:
        return []
    listening: dict[tuple[UUID, UUID | None], Sequence[Listener]] = {}
    alike: dict[Hashable, list[UUID]] = {}
    with catalog.begin() as db:
        for event in events.pending_of_ids_for_all_tenants(db, event_ids):
            whose = (event.tenant_id, event.sync_id)
            if whose not in listening:
                listening[whose] = listeners.to_events(
                    db, tenant_id=event.tenant_id, sync_id=event.sync_id
                )
            heard = hearing_of(listening[whose], event)
            alike.setdefault((whose, _ids(heard)), []).append(event.id)
    return list(alike.values())


def _process(catalog: Catalog, event_ids: Sequence[UUID], now: datetime) -> tuple[int, list[UUID]]:
    """Decide on events that were alike a moment ago: those that still are, and wait.

    How many, and the ids that they were passed on under.
    """
    with catalog.begin() as db:
        held = events.lock_pending_for_all_tenants(db, event_ids)
        if not held:
            return 0, []
        first = held[0]
        listening = listeners.to_events(db, tenant_id=first.tenant_id, sync_id=first.sync_id)
        hearing = hearing_of(listening, first)
        alike = [event for event in held if _ids(hearing_of(listening, event)) == _ids(hearing)]
        if hearing:
            return len(alike), _answer(db, alike, hearing, now)
        for event in alike:
            events.put_ignored(db, event, reason=unheard(listening, event), now=now)
        return len(alike), []


def _answer(
    db: Db, alike: Sequence[Event], hearing: Sequence[Listener], now: datetime
) -> list[UUID]:
    """Let one sync's schedules fire for events, and pass them on to the others they concern."""
    syncs = list({one.sync_id: one.sync_key for one in hearing}.items())
    (sync_id, _), *others = syncs
    passed = events.pass_on(
        db,
        alike,
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
    heard = list(mine.values())
    left = list(alike)
    while left:
        first, *left = left
        with tracing.span("event", parent=first.traceparent, event=str(first.id)) as span:
            answer, barred = _fire(db, armed, first, asked_of(heard, first), now)
            span.note(execution=None if answer is None else str(answer))
        _put(db, first, sync_id, answer, barred, now)
        standing = _not_started(db, armed[0]) if left and answer is not None else None
        if standing is not None:
            _join(db, armed, left, standing, heard, now)
            break
    return passed


def _join(
    db: Db,
    armed: Sequence[Armed],
    following: Sequence[Event],
    standing: Execution,
    heard: Sequence[Listener],
    now: datetime,
) -> None:
    """Leave events to an execution that has not started, as far as a policy lets them."""
    happened = [(event.received_at, _why(event)) for event in following]
    decided = [(one, join(db, one, happened, now=now, standing=standing)) for one in armed]
    answered = []
    for at, event in enumerate(following):
        found = [(one, decisions[at]) for one, decisions in decided]
        if any(decision.outcome is Outcome.COLLAPSED for _, decision in found):
            answered.append(event)
        else:
            barred = [_barred(one, decision) for one, decision in found]
            _put(db, event, standing.sync_id, None, barred, now)
    _widen(db, standing, [asked_of(heard, event) for event in answered])
    events.put_all_dispatched(db, answered, sync_id=standing.sync_id, execution_id=standing.id)


def _put(
    db: Db,
    event: Event,
    sync_id: UUID,
    answer: UUID | None,
    barred: Sequence[str],
    now: datetime,
) -> None:
    if answer is not None:
        events.put_dispatched(db, event, sync_id=sync_id, execution_id=answer)
    else:
        reason = listed(barred) or "its schedules have just been changed"
        events.put_ignored(db, event, reason=reason, now=now)


def _fire(
    db: Db, armed: Sequence[Armed], event: Event, asked: Request, now: datetime
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
            why=_why(event),
            joins=standing,
            never_lost=True,
        )
        if fired.execution_id is not None:
            answer = fired.execution_id
            # One that was ended for this one leaves to it all that it had not read.
            if fired.decision.outcome is not Outcome.CANCEL_RUNNING_AND_RUN:
                executions.put_request(db, answer, asked, tenant_id=event.tenant_id)
        elif standing is not None and fired.decision.outcome is Outcome.COLLAPSED:
            answer = standing.id
            _widen(db, standing, [asked])
        else:
            barred.append(_barred(one, fired.decision))
    return answer, barred


def _why(event: Event) -> str:
    return f"event {event.event_type} of {event.platform} ({event.event_id})"


def _barred(one: Armed, decision: Decision) -> str:
    return f"{one.sync_key}/{one.schedule.name}: {decision.reason}"


def _ids(hearing: Sequence[Listener]) -> tuple[UUID, ...]:
    return tuple(one.schedule_id for one in hearing)


def _not_started(db: Db, one: Armed) -> Execution | None:
    """An execution for earlier events that has yet to start, held; None if there is none.

    Not one that waits for its next attempt: what its first has read it does not read again.
    """
    schedule = one.schedule
    for found in executions.lock_active(db, schedule.sync_id, tenant_id=schedule.tenant_id):
        if found.trigger is Trigger.REALTIME and found.started_at is None and _is_plain(found):
            return found
    return None


def _is_plain(execution: Execution) -> bool:
    """Whether it reads what has changed, in its sync or some streams of it, and no more."""
    return replace(execution.request, streams=()) == Request()


def _widen(db: Db, standing: Execution, asked: Sequence[Request]) -> None:
    """Let one that has not started, and whose row is held, read all of this too."""
    wider = reduce(together, asked, standing.request)
    if wider != standing.request:
        executions.put_request(db, standing.id, wider, tenant_id=standing.tenant_id)


def _hand_on(db: Db, ended: Execution, answered: Sequence[Event], now: datetime) -> None:
    active = executions.lock_active(db, ended.sync_id, tenant_id=ended.tenant_id)
    enough = [one for one in active if _is_plain(one) and covers(one.request, ended.request)]
    for event in answered:
        later = [one for one in enough if (one.started_at or now) >= event.received_at]
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
