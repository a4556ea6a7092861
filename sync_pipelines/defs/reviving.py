"""``revive_webhooks``: every ten minutes, webhooks that a provider has switched off."""

from datetime import timedelta

import dagster as dg

from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.engine.reviving import is_wanted, revive_all

BUDGET = timedelta(minutes=5)
"""How long one turn takes at most; who was not asked then is asked by the next."""


@dg.op(description="Asks providers which webhooks they have switched off; switches these on.")
def revive(context: dg.OpExecutionContext, engine: EngineResource) -> None:
    """One turn."""
    opened = engine.open()
    began = opened.clock()
    looked = revive_all(
        opened.catalog, clock=opened.clock, stop=lambda: opened.clock() - began > BUDGET
    )
    context.add_output_metadata({"asked": looked.asked, "revived": looked.revived})


@dg.job(
    executor_def=dg.in_process_executor,
    description="Every ten minutes: switches on webhooks that a provider has switched off.",
)
def revive_webhooks() -> None:
    """The job of `revive`."""
    revive()


@dg.schedule(
    name="look_for_switched_off_webhooks",
    job=revive_webhooks,
    cron_schedule="7-59/10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every ten minutes, where there is a provider that can be asked.",
)
def look_for_switched_off_webhooks(engine: EngineResource) -> dg.RunRequest | dg.SkipReason:
    """Asks for a run, if there is anything for it to do."""
    if is_wanted(engine.open().catalog):
        return dg.RunRequest()
    return dg.SkipReason("no webhook comes from a provider that can be asked")
