"""``audit``: who changed what, and whether that record is whole."""

from typing import Annotated

import typer

from connectors.contract import Json
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.audit import Entry, Verified
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.output import json_time, print_json, print_line, print_table, shown_time

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Who changed what, and whether that is so."
)

COLUMNS = ("at", "actor", "action", "subject")


@app.command("list")
def list_(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Only this tenant's.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What was done, newest first."""
    with session() as opened, opened.catalog.begin() as db:
        if tenant is None:
            found = audit.entries_for_all_tenants(db, limit=limit)
        else:
            found = audit.entries(db, tenant_id=find_tenant_id(db, tenant), limit=limit)
    if as_json:
        print_json([_json(one) for one in found])
        return
    rows = [(shown_time(one.at), one.actor, one.action, one.subject) for one in found]
    print_table(COLUMNS, rows, empty="nothing was done yet")


@app.command()
def head(as_json: AsJson = False) -> None:
    """The hash with which the chain ends now: keep it where nobody writes who writes here.

    `verify --head` then shows whether all up to it is still there.
    """
    with session() as opened, opened.catalog.begin() as db:
        found = audit.head_of_chain(db)
    ends = audit.GENESIS if found is None else found.hash
    if as_json:
        print_json({"rows": 0 if found is None else found.length, "head": ends})
    else:
        print_line(ends)


@app.command()
def verify(
    kept: Annotated[
        str | None,
        typer.Option("--head", metavar="HASH", help="What `audit head` told before."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Walk the chain of hashes; names the first row that was changed, put in or removed.

    Rows that were cut off the end are missed too, unless somebody has also changed the row
    that says where it is: against that, keep what `audit head` tells elsewhere.
    """
    with session() as opened, opened.catalog.begin() as db:
        verified = audit.verify_for_all_tenants(db, kept=kept)
    if as_json:
        print_json(_verified_json(verified))
    else:
        print_line(_said(verified))
    if verified.broken is not None or verified.cut is not None:
        raise typer.Exit(1)


def _said(verified: Verified) -> str:
    if verified.broken is not None:
        broken = verified.broken
        at = shown_time(broken.at)
        return (
            f"row {broken.id} of {at} is wrong: {broken.reason}; {verified.rows} before it are good"
        )
    if verified.cut is not None:
        return f"{verified.cut}; the {verified.rows} that are there are as they were written"
    return f"{verified.rows} rows are as they were written; the last hash is {verified.head}"


def _verified_json(verified: Verified) -> dict[str, Json]:
    broken = verified.broken
    wrong: Json = None
    if broken is not None:
        wrong = {"id": broken.id, "at": json_time(broken.at), "reason": broken.reason}
    return {
        "rows": verified.rows,
        "head": verified.head,
        "broken": wrong,
        "cut": verified.cut,
    }


def _json(entry: Entry) -> dict[str, Json]:
    return {
        "id": entry.id,
        "at": json_time(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
    }
