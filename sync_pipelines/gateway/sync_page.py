"""The page to which a notification's link leads: how one sync is, and what became of it lately."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from sync_pipelines.catalog.decisions import Decided
from sync_pipelines.catalog.history import Happening, timeline
from sync_pipelines.catalog.scheduled import scheduled_of_sync, seen_sync
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Caller, identify, require
from sync_pipelines.gateway.pages import page
from sync_pipelines.gateway.problems import ProblemError
from sync_pipelines.model.execution import Status
from sync_pipelines.model.roles import Role

router = APIRouter(include_in_schema=False)

LATELY = 20
COLUMNS = ("When (UTC)", "By", "Result", "Read", "New", "Changed", "Removed", "Rejected", "Why")
NUMBERS = frozenset({"Read", "New", "Changed", "Removed", "Rejected"})

RESULTS = {
    Status.PENDING: "Waiting",
    Status.QUEUED: "Queued",
    Status.RUNNING: "Running",
    Status.COMPLETED: "Succeeded",
    Status.PARTIAL: "Partial",
    Status.FAILED: "Failed",
    Status.CANCELLED: "Cancelled",
}


async def _viewer(request: Request, doors: ItsDoors) -> Caller | None:
    """Who looks; None who has to sign in, for the first time or again."""
    try:
        identity = await run_in_threadpool(identify, request, doors)
    except ProblemError as problem:
        is_program = "authorization" in request.headers
        if problem.status is HTTPStatus.UNAUTHORIZED and not is_program:
            return None
        raise
    return await require(Role.VIEWER)(request, doors, identity)


@router.get("/syncs/{tenant}/{sync}")
def sync_page(
    request: Request, tenant: str, sync: str, viewer: Annotated[Caller | None, Depends(_viewer)]
) -> Response:
    """How a sync is; who is not signed in does that first."""
    if viewer is None:
        there = quote(request.url.path, safe="")
        return RedirectResponse(f"/sign-in?next={there}", HTTPStatus.SEE_OTHER)
    with viewer.catalog.begin() as db:
        found = seen_sync(db, f"{tenant}/{sync}")
        schedules = scheduled_of_sync(db, found)
        happened = timeline(db, found.id, tenant_id=found.tenant_id, limit=LATELY)
    coming = [one.schedule.next_run_at for one in schedules if one.schedule.next_run_at]
    return page(
        "sync.html",
        title=found.key,
        wide=True,
        pause=found.pause,
        next_run=_shown(min(coming, default=None)),
        columns=COLUMNS,
        numbers=NUMBERS,
        rows=[_row(one) for one in happened],
    )


def _row(happened: Happening) -> tuple[str, ...]:
    if isinstance(happened, Decided):
        decision = happened.decision
        many = f" ({decision.count:,} times)" if decision.count > 1 else ""
        did_not_run = f"{str(decision.outcome).capitalize()}{many}"
        at = _shown(decision.due_at)
        return (at, happened.schedule_name, did_not_run, "", "", "", "", "", decision.reason)
    execution, counts = happened.execution, happened.counts
    numbers = (
        counts.processed,
        counts.created,
        counts.updated,
        counts.deleted,
        counts.rejected,
    )
    return (
        _shown(execution.started_at or execution.created_at),
        str(execution.trigger),
        RESULTS[execution.status],
        *(f"{number:,}" for number in numbers),
        happened.error_message or str(happened.metadata.get("reason", "")),
    )


def _shown(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
