"""``history``: the executions of a sync and what did not run, newest first."""

import shutil
import sys
from typing import Annotated

import typer

from connectors.contract import Json
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.decisions import Decided
from sync_pipelines.catalog.history import Happening, HistoryEntry
from sync_pipelines.catalog.scheduled import seen_sync
from sync_pipelines.cli.doors import AsJson, SyncKey, session
from sync_pipelines.cli.output import (
    json_time,
    print_json,
    print_table,
    shown_duration,
    shown_time,
)
from sync_pipelines.notify.remedies import remedy_of

COLUMNS = (
    "at (UTC)",
    "trigger",
    "result",
    "attempt",
    "took",
    "read",
    "created",
    "updated",
    "deleted",
    "rejected",
    "why",
)
NARROW = ("at (UTC)", "trigger", "result", "took", "rows", "why")
WIDE = 140
"""From so many columns on, a terminal shows every count in a column of its own."""


def history(
    sync: SyncKey,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20,
    runs_only: Annotated[
        bool, typer.Option("--runs-only", help="Leave out what did not run.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What became of a sync's executions, and what did not run and why; newest first."""
    with session() as opened, opened.catalog.begin() as db:
        found = seen_sync(db, sync)
        entries: list[Happening] = []
        if runs_only:
            entries += histories.history(db, found.id, tenant_id=found.tenant_id, limit=limit)
        else:
            entries += histories.timeline(db, found.id, tenant_id=found.tenant_id, limit=limit)
    if as_json:
        print_json([_json(entry) for entry in entries])
        return
    narrow = sys.stdout.isatty() and shutil.get_terminal_size().columns < WIDE
    rows = [_narrow(entry) if narrow else _row(entry) for entry in entries]
    print_table(NARROW if narrow else COLUMNS, rows, empty=f"{sync} has not run yet")


def _row(happening: Happening) -> tuple[str, ...]:
    if isinstance(happening, Decided):
        at, who, result, reason = _idle(happening)
        return (at, who, result, *[""] * 7, reason)
    execution, counts = happening.execution, happening.counts
    return (
        shown_time(execution.started_at or execution.created_at),
        str(execution.trigger),
        str(execution.status),
        str(execution.attempt),
        shown_duration(happening.duration),
        str(counts.processed),
        str(counts.created),
        str(counts.updated),
        str(counts.deleted),
        str(counts.rejected),
        why(happening),
    )


def _narrow(happening: Happening) -> tuple[str, ...]:
    if isinstance(happening, Decided):
        at, who, result, reason = _idle(happening)
        return (at, who, result, "", "", reason)
    counts = happening.counts
    changed = {"+": counts.created, "~": counts.updated, "-": counts.deleted, "!": counts.rejected}
    at, trigger, status, attempt, took, read, *_, reason = _row(happening)
    return (
        at,
        trigger,
        status if attempt == "1" else f"{status}, attempt {attempt}",
        took,
        " ".join([read, *(f"{sign}{number}" for sign, number in changed.items() if number)]),
        reason,
    )


def _idle(decided: Decided) -> tuple[str, str, str, str]:
    decision = decided.decision
    many = f" ×{decision.count:,}" if decision.count > 1 else ""  # noqa: RUF001 - times
    since = f" (from {shown_time(decision.first_due_at)})" if decision.count > 1 else ""
    return (
        shown_time(decision.due_at),
        decided.schedule_name,
        f"{decision.outcome}{many}",
        f"{decision.reason}{since}",
    )


def why(entry: HistoryEntry) -> str:
    """What went wrong, when it goes on, or why nothing was done."""
    said = entry.error_message or str(entry.metadata.get("reason", ""))
    execution = entry.execution
    if said and execution.is_waiting and execution.attempt > 1:
        return f"{said} (retry at {shown_time(execution.next_attempt_at)})"
    return said


def _json(happening: Happening) -> Json:
    if isinstance(happening, Decided):
        return {"kind": "decision", **decision_json(happening)}
    return {"kind": "execution", **execution_json(happening)}


def decision_json(decided: Decided) -> dict[str, Json]:
    """A decision for programs: on ``count`` instants, from ``first_due_at`` to ``due_at``."""
    decision = decided.decision
    return {
        "schedule": decided.schedule_name,
        "due_at": json_time(decision.due_at),
        "first_due_at": json_time(decision.first_due_at),
        "count": decision.count,
        "outcome": str(decision.outcome),
        "cause": None if decision.cause is None else str(decision.cause),
        "reason": decision.reason,
        "into": json_time(decision.into),
        "execution": None if decided.execution_id is None else str(decided.execution_id),
        "decided_at": json_time(decided.decided_at),
    }


def execution_json(entry: HistoryEntry) -> dict[str, Json]:
    """An execution for programs."""
    execution, counts = entry.execution, entry.counts
    return {
        "execution": str(execution.id),
        "trigger": str(execution.trigger),
        "status": str(execution.status),
        "attempt": execution.attempt,
        "due_at": json_time(execution.due_at),
        "created_at": json_time(execution.created_at),
        "started_at": json_time(execution.started_at),
        "completed_at": json_time(execution.completed_at),
        "next_attempt_at": json_time(execution.next_attempt_at) if execution.is_waiting else None,
        "seconds": entry.duration.total_seconds() if entry.duration is not None else None,
        "run_id": execution.run_id,
        "records_processed": counts.processed,
        "records_created": counts.created,
        "records_updated": counts.updated,
        "records_deleted": counts.deleted,
        "records_rejected": counts.rejected,
        "bytes": counts.bytes,
        "error": entry.error_message,
        "remedy": remedy_of(entry),
        "error_details": dict(entry.error_details) if entry.error_details else None,
        "attempts": [dict(attempt) for attempt in entry.attempts],
        "metadata": dict(entry.metadata),
    }
