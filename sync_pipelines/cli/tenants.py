"""``tenants``: who there is, what each may use, and who is suspended."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from sqlalchemy import Connection as Db

from connectors.contract import Json
from sync_pipelines.catalog.schedules import count_active
from sync_pipelines.catalog.tenants import Tenant, find_tenant, list_tenants_for_all_tenants
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import print_json, print_line, print_table
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import tenants

app = typer.Typer(
    help="The tenants there are, what each may use, and who is suspended.", no_args_is_help=True
)

COLUMNS = ("tenant", "concurrent", "schedules", "per hour", "weight", "switched on", "state")
NO_LIMIT = 0
"""What ``none`` on the command line is read as; a limit itself is at least 1."""

Named = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]


def _limit(value: str) -> int:
    """``none``, or a whole number from 1 on."""
    if value == "none":
        return NO_LIMIT
    if value.isascii() and value.isdecimal() and 1 <= int(value) <= 10**9:
        return int(value)
    raise typer.BadParameter(f"{value!r} is wrong; write a whole number from 1 on, or none")


def _limit_option(of: str) -> Any:
    return typer.Option(parser=_limit, metavar="N|none", help=f"The most {of}.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All tenants with their limits."""
    with session() as opened, opened.catalog.begin() as db:
        found = [_json(db, tenant) for tenant in list_tenants_for_all_tenants(db)]
    if as_json:
        print_json([*found])
        return
    _print(found, empty="there are no tenants yet; `sync-pipelines apply -f FILE` makes one")


@app.command()
def show(tenant: Named, as_json: AsJson = False) -> None:
    """One tenant with its limits."""
    with session() as opened, opened.catalog.begin() as db:
        _tell(_json(db, find_tenant(db, tenant)), as_json)


@app.command()
def limits(
    tenant: Named,
    concurrent: Annotated[int | None, _limit_option("executions at a time")] = None,
    schedules: Annotated[int | None, _limit_option("schedules that are switched on")] = None,
    per_hour: Annotated[int | None, _limit_option("executions in an hour")] = None,
    weight: Annotated[
        int | None,
        typer.Option(min=1, max=10**6, help="Twice as much gets twice as much, where both wait."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a tenant may use; with options, change that first. `none` takes a limit away."""
    with session() as opened, opened.catalog.begin() as db:
        held = find_tenant(db, tenant)
        wanted = replace(
            held,
            limits=replace(
                held.limits,
                concurrent=_chosen(concurrent, held.limits.concurrent),
                schedules=_chosen(schedules, held.limits.schedules),
                executions_per_hour=_chosen(per_hour, held.limits.executions_per_hour),
            ),
            weight=held.weight if weight is None else weight,
        )
        secrets, now = opened.catalog.secrets, system_clock()
        tenants.change_use(db, secrets, held, wanted, actor=actor(), now=now)
        _tell(_json(db, wanted), as_json)


@app.command()
def suspend(
    tenant: Named,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; the audit keeps it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let nothing of a tenant go on: no start, no token, no sign-in, no webhook.

    What runs ends by itself. Nothing is removed; `resume` lets it go on.
    """
    with session() as opened, opened.catalog.begin() as db:
        held = find_tenant(db, tenant)
        done = tenants.suspend(db, held, reason=reason, actor=actor(), now=system_clock())
    said = "is suspended" if done else "is suspended already; nothing was changed"
    _tell_turned(tenant, said, done, as_json)


@app.command()
def resume(tenant: Named, as_json: AsJson = False) -> None:
    """Let a suspended tenant go on: its schedules from their next instants, what waits at once."""
    with session() as opened, opened.catalog.begin() as db:
        done = tenants.resume(db, find_tenant(db, tenant), actor=actor(), now=system_clock())
    said = "goes on" if done else "is not suspended; nothing was changed"
    _tell_turned(tenant, said, done, as_json)


def _chosen(written: int | None, held: int | None) -> int | None:
    if written is None:
        return held
    return None if written == NO_LIMIT else written


def _tell(told: dict[str, Json], as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        _print([told], empty="")


def _tell_turned(tenant: str, said: str, done: bool, as_json: bool) -> None:
    if as_json:
        print_json({"tenant": tenant, "changed": done})
    else:
        print_line(f"{tenant} {said}")


def _print(told: Sequence[dict[str, Json]], *, empty: str) -> None:
    print_table(COLUMNS, [_row(one) for one in told], empty=empty)


def _row(told: dict[str, Json]) -> tuple[str, ...]:
    *shown, is_active = told.values()
    words = ("none" if one is None else str(one) for one in shown)
    return (*words, "active" if is_active else "suspended")


def _json(db: Db, tenant: Tenant) -> dict[str, Json]:
    """A tenant as it is told, in the order of the columns."""
    return {
        "tenant": tenant.name,
        "concurrent": tenant.limits.concurrent,
        "schedules": tenant.limits.schedules,
        "executions_per_hour": tenant.limits.executions_per_hour,
        "weight": tenant.weight,
        "switched_on": count_active(db, tenant_id=tenant.id),
        "is_active": tenant.is_active,
    }
