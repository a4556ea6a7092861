"""Starting, repeating and cancelling executions, for every shape of the API alike."""

from collections.abc import Sequence
from http import HTTPStatus
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import audit, dead_letters, history
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.engine import dispatch, settle
from sync_pipelines.engine.dead_letters import Redriven, redrive
from sync_pipelines.engine.plan import chosen_streams
from sync_pipelines.gateway.api.shapes import Triggered
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.identity import Caller
from sync_pipelines.gateway.limits import check_manual_triggers
from sync_pipelines.gateway.problems import ProblemError, not_found
from sync_pipelines.model.execution import Request, Status, Trigger


def start(
    caller: Caller,
    doors: Doors,
    sync_key: str,
    *,
    request: Request | None = None,
    schedule_id: UUID | None = None,
    reason: Trigger = Trigger.MANUAL,
) -> Triggered:
    """Start a sync now, paused or not (trap T10); 429 when that was asked for too often."""
    view, now = caller.catalog, doors.clock()
    check_manual_triggers(view, doors.settings, now=now)
    with view.begin() as db:
        sync = find_sync(db, view.secrets, sync_key)
    request = request or Request()
    chosen_streams(sync, request)
    with view.joined() as joined, joined.begin() as db:
        made = dispatch.trigger(
            joined, sync, now=now, reason=reason, request=request, schedule_id=schedule_id
        )
        note(db, caller, doors, "execution.triggered", subject=f"{sync_key} {made}")
    return Triggered(execution_id=made, launched=caller.launch(made))


def retry(caller: Caller, doors: Doors, execution_id: UUID) -> Triggered:
    """Try again what an execution was asked to do and has not done (R39); 409 if it has.

    Its dead letter, if it has an open one, is redriven by that.
    """
    entry = found_execution(caller, execution_id)
    execution = entry.execution
    if not execution.status.is_final:
        detail = f"the execution is {execution.status}; it can be retried once it has ended"
        raise ProblemError(HTTPStatus.CONFLICT, detail)
    if execution.status is Status.COMPLETED:
        detail = "the execution has done all it was asked; trigger its sync to do it again"
        raise ProblemError(HTTPStatus.CONFLICT, detail)
    view = caller.catalog
    with view.begin() as db:
        letter = dead_letters.open_of_execution(db, execution.id, tenant_id=caller.tenant.id)
    if letter is not None:
        done = redrive_letters(caller, doors, [letter])
        if done.executions:
            made = done.executions[0]
            return Triggered(execution_id=made, launched=caller.launch(made))
    return start(
        caller,
        doors,
        execution.sync_key,
        request=execution.request,
        schedule_id=execution.schedule_id,
        reason=Trigger.RETRY,
    )


def redrive_letters(caller: Caller, doors: Doors, letters: Sequence[UUID]) -> Redriven:
    """Try dead letters again, as far as they are open."""
    check_manual_triggers(caller.catalog, doors.settings, now=doors.clock())
    with caller.catalog.begin() as db:
        done = redrive(db, letters, tenant_id=caller.tenant.id, now=doors.clock())
        for letter in done.letters:
            note(db, caller, doors, "dead_letter.redriven", subject=str(letter))
    return done


def cancel(caller: Caller, doors: Doors, execution_id: UUID) -> HistoryEntry:
    """Cancel an execution: at once if it waits, at its next batch if it runs; 409 if it is over."""
    found_execution(caller, execution_id)
    now, view = doors.clock(), caller.catalog
    reason = f"cancelled by {caller.actor}"
    with view.joined() as joined, joined.begin() as db:
        done = settle.cancel(
            joined, execution_id, now=now, tenant_id=caller.tenant.id, reason=reason
        )
        if done is None:
            detail = "the execution is over; there is nothing to cancel"
            raise ProblemError(HTTPStatus.CONFLICT, detail)
        subject = f"{done.sync_key} {execution_id}"
        note(db, caller, doors, "execution.cancelled", subject=subject)
    return found_execution(caller, execution_id)


def found_execution(caller: Caller, execution_id: UUID) -> HistoryEntry:
    """An execution of the caller's tenant, or 404."""
    with caller.catalog.begin() as db:
        entry = history.find(db, execution_id, tenant_id=caller.tenant.id)
    if entry is None:
        raise not_found("execution", execution_id)
    return entry


def note(db: Db, caller: Caller, doors: Doors, action: str, *, subject: str) -> None:
    """Write into the audit what a caller did."""
    audit.record(
        db,
        at=doors.clock(),
        actor=caller.actor,
        action=action,
        subject=subject,
        tenant_id=caller.tenant.id,
    )
