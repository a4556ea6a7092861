"""``tenants``: who there is, and what each may use."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from connectors.contract import Json
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.schedules import count_active
from sync_pipelines.catalog.tenants import (
    Tenant,
    find_tenant,
    limits_to_json,
    list_tenants_for_all_tenants,
    put_limits,
)
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import print_json, print_table
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.conflicts import review

app = typer.Typer(help="The tenants there are, and what each may use.", no_args_is_help=True)

COLUMNS = ("tenant", "concurrent", "schedules", "per hour", "weight", "switched on")
NO_LIMIT = 0
"""What ``none`` on the command line is read as; a limit itself is at least 1."""


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
        found = [
            (tenant, count_active(db, tenant_id=tenant.id))
            for tenant in list_tenants_for_all_tenants(db)
        ]
    if as_json:
        print_json([_json(tenant, active) for tenant, active in found])
        return
    empty = "there are no tenants yet; `sync-pipelines apply -f FILE` makes one"
    print_table(COLUMNS, [_row(tenant, active) for tenant, active in found], empty=empty)


@app.command()
def limits(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", show_default=False)],
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
    now = system_clock()
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
        if wanted != held:
            put_limits(db, wanted, now=now)
            audit.record(
                db,
                at=now,
                actor=actor(),
                action="tenant.changed",
                subject=tenant,
                tenant_id=held.id,
                before=_audited(held),
                after=_audited(wanted),
            )
            review(db, opened.catalog.secrets, wanted, now=now)
        active = count_active(db, tenant_id=held.id)
    if as_json:
        print_json(_json(wanted, active))
    else:
        print_table(COLUMNS, [_row(wanted, active)], empty="")


def _chosen(written: int | None, held: int | None) -> int | None:
    if written is None:
        return held
    return None if written == NO_LIMIT else written


def _row(tenant: Tenant, active: int) -> tuple[str, ...]:
    limits = tenant.limits
    shown = (limits.concurrent, limits.schedules, limits.executions_per_hour)
    return (
        tenant.name,
        *("none" if one is None else str(one) for one in shown),
        str(tenant.weight),
        str(active),
    )


def _json(tenant: Tenant, active: int) -> Json:
    return {
        "tenant": tenant.name,
        "concurrent": tenant.limits.concurrent,
        "schedules": tenant.limits.schedules,
        "executions_per_hour": tenant.limits.executions_per_hour,
        "weight": tenant.weight,
        "switched_on": active,
    }


def _audited(tenant: Tenant) -> dict[str, object]:
    return {"limits": limits_to_json(tenant.limits), "weight": tenant.weight}
