"""``notifications thresholds``: where a tenant's alerts begin and end."""

from typing import Annotated

import typer

from sync_pipelines.catalog import audit
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.catalog.tenants import put_thresholds, thresholds_of
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import print_json, print_table
from sync_pipelines.clock import system_clock
from sync_pipelines.notify.thresholds import (
    USUAL,
    Measure,
    Threshold,
    Thresholds,
    thresholds_from_json,
    thresholds_to_json,
)


def _setting(written: str) -> tuple[Measure, Threshold]:
    name, _, numbers = written.partition("=")
    opens, _, closes = numbers.partition(":")
    try:
        return Measure(name), Threshold(float(opens), float(closes))
    except ValueError as error:
        known = ", ".join(Measure)
        raise typer.BadParameter(
            f"{written!r} is wrong; write MEASURE=OPENS:CLOSES, such as failure_rate=0.3:0.1, "
            f"closes not above opens; there are: {known}"
        ) from error


def thresholds(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", show_default=False)],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="MEASURE=OPENS:CLOSES", help="May be repeated."),
    ] = None,
    off: Annotated[
        list[Measure] | None, typer.Option("--off", help="Never alert; may be repeated.")
    ] = None,
    usual: Annotated[
        list[Measure] | None, typer.Option("--usual", help="As usual again; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Where alerts begin and end; with options, change that first."""
    wanted = dict(_setting(one) for one in sets or ())
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        before = dict(thresholds_of(db, tenant_id))
        own: dict[Measure, Threshold | None] = {**thresholds_from_json(before), **wanted}
        own |= dict.fromkeys(off or ())
        own = {measure: one for measure, one in own.items() if measure not in (usual or ())}
        after = thresholds_to_json(own)
        if after != before:
            put_thresholds(db, tenant_id, after)
            audit.record(
                db,
                at=system_clock(),
                actor=actor(),
                action="alerts.changed",
                subject=tenant,
                tenant_id=tenant_id,
                before=before,
                after=after,
            )
    _show(own, as_json)


def _show(own: Thresholds, as_json: bool) -> None:
    shown = {**USUAL, **own}
    if as_json:
        print_json(thresholds_to_json(shown))
        return
    rows = [
        (
            str(measure),
            "off" if one is None else f"{one.opens:g}",
            "" if one is None else f"{one.closes:g}",
            "own" if measure in own else "usual",
        )
        for measure, one in shown.items()
    ]
    print_table(("measure", "begins at", "ends below", ""), rows, empty="")
