"""``rejected``: records that could not be used, and sending them through again."""

from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer

from connectors.contract import Json
from connectors.rejected import RejectedRecord, read_rejected
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.cli.doors import AsJson, Streams, SyncKey, session
from sync_pipelines.cli.output import json_time, print_json, print_table, shown_time
from sync_pipelines.cli.running import run_here
from sync_pipelines.engine.plan import chosen_streams
from sync_pipelines.engine.surroundings import open_destination
from sync_pipelines.model.execution import Request
from sync_pipelines.model.sync import Sync
from sync_pipelines.runtime.session import Session

COLUMNS = ("rejected (UTC)", "stream", "key", "reason", "execution")

app = typer.Typer(help="Records that could not be used.", no_args_is_help=True)


@app.command("list")
def list_rejected(
    sync: SyncKey,
    stream: Streams = None,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show what is in the records, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a sync's rejected records, as its destination keeps them in `_rejected`."""
    with session() as opened:
        found, request = _asked(opened, sync, stream)
        rows = _records(opened, found, request)
    if as_json:
        print_json([_json(row, payload=payload) for row in rows])
        return
    columns = (*COLUMNS, "payload") if payload else COLUMNS
    shown = [_row(row)[: len(columns)] for row in rows]
    print_table(columns, shown, empty=f"no record of {sync} is rejected")


@app.command()
def redrive(sync: SyncKey, stream: Streams = None, as_json: AsJson = False) -> None:
    """Send rejected records through again, now, in this process; what gets through is removed."""
    with session() as opened:
        found, request = _asked(opened, sync, stream)
        run_here(opened, found, request, as_json=as_json)


def _asked(opened: Session, key: str, streams: list[str] | None) -> tuple[Sync, Request]:
    """The sync; and its streams, or those that are named: an unknown one is refused."""
    with opened.catalog.begin() as db:
        sync = find_sync(db, opened.catalog.secrets, key)
    request = Request(streams=tuple(dict.fromkeys(streams or ())), redrive=True)
    chosen_streams(sync, request)
    return sync, request


def _records(opened: Session, sync: Sync, request: Request) -> Sequence[RejectedRecord]:
    with closing(open_destination(opened.catalog, sync.destination)) as destination:
        return read_rejected(destination, sync.dataset, owner=sync.key, streams=request.streams)


def _row(row: RejectedRecord) -> tuple[str, ...]:
    at = shown_time(row.rejected_at)
    return (at, row.stream, row.key, row.reason, row.execution, row.payload or "")


def _json(row: RejectedRecord, *, payload: bool) -> Json:
    shown: dict[str, Json] = {
        "id": row.id,
        "stream": row.stream,
        "key": row.key,
        "reason": row.reason,
        "execution": row.execution,
        "rejected_at": json_time(row.rejected_at),
    }
    return {**shown, "payload": row.payload} if payload else shown
