"""``/api/v2/executions``: what ran, runs and is to run."""

from datetime import datetime
from http import HTTPStatus
from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sync_pipelines.catalog import happenings
from sync_pipelines.catalog.happenings import TimeSort, WhichExecutions
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.gateway.api import starting
from sync_pipelines.gateway.api.once import OnceOperator, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.shapes import (
    Executions,
    ExecutionTold,
    Json,
    Triggered,
    told_execution,
)
from sync_pipelines.gateway.api.times import Instant
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Viewer
from sync_pipelines.model.execution import Status, Trigger

router = APIRouter(prefix="/api/v2/executions", tags=["executions"], route_class=OnceRoute)


class LineTold(BaseModel):
    """One thing that happened to an execution."""

    at: datetime
    level: Literal["info", "warning", "error"]
    event: str = Field(examples=["attempt.failed"])
    message: str
    data: Json = Field(default_factory=dict)


class Logs(BaseModel):
    """What happened to an execution, in order; `run_id` names Dagster's own log."""

    items: list[LineTold]
    run_id: str | None


@router.get("")
def list_(
    caller: Viewer,
    sync: str | None = None,
    schedule_id: UUID | None = None,
    status: Status | None = None,
    trigger: Trigger | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Executions:
    """The tenant's executions, newest first."""
    which = WhichExecutions(
        sync=sync,
        schedule_id=schedule_id,
        status=status,
        trigger=trigger,
        since=since,
        until=until,
    )
    after = key_of(cursor, sort)
    with caller.catalog.begin() as db:
        found = happenings.list_executions(
            db, which, tenant_id=caller.tenant.id, sort=sort, after=after, limit=limit
        )
    items = [told_execution(one) for one in found.items]
    return Executions(items=items, next=cursor_of(found.next, sort))


@router.get("/{execution_id}")
def get(execution_id: UUID, caller: Viewer) -> ExecutionTold:
    """One execution: how it stands, and what it has moved so far."""
    return told_execution(starting.found_execution(caller, execution_id))


@router.post("/{execution_id}/cancel", status_code=HTTPStatus.ACCEPTED)
def cancel(execution_id: UUID, caller: OnceOperator, doors: ItsDoors) -> ExecutionTold:
    """Cancel it: at once if it waits, at its next batch if it runs; 409 if it is over."""
    return told_execution(starting.cancel(caller, doors, execution_id))


@router.post("/{execution_id}/retry", status_code=HTTPStatus.ACCEPTED)
def retry(execution_id: UUID, caller: OnceOperator, doors: ItsDoors) -> Triggered:
    """Try again what it has not done, as a new execution; 409 while it has not ended."""
    return starting.retry(caller, doors, execution_id)


@router.get("/{execution_id}/logs")
def logs(execution_id: UUID, caller: Viewer) -> Logs:
    """What happened to it, in order."""
    entry = starting.found_execution(caller, execution_id)
    return Logs(items=_lines(entry), run_id=entry.execution.run_id)


def _lines(entry: HistoryEntry) -> list[LineTold]:
    execution = entry.execution
    reason = str(entry.metadata.get("reason", "")) or f"asked for: {execution.trigger}"
    lines = [_line(execution.created_at, "execution.created", reason)]
    if execution.queued_at is not None:
        lines.append(_line(execution.queued_at, "execution.queued", "handed to Dagster's queue"))
    if execution.started_at is not None:
        lines.append(_line(execution.started_at, "execution.started", "the first attempt started"))
    for number, attempt in enumerate(entry.attempts, start=1):
        ended = datetime.fromisoformat(str(attempt["ended_at"]))
        said = str(attempt.get("error") or "it ended")
        data = {**attempt, "attempt": attempt.get("attempt", number)}
        lines.append(_line(ended, "attempt.ended", said, level="warning", data=data))
    if execution.completed_at is not None:
        failed = execution.status in (Status.FAILED, Status.PARTIAL)
        said = entry.error_message or f"it is {execution.status}"
        data = {"status": str(execution.status), **(entry.error_details or {})}
        level: Literal["info", "error"] = "error" if failed else "info"
        event = f"execution.{execution.status}"
        lines.append(_line(execution.completed_at, event, said, level=level, data=data))
    elif execution.is_waiting and execution.next_attempt_at is not None:
        said = f"attempt {execution.attempt} may start from then on"
        lines.append(_line(execution.next_attempt_at, "attempt.due", said))
    return sorted(lines, key=lambda line: line.at)


def _line(
    at: datetime,
    event: str,
    message: str,
    *,
    level: Literal["info", "warning", "error"] = "info",
    data: Json | None = None,
) -> LineTold:
    return LineTold(at=at, level=level, event=event, message=message, data=data or {})
