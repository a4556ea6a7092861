"""Lets executions end as a test wants them to, settled as their own process would."""

from sync_pipelines.catalog import executions
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.outcome import ErrorClass, Failure, Outcome, StreamResult
from sync_pipelines.engine.settle import put, settle
from sync_pipelines.engine.telling import tell
from sync_pipelines.model.execution import Request, Status, Trigger


def end(world, execution_id, status=Status.FAILED, *, error=None, followed=True):
    """Start an execution's attempt and settle it; the execution as it is then."""
    now = world.clock()
    failure: Failure | None = None
    results: tuple[StreamResult, ...] = ()
    if status is not Status.COMPLETED:
        kind = error or ErrorClass.TRANSIENT
        failure = Failure(error_class=kind, message=f"{kind}: no luck")
        results = (StreamResult(stream="orders", failure=failure),)
    retry_at = now if status is Status.PENDING else None
    outcome = Outcome(status=status, failure=failure, retry_at=retry_at)
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        running = found.started(now, None)
        executions.save(db, found, running)
        if status.is_final and not followed:
            return left_behind(db, running, outcome, results, now=now)
        settled = settle(db, running, outcome, results, now=now)
    if settled.is_to_follow_up:
        follow_up(world.catalog, execution_id, now)
    return settled.execution


def left_behind(db, running, outcome, results=(), *, now):
    """Settle an end that is told of, but not what comes of it; the execution as it is then."""
    ended = running.ended(outcome.status, now)
    assert put(db, running, ended, outcome, results, now=now)
    tell(db, ended, now)
    return ended


def run(world, sync, status=Status.FAILED, *, error=None, followed=True, **request):
    """An execution that a person asked for, and its end a second later."""
    execution_id = trigger(
        world.catalog,
        sync,
        now=world.clock(),
        reason=Trigger.MANUAL,
        request=Request(**request),
        queued=True,
    )
    world.clock.advance(seconds=1)
    return end(world, execution_id, status, error=error, followed=followed)
