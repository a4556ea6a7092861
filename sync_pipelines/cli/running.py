"""``run`` a sync in this process, or ``trigger`` it in Dagster; and tell what came of it."""

from collections.abc import Mapping
from time import monotonic
from typing import Annotated, Any
from uuid import UUID

import typer

from connectors.contract import Json
from sync_pipelines.catalog import audit
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.cli.doors import (
    AsJson,
    ConfirmDeletes,
    Full,
    Streams,
    SyncKey,
    actor,
    engine_of,
    session,
)
from sync_pipelines.cli.history import why
from sync_pipelines.cli.output import print_json, print_line, print_table, shown_time, tell
from sync_pipelines.cli.progress import REDRAW_SECONDS, View, throttled, watching
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import dispatch
from sync_pipelines.engine.auditing import audit_ended
from sync_pipelines.engine.plan import chosen_streams
from sync_pipelines.engine.progress import Progress
from sync_pipelines.engine.run import Engine, Report
from sync_pipelines.model.execution import Request, Status
from sync_pipelines.model.sync import Sync
from sync_pipelines.runtime.foreground import (
    Claimed,
    TakenOverError,
    claim,
    follow,
    run_claimed,
)
from sync_pipelines.runtime.launching import HandedOver, hand_over
from sync_pipelines.runtime.session import Session
from sync_pipelines.runtime.webserver import find_webserver

PATIENCE_SECONDS = 30.0
"""How long a triggered execution may wait for Dagster before we ask whether it is there."""

COLUMNS = (
    "stream",
    "result",
    "read",
    "created",
    "updated",
    "deleted",
    "rejected",
    "seconds",
    "by",
    "watermark",
)
COUNTED = ("processed", "created", "updated", "deleted", "rejected")


def run(
    sync: SyncKey,
    stream: Streams = None,
    full: Full = False,
    confirm_deletes: ConfirmDeletes = False,
    as_json: AsJson = False,
) -> None:
    """Run a sync now, in this process, without Dagster; retries are waited for."""
    with session() as opened:
        found, request = _asked(opened, sync, stream, full, confirm_deletes=confirm_deletes)
        run_here(opened, found, request, as_json=as_json)


def run_here(opened: Session, found: Sync, request: Request, *, as_json: bool) -> None:
    """Run a sync in this process, and tell what came of it; `typer.Exit` unless it completed."""
    engine = engine_of(opened)
    started = monotonic()
    claimed = claim(engine, found, request)
    if not claimed.is_resumed:
        _audit(opened.catalog, found, claimed.execution_id)
    interrupted = False
    try:
        _run(engine, found, claimed)
    except KeyboardInterrupt:
        interrupted = True
    audit_ended(opened.catalog, system_clock())
    entry = _entry(opened, found, claimed.execution_id)
    tell_result(entry, seconds=monotonic() - started, as_json=as_json)
    if interrupted and not entry.execution.status.is_final:
        tell(f"interrupted: execution {entry.execution.id} is {entry.execution.status}")
    if entry.execution.status is not Status.COMPLETED:
        raise typer.Exit(1)


def _run(engine: Engine, sync: Sync, claimed: Claimed) -> None:
    with watching() as view:
        if claimed.is_resumed:
            view.say(f"carrying on execution {claimed.execution_id}, attempt {claimed.attempt}")
        seen = _Seen(view)
        try:
            run_claimed(engine, claimed, on_progress=seen, on_retry=seen.retrying)
        except TakenOverError:
            view.say("another process has taken the execution up; following it")
            follow(
                engine.catalog,
                claimed.execution_id,
                tenant_id=sync.tenant_id,
                on_look=lambda entry: view.show(entry.progress),
            )


class _Seen:
    """Shows progress as the mover makes it, ten times a second at most."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._progress = Progress()
        self._show = throttled(lambda: view.show(self._progress.snapshot()), REDRAW_SECONDS)

    def __call__(self, progress: Progress) -> None:
        self._progress = progress
        self._show()

    def retrying(self, report: Report) -> None:
        """Say why, and when."""
        outcome = report.outcome
        reason = outcome.failure.message if outcome.failure else "it failed"
        self._view.say(
            f"attempt {report.execution.attempt - 1} failed: {reason}; "
            f"attempt {report.execution.attempt} at {shown_time(outcome.retry_at)} UTC"
        )


def trigger(
    sync: SyncKey,
    stream: Streams = None,
    full: Full = False,
    confirm_deletes: ConfirmDeletes = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask Dagster to run a sync now."""
    with session() as opened:
        found, request = _asked(opened, sync, stream, full, confirm_deletes=confirm_deletes)
        with opened.catalog.begin() as db:
            url = find_webserver(db, opened.settings, system_clock())
        with opened.catalog.joined() as catalog:
            identity = dispatch.trigger(catalog, found, now=system_clock(), request=request)
            _audit(catalog, found, identity)
        started = monotonic()
        handed_over = hand_over(opened.catalog, identity, url=url, clock=system_clock)
        if not wait:
            _tell_triggered(identity, handed_over, as_json=as_json)
            return
        tell(f"execution {identity} waits for Dagster")
        try:
            entry = _watched(opened, found, identity)
        except KeyboardInterrupt:
            tell(f"execution {identity} goes on, unwatched")
            raise typer.Exit(1) from None
        tell_result(entry, seconds=monotonic() - started, as_json=as_json)
    if entry.execution.status is not Status.COMPLETED:
        raise typer.Exit(1)


