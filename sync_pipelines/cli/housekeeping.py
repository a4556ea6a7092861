"""``housekeeping``: forgets old history at once, or says what would go."""

from typing import Annotated

import typer

from connectors.contract import Json
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.output import print_json, print_line, print_table
from sync_pipelines.clock import system_clock
from sync_pipelines.defs.keeping import Tidied, tidy

WHAT = {
    "executions": "executions",
    "decisions": "decisions on schedules",
    "notices": "notifications, and incidents that are over",
    "webhook_events": "webhook events that were done with",
    "runs": "Dagster runs, with their events",
    "events": "Dagster events of no run",
    "ticks": "Dagster ticks",
}


def housekeeping(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing; say what would go.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forget what is older than the retention settings keep. Happens hourly by itself."""
    with session() as opened:
        tidied = tidy(
            opened.catalog,
            opened.settings.retention,
            now=system_clock(),
            stop=lambda: False,
            dry_run=dry_run,
        )
    if as_json:
        print_json({"dry_run": dry_run, **_counts(tidied)})
        return
    print_table(
        ("what", "rows"),
        [(WHAT[name], f"{count:,}") for name, count in _counts(tidied).items()],
        empty="",
    )
    if dry_run:
        print_line("nothing was deleted; without --dry-run these would go")


def _counts(tidied: Tidied) -> dict[str, Json]:
    return {name: getattr(tidied, name).rows for name in WHAT}
