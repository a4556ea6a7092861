"""One job and one minutely schedule a connector, each made by one factory."""

from typing import TYPE_CHECKING

import dagster as dg

from sync_pipelines import tracing
from sync_pipelines.catalog.syncs import sync_keys_for_all_tenants
from sync_pipelines.defs.assets import asset_key
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.defs.tags import register_partitions, run_request
from sync_pipelines.defs.watching import note_turn, without_run
from sync_pipelines.engine.dispatch import claim_due, left_behind
from sync_pipelines.engine.run_tags import job_name
from sync_pipelines.engine.signs import due_dispatcher

if TYPE_CHECKING:  # the type of what define_asset_job returns is not public
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )


def sync_job(connector: str) -> "UnresolvedAssetJobDefinition":
    """``sync_database``: runs one sync, in its own process."""
    return dg.define_asset_job(
        name=job_name(connector),
        selection=dg.AssetSelection.assets(asset_key(connector)),
        executor_def=dg.in_process_executor,
        description=f"Runs one {connector} sync. The partition (tenant/sync) says which.",
    )


def due_schedule(connector: str, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """``due_database_syncs``: turns what is due, by the catalog, into runs.

    Stopping it in the UI is the connector's maintenance switch: what falls due
    meanwhile is caught up when it is started again.
    """

    @dg.schedule(
        name=due_dispatcher(connector),
        job=job,
        cron_schedule="* * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Every minute: claims the {connector} schedules that are due.",
    )
    def due(
        context: dg.ScheduleEvaluationContext, engine: EngineResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        opened = engine.open()
        tick = f"{connector}@{context.scheduled_execution_time.isoformat()}"
        started_at = opened.clock()
        with tracing.span("dispatch", dispatcher=due_dispatcher(connector)) as span:
            launches = claim_due(opened.catalog, connector, started_at, tick=tick)
            span.note(launches=len(launches))
        known = {launch.key for launch in launches}
        earlier = left_behind(opened.catalog, connector, started_at)
        lost = [launch for launch in earlier if launch.key not in known]
        launches += without_run(context.instance, opened, lost)
        note_turn(opened, due_dispatcher(connector), every_seconds=60)
        if not launches:
            return dg.SkipReason("no schedule is due")
        with opened.catalog.begin() as db:
            keys = sync_keys_for_all_tenants(db, connector)
        register_partitions(context.instance, connector, keys)
        return [run_request(launch) for launch in launches]

    return due
