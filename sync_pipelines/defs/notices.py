"""``notices``: every five minutes, digests that are due and alerts by threshold."""

import dagster as dg

from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.notify.alerts import look
from sync_pipelines.notify.digests import tell_digests


@dg.op(description="Tells digests that are due; measures everything, and opens and closes alerts.")
def tell(context: dg.OpExecutionContext, engine: EngineResource) -> None:
    """One look."""
    opened = engine.open()
    now = opened.clock()
    with opened.catalog.begin() as db:
        digests = tell_digests(db, now)
    with opened.catalog.begin() as db:
        alarms = look(db, now)
    context.add_output_metadata({"digests": digests, "alerts": len(alarms)})


@dg.job(
    executor_def=dg.in_process_executor,
    description="Every five minutes: digests that are due, and alerts by threshold.",
)
def notices() -> None:
    """The job of `tell`."""
    tell()


tell_notices = dg.ScheduleDefinition(
    name="tell_notices",
    job=notices,
    cron_schedule="*/5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every five minutes: tells digests that are due, and looks for alerts.",
)
