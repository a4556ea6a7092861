"""``syncs``: what a tenant has; pausing and resuming all schedules of a sync at once."""

from collections import Counter
from typing import Annotated

import typer
from sqlalchemy import Connection as Db

from connectors.contract import Json
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.overview import SyncOverview, overview_for_all_tenants
from sync_pipelines.catalog.scheduled import (
    SyncSeen,
    scheduled_of_tenant,
    seen_sync,
    seen_syncs,
)
from sync_pipelines.catalog.schedules import ids_of_sync
from sync_pipelines.cli.conflicts import tell_conflicts
from sync_pipelines.cli.doors import AsJson, SyncKey, actor, session
from sync_pipelines.cli.output import json_time, print_json, print_line, print_table, shown_time
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import steering
from sync_pipelines.engine.conflicts import review_resumed
from sync_pipelines.model.policy import Pause

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Syncs of a tenant: list, pause, resume."
)

COLUMNS = ("sync", "from → to", "tags", "schedules", "last result", "next (UTC)", "state")


@app.command("list")
def list_(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", show_default=False)],
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Those with this tag only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A tenant's syncs: from where to where, how they stand, what comes next."""
    with session() as opened, opened.catalog.begin() as db:
        of_tenant = seen_syncs(db, tenant)
        seen = {sync.key: sync for sync in of_tenant if tag is None or tag in sync.tags}
        schedules = Counter(one.sync.key for one in scheduled_of_tenant(db, tenant))
        found = [sync for sync in overview_for_all_tenants(db) if sync.key in seen]
    if as_json:
        print_json([_json(sync, seen[sync.key], schedules[sync.key]) for sync in found])
        return
    rows = [_row(sync, seen[sync.key], schedules[sync.key]) for sync in found]
    empty = f"{tenant} has no syncs; `sync-pipelines apply` makes some"
    if tag is not None:
        empty = f"{tenant} has no syncs with the tag {tag}"
    print_table(COLUMNS, rows, empty=empty)


@app.command()
def pause(
    sync: SyncKey,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever finds it paused.")
    ],
    as_json: AsJson = False,
) -> None:
    """Let no schedule start a sync. A person may still trigger it."""
    wanted = Pause(reason=reason)
    with session() as opened, opened.catalog.begin() as db:
        held = _held(db, sync)
        if held.pause is not None:
            _tell(held, f"is paused already; nothing was changed: {held.pause}", as_json, False)
            return
        steering.pause_sync(
            db, held.id, tenant_id=held.tenant_id, reason=wanted.reason, now=system_clock()
        )
        after = seen_sync(db, sync)
        _audit(db, "sync.paused", held, after)
    _tell(after, f"is paused: {after.pause}", as_json, True)


@app.command()
def resume(sync: SyncKey, as_json: AsJson = False) -> None:
    """Let a sync's schedules start it again, from their next instants on."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        held = _held(db, sync)
        if held.pause is None:
            _tell(held, "is not paused; nothing was changed", as_json, False)
            return
        steering.resume_sync(db, held.id, tenant_id=held.tenant_id, now=now)
        after = seen_sync(db, sync)
        _audit(db, "sync.resumed", held, after)
        examined = review_resumed(opened.catalog, db, sync.partition("/")[0], now=now)
    tell_conflicts(examined, sync)
    _tell(after, "is resumed", as_json, True)


def _held(db: Db, key: str) -> SyncSeen:
    """The sync as it stands; nobody else changes it meanwhile, if it has a schedule."""
    there = seen_sync(db, key)
    lock_armed_for_all_tenants(db, ids_of_sync(db, there.id, tenant_id=there.tenant_id))
    return seen_sync(db, key)


def _audit(db: Db, action: str, before: SyncSeen, after: SyncSeen) -> None:
    audit.record(
        db,
        at=system_clock(),
        actor=actor(),
        action=action,
        subject=before.key,
        tenant_id=before.tenant_id,
        before=_standing(before),
        after=_standing(after),
    )


def _standing(sync: SyncSeen) -> dict[str, Json]:
    return {"is_active": sync.pause is None, "pause_reason": sync.pause}


def _tell(sync: SyncSeen, said: str, as_json: bool, changed: bool) -> None:
    if as_json:
        print_json({"sync": sync.key, "changed": changed, "said": said, **_standing(sync)})
    else:
        print_line(f"{sync.key} {said}")


def _row(sync: SyncOverview, seen: SyncSeen, schedules: int) -> tuple[str, ...]:
    return (
        sync.key.partition("/")[2],
        f"{sync.source} → {sync.destination}",
        ", ".join(seen.tags),
        str(schedules),
        str(sync.last.status) if sync.last else "never run",
        shown_time(sync.next_run_at),
        "active" if seen.pause is None else f"paused: {seen.pause}",
    )


def _json(sync: SyncOverview, seen: SyncSeen, schedules: int) -> Json:
    return {
        "sync": sync.key,
        "source": sync.source,
        "destination": sync.destination,
        "tags": list(seen.tags),
        "schedules": schedules,
        **_standing(seen),
        "last_status": None if sync.last is None else str(sync.last.status),
        "next_run_at": json_time(sync.next_run_at),
    }
