"""``events``: say that something changed, and see what became of it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn
from uuid import UUID, uuid4

import typer

from connectors.contract import Json
from connectors.errors import ConfigError
from sync_pipelines.catalog import events
from sync_pipelines.catalog.syncs import find_sync, find_tenant_id
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.output import json_time, print_json, print_line, print_table, shown_time
from sync_pipelines.clock import system_clock
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.kinds import EventTrigger

app = typer.Typer(
    name="events",
    help="Say that something changed, so that syncs that wait for it run.",
    no_args_is_help=True,
)

COLUMNS = ("at (UTC)", "source", "platform", "id", "type", "now", "why")

Tenant = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]


@app.command()
def send(
    tenant: Tenant,
    source: Annotated[
        EventTrigger, typer.Option("--source", help="Where it comes from.", show_default=False)
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--type", metavar="TYPE", help="What happened: order.paid.", show_default=False
        ),
    ],
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            metavar="NAME",
            help="The system that says so, by its connection or connector; the source's name "
            "if left out.",
        ),
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Its id there: what is sent twice under one is one event. A fresh one if left "
            "out.",
        ),
    ] = None,
    sync: Annotated[
        str | None, typer.Option("--sync", metavar="NAME", help="Meant for this sync only.")
    ] = None,
    data: Annotated[
        str,
        typer.Option("--data", metavar="JSON", help="What conditions look at, as a JSON object."),
    ] = "{}",
) -> None:
    """Send an event: every sync whose schedule waits for such a one runs."""
    payload = _object(data)
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        event = Event(
            id=uuid4(),
            tenant_id=tenant_id,
            source=source,
            platform=str(source) if platform is None else platform,
            event_id=str(uuid4()) if event_id is None else event_id,
            event_type=kind,
            sync_id=None
            if sync is None
            else find_sync(db, opened.catalog.secrets, f"{tenant}/{sync}").id,
            payload=payload,
            received_at=system_clock(),
        )
        is_new = events.accept(db, event)
    named = f"event {event.event_id} of {event.platform}"
    if is_new:
        print_line(f"{named} waits; a running `sync-pipelines up` takes it up within 5 s")
    else:
        print_line(f"{named} was sent before; nothing is done twice")


@app.command("list")
def list_events(
    tenant: Tenant,
    status: Annotated[
        EventStatus | None, typer.Option("--status", help="Only those that stand there.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """A tenant's events, newest first, and what became of each."""
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        found = events.list_events(db, tenant_id=tenant_id, status=status, limit=limit)
    if as_json:
        print_json([_json(event) for event in found])
    else:
        print_table(COLUMNS, [_row(event) for event in found], empty=f"{tenant} has no such events")


def _object(written: str) -> Mapping[str, Any]:
    try:
        value = json.loads(written, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"--data is not JSON ({error}); write it as '{{\"total\": 12}}'"
        ) from error
    if not isinstance(value, dict):
        raise ConfigError(f"--data {written} is not an object; write it as '{{\"total\": 12}}'")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number there")


def _row(event: Event) -> tuple[str, ...]:
    return (
        shown_time(event.received_at),
        str(event.source),
        event.platform,
        event.event_id,
        event.event_type,
        str(event.status),
        event.reason or _answer(event.execution_id),
    )


def _answer(execution_id: UUID | None) -> str:
    return "" if execution_id is None else f"execution {execution_id}"


def _json(event: Event) -> Json:
    return {
        "id": str(event.id),
        "source": str(event.source),
        "platform": event.platform,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "payload": dict(event.payload),
        "status": str(event.status),
        "reason": event.reason,
        "execution": None if event.execution_id is None else str(event.execution_id),
        "received_at": json_time(event.received_at),
        "processed_at": json_time(event.processed_at),
    }
