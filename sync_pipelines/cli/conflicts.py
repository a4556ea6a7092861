"""``conflicts``: what a tenant's schedules do to each other."""

from typing import Annotated

import typer

from connectors.contract import Json
from sync_pipelines.catalog.conflicts import Recorded, of_tenant
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.output import json_time, print_json, print_table, shown_time, tell
from sync_pipelines.engine.conflicts import Examined

COLUMNS = ("severity", "kind", "schedules", "what", "remedy", "found (UTC)", "resolved (UTC)")


def conflicts(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", show_default=False)],
    with_resolved: Annotated[
        bool, typer.Option("--all", help="Also those that are resolved.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Conflicts among a tenant's schedules: found with each change, and every night."""
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = find_tenant(db, tenant).id
        found = of_tenant(db, tenant_id=tenant_id, with_resolved=with_resolved)
    if as_json:
        print_json([_json(one) for one in found])
        return
    shown = COLUMNS if with_resolved else COLUMNS[:-1]
    rows = [_row(one)[: len(shown)] for one in found]
    print_table(shown, rows, empty=f"nothing clashes among the schedules of {tenant}")


def tell_conflicts(examined: Examined, key: str) -> None:
    """Say those that a schedule has a part in, or any schedule of a sync."""
    for conflict in examined.conflicts:
        if any(one == key or one.startswith(f"{key}/") for one in conflict.schedules):
            tell(f"! {conflict.severity} conflict: {conflict.sentence}")


def _row(one: Recorded) -> tuple[str, ...]:
    conflict = one.conflict
    return (
        str(conflict.severity),
        str(conflict.kind).replace("_", " "),
        ", ".join(conflict.schedules),
        conflict.message,
        conflict.remedy,
        shown_time(one.found_at),
        shown_time(one.resolved_at),
    )


def _json(one: Recorded) -> Json:
    conflict = one.conflict
    return {
        "kind": str(conflict.kind),
        "severity": str(conflict.severity),
        "schedules": list(conflict.schedules),
        "message": conflict.message,
        "remedy": conflict.remedy,
        "found_at": json_time(one.found_at),
        "last_found_at": json_time(one.last_found_at),
        "resolved_at": json_time(one.resolved_at),
    }
