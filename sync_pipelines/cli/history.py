"""``history``: the executions of a sync, newest first."""

from typing import Annotated

import typer

from connectors.contract import Json
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.cli.doors import AsJson, SyncKey, session
from sync_pipelines.cli.output import (
    json_time,
    print_json,
    print_table,
    shown_duration,
    shown_time,
)

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


def history(
    sync: SyncKey,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """What became of a sync's executions, newest first."""
    with session() as opened, opened.catalog.begin() as db:
        found = find_sync(db, opened.catalog.secrets, sync)
        entries = histories.history(db, found.id, tenant_id=found.tenant_id, limit=limit)
    if as_json:
        print_json([_json(entry) for entry in entries])
    else:
        print_table(COLUMNS, [_row(entry) for entry in entries], empty=f"{sync} has not run yet")


def _row(entry: HistoryEntry) -> tuple[str, ...]:
    execution, counts = entry.execution, entry.counts
    return (
        shown_time(execution.started_at or execution.created_at),
        str(execution.trigger),
        str(execution.status),
        str(execution.attempt),
        shown_duration(entry.duration),
        str(counts.processed),
        str(counts.created),
        str(counts.updated),
        str(counts.deleted),
        str(counts.rejected),
        why(entry),
    )


def why(entry: HistoryEntry) -> str:
    """What went wrong, when it goes on, or why nothing was done."""
    said = entry.error_message or str(entry.metadata.get("reason", ""))
    execution = entry.execution
    if said and execution.is_waiting and execution.attempt > 1:
        return f"{said} (retry at {shown_time(execution.next_attempt_at)})"
    return said


def _json(entry: HistoryEntry) -> Json:
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
        "error_details": dict(entry.error_details) if entry.error_details else None,
        "attempts": [dict(attempt) for attempt in entry.attempts],
        "metadata": dict(entry.metadata),
    }