def _audit(catalog: Catalog, sync: Sync, execution_id: UUID) -> None:
    """Say in the audit who has started it."""
    with catalog.begin() as db:
        audit.record(
            db,
            at=system_clock(),
            actor=actor(),
            action="execution.triggered",
            subject=f"{sync.key} {execution_id}",
            tenant_id=sync.tenant_id,
        )


def _watched(opened: Session, sync: Sync, identity: UUID) -> HistoryEntry:
    with watching() as view:
        return follow(opened.catalog, identity, tenant_id=sync.tenant_id, on_look=_Followed(view))


class _Followed:
    """Shows an execution that runs elsewhere."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._since = monotonic()
        self._asked = False
        self._attempt = 1

    def __call__(self, entry: HistoryEntry) -> None:
        execution = entry.execution
        if execution.attempt > self._attempt:
            self._attempt = execution.attempt
            self._view.say(f"attempt {execution.attempt - 1} failed: {why(entry)}")
        if execution.started_at is None and not self._asked:
            self._asked = monotonic() - self._since > PATIENCE_SECONDS
            if self._asked:
                self._view.say("nobody has taken it up yet; is `sync-pipelines up` running?")
        self._view.show(entry.progress)


def _asked(
    opened: Session, key: str, streams: list[str] | None, full: bool, *, confirm_deletes: bool
) -> tuple[Sync, Request]:
    """The sync and what is asked of it; an unknown stream is refused before anything is made."""
    request = Request(
        streams=tuple(dict.fromkeys(streams or ())), full=full, confirm_deletes=confirm_deletes
    )
    with opened.catalog.begin() as db:
        sync = find_sync(db, opened.catalog.secrets, key)
    chosen_streams(sync, request)
    return sync, request


def _entry(opened: Session, sync: Sync, execution_id: UUID) -> HistoryEntry:
    with opened.catalog.begin() as db:
        entry = histories.find(db, execution_id, tenant_id=sync.tenant_id)
    assert entry is not None, "it has just run"
    return entry


# --- what came of it -----------------------------------------------------------------


def _tell_triggered(identity: UUID, handed_over: HandedOver, *, as_json: bool) -> None:
    if as_json:
        print_json({"execution": str(identity), "handed_over": str(handed_over)})
    elif handed_over is HandedOver.AT_ONCE:
        print_line(f"execution {identity} is in Dagster's queue")
    else:
        print_line(
            f"execution {identity} waits; a running `sync-pipelines up` takes it up within 5 s"
        )


def tell_result(entry: HistoryEntry, *, seconds: float, as_json: bool) -> None:
    """What an execution did to each stream, and what it came to."""
    execution = entry.execution
    streams = [_stream(entry, stream) for stream in entry.metadata.get("streams", ())]
    if as_json:
        print_json(
            {
                "status": str(execution.status),
                "seconds": round(seconds, 3),
                "execution": str(execution.id),
                "attempt": execution.attempt,
                "error": entry.error_message,
                "warning": entry.metadata.get("warning"),
                "streams": streams,
            }
        )
        return
    print_table(COLUMNS, [_row(stream) for stream in streams], empty=_committed(entry))
    print_line(f"{execution.sync_key}: {execution.status} in {seconds:.1f} s")
    if entry.metadata.get("warning"):
        tell(f"warning: {entry.metadata['warning']}")
    if execution.status is not Status.COMPLETED and entry.error_message:
        tell(f"error: {entry.error_message}")


def _committed(entry: HistoryEntry) -> str:
    """What an attempt that was cut off has done; nobody knows by stream."""
    counts = entry.counts
    return (
        f"committed before it ended: {counts.processed} read, {counts.created} created, "
        f"{counts.updated} updated, {counts.deleted} deleted, {counts.rejected} rejected"
    )


def _stream(entry: HistoryEntry, stream: Mapping[str, Any]) -> dict[str, Json]:
    details = (entry.error_details or {}).get("streams", {})
    return {
        "stream": stream["stream"],
        "encoding": stream["encoding"] or None,
        "bytes": stream["bytes_moved"],
        "watermark": stream["watermark_to"],
        **{f"records_{name}": stream[f"records_{name}"] for name in COUNTED},
        "seconds": stream["seconds"],
        "error": details.get(stream["stream"], {}).get("message"),
    }


def _row(stream: Mapping[str, Json]) -> tuple[str, ...]:
    seconds = stream["seconds"]
    assert isinstance(seconds, int | float)
    return (
        str(stream["stream"]),
        "failed" if stream["error"] else "completed",
        *(str(stream[f"records_{name}"]) for name in COUNTED),
        f"{seconds:.2f}",
        str(stream["encoding"] or ""),
        str(stream["watermark"] or ""),
    )
