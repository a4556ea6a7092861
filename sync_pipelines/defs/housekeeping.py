"""``housekeeping``: every hour, what is old enough is forgotten."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree

import dagster as dg

from sync_pipelines.catalog.deliveries import (
    forget_for_all_tenants as forget_deliveries,
)
from sync_pipelines.catalog.idempotency import (
    forget_for_all_tenants as forget_keys,
)
from sync_pipelines.defs.keeping import tidy
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.settings import Settings

BUDGET = timedelta(minutes=10)
"""How long one turn takes at most; what is left waits for the next."""


@dg.op(description="Forgets old executions, decisions, webhooks, runs, events and ticks.")
def put_in_order(context: dg.OpExecutionContext, engine: EngineResource) -> None:
    """One hour's work."""
    opened = engine.open()
    now = opened.clock()
    tidied = tidy(
        opened.catalog,
        Settings().retention,
        now=now,
        stop=lambda: opened.clock() - now > BUDGET,
    )
    hooks = forget_deliveries(opened.catalog, now=now, stop=lambda: opened.clock() - now > BUDGET)
    with opened.catalog.begin() as db:
        keys = forget_keys(db, now=now)
    files = forget_files(context.instance, before=now - Settings().retention.runs_for)
    context.add_output_metadata(
        {
            "files": files,
            "webhooks": hooks.rows,
            "idempotency keys": keys,
            "executions": tidied.executions.rows,
            "decisions": tidied.decisions.rows,
            "notices": tidied.notices.rows,
            "webhook events": tidied.webhook_events.rows,
            "runs": tidied.runs.rows,
            "events": tidied.events.rows,
            "ticks": tidied.ticks.rows,
            "finished": tidied.finished and hooks.finished,
        }
    )


def forget_files(instance: dg.DagsterInstance, *, before: datetime) -> int:
    """Remove what runs printed and left, once Dagster knows them no more; of how many runs."""
    removed = 0
    for directory in Path(instance.storage_directory()).glob("*-*-*-*-*"):
        changed = datetime.fromtimestamp(directory.stat().st_mtime, UTC)
        if changed < before and instance.get_run_by_id(directory.name) is None:
            rmtree(directory)
            removed += 1
    return removed


@dg.job(
    executor_def=dg.in_process_executor,
    description="Every hour: forgets old executions and decisions, and Dagster's old runs.",
)
def housekeeping() -> None:
    """The job of `put_in_order`."""
    put_in_order()


hourly_upkeep = dg.ScheduleDefinition(
    name="hourly_upkeep",
    job=housekeeping,
    cron_schedule="43 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At 43 minutes past the hour: forgets what is old enough.",
)
