"""``incidents``: what the watch found wrong, and what helps."""

from typing import Annotated

import typer

from connectors.contract import Json
from sync_pipelines.catalog.incidents import (
    Incident,
    list_incidents,
    list_incidents_for_all_tenants,
)
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.output import json_time, print_json, print_table, shown_time

COLUMNS = ("since (UTC)", "until (UTC)", "seen", "what", "of", "how", "what helps")
MOST = 200


def incidents(
    tenant: Annotated[str | None, typer.Argument(metavar="[TENANT]", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is wrong with the installation, or what concerns a tenant; newest first."""
    with session() as opened, opened.catalog.begin() as db:
        if tenant is None:
            found = list_incidents_for_all_tenants(db, only_open=not every, limit=MOST)
        else:
            mine = find_tenant(db, tenant).id
            found = list_incidents(db, tenant_id=mine, only_open=not every, limit=MOST)
    if as_json:
        print_json([incident_json(incident) for incident in found])
    else:
        empty = "nothing was ever wrong" if every else "all is well"
        print_table(COLUMNS, [_row(incident) for incident in found], empty=empty)


def print_alarm(incident: Incident) -> None:
    """An open incident in a line, red on a terminal, and what helps in the next."""
    alarm = incident.alarm
    since = shown_time(incident.opened_at)
    is_named = alarm.tenant_id is None or alarm.subject in alarm.message
    what = alarm.kind if is_named else f"{alarm.kind} {alarm.subject}"
    typer.secho(f"{what} since {since} UTC: {alarm.message}", fg="red", bold=True)
    typer.secho(f"  what helps: {alarm.remedy}", fg="red")


def incident_json(incident: Incident) -> Json:
    """An incident for programs."""
    alarm = incident.alarm
    return {
        "kind": str(alarm.kind),
        "subject": alarm.subject,
        "message": alarm.message,
        "remedy": alarm.remedy,
        "details": dict(alarm.details),
        "seen": incident.seen,
        "opened_at": json_time(incident.opened_at),
        "last_seen_at": json_time(incident.last_seen_at),
        "resolved_at": json_time(incident.resolved_at),
    }


def _row(incident: Incident) -> tuple[str, ...]:
    alarm = incident.alarm
    return (
        shown_time(incident.opened_at),
        shown_time(incident.resolved_at),
        str(incident.seen),
        str(alarm.kind),
        alarm.subject,
        alarm.message,
        alarm.remedy,
    )
