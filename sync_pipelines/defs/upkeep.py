"""``upkeep``: what the catalog needs done every night."""

from datetime import timedelta

import dagster as dg

from sync_pipelines.catalog.decisions import forget_for_all_tenants
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.engine.conflicts import review_for_all_tenants

KEPT = timedelta(days=400)
"""Decisions are kept for more than a year, so that one can be compared with the last."""


@dg.op(description="Examines every tenant's schedules for conflicts; forgets old decisions.")
def look_after(context: dg.OpExecutionContext, engine: EngineResource) -> None:
    """One night's work. Fails at its end, if some tenant could not be examined."""
    opened = engine.open()
    now = opened.clock()
    with opened.catalog.begin() as db:
        forgotten = forget_for_all_tenants(db, before=now - KEPT)
    reviewed = review_for_all_tenants(opened.catalog, now=now)
    context.add_output_metadata(
        {"tenants": reviewed.tenants, "not_examined": len(reviewed.failed), "forgotten": forgotten}
    )
    if reviewed.failed:
        raise dg.Failure(f"these tenants could not be examined: {', '.join(reviewed.failed)}")


@dg.job(
    executor_def=dg.in_process_executor,
    description="Every night: examines conflicts among schedules, and forgets old decisions.",
)
def upkeep() -> None:
    """The job of `look_after`."""
    look_after()


nightly_upkeep = dg.ScheduleDefinition(
    name="nightly_upkeep",
    job=upkeep,
    cron_schedule="17 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At 03:17 UTC: examines conflicts, and forgets old decisions.",
)
