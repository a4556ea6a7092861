"""``status``: what is wrong, and every sync at a glance."""

from connectors.contract import Json
from sync_pipelines.catalog.incidents import list_incidents_for_all_tenants
from sync_pipelines.catalog.overview import SyncOverview, overview_for_all_tenants
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.incidents import incident_json, print_alarm
from sync_pipelines.cli.output import (
    json_time,
    print_json,
    print_line,
    print_table,
    shown_bytes,
    shown_time,
)

COLUMNS = ("sync", "from → to", "now", "last result", "at (UTC)", "rows", "next (UTC)", "watermark")


def status(as_json: AsJson = False) -> None:
    """What is wrong now, and all syncs: last result, next run, rows, and what is running."""
    with session() as opened, opened.catalog.begin() as db:
        incidents = list_incidents_for_all_tenants(db)
        syncs = overview_for_all_tenants(db)
    if as_json:
        wrong = [incident_json(incident) for incident in incidents]
        print_json({"incidents": wrong, "syncs": [_json(sync) for sync in syncs]})
        return
    for incident in incidents:
        print_alarm(incident)
    empty = "there are no syncs yet; `sync-pipelines apply -f FILE` makes some"
    print_table(COLUMNS, [_row(sync) for sync in syncs], empty=empty)
    for sync in syncs:
        if sync.last is not None and sync.last.error_message:
            print_line(f"{sync.key}: {sync.last.error_message}")


def _row(sync: SyncOverview) -> tuple[str, ...]:
    last = sync.last
    return (
        sync.key,
        f"{sync.source} → {sync.destination}",
        _now(sync),
        str(last.status) if last else "never run",
        shown_time(last.completed_at) if last else "",
        str(last.records_processed) if last else "",
        shown_time(sync.next_run_at) if sync.is_active else "paused",
        _watermark(sync),
    )


def _now(sync: SyncOverview) -> str:
    if sync.running is None:
        return "waiting" if sync.waiting else ""
    progress = sync.running.progress
    if "phase" not in progress:
        return "running"
    rows, size = int(progress["rows_read"]), shown_bytes(int(progress["bytes_read"]))
    amount = f"{rows:,} rows, {size}" if rows else size
    return f"{progress['phase']} {progress['stream']}: {amount}"


def _watermark(sync: SyncOverview) -> str:
    marks = sync.watermarks
    if len(set(marks.values())) == 1:
        return next(iter(marks.values()))
    return ", ".join(f"{stream} {mark}" for stream, mark in sorted(marks.items()))


def _json(sync: SyncOverview) -> Json:
    last, running = sync.last, sync.running
    return {
        "sync": sync.key,
        "source": sync.source,
        "destination": sync.destination,
        "is_active": sync.is_active,
        "next_run_at": json_time(sync.next_run_at),
        "waiting": sync.waiting,
        "watermarks": dict(sync.watermarks),
        "last": None
        if last is None
        else {
            "execution": str(last.execution_id),
            "status": str(last.status),
            "completed_at": json_time(last.completed_at),
            "records_processed": last.records_processed,
            "error": last.error_message,
        },
        "running": None
        if running is None
        else {
            "execution": str(running.execution_id),
            "attempt": running.attempt,
            "started_at": json_time(running.started_at),
            "progress": dict(running.progress),
        },
    }
