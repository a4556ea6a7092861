"""Puts the definitions together: per connector an asset, a job, a schedule; sensors over all."""

import dagster as dg

from connectors import registry
from sync_pipelines.defs.assets import sync_assets
from sync_pipelines.defs.example import daily_delay_by_carrier
from sync_pipelines.defs.housekeeping import hourly_upkeep, housekeeping
from sync_pipelines.defs.io import SyncedTables
from sync_pipelines.defs.jobs import due_schedule, sync_job
from sync_pipelines.defs.notices import notices, tell_notices
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.defs.reviving import look_for_switched_off_webhooks, revive_webhooks
from sync_pipelines.defs.sensors import dispatch_sensor, lost_run_sensors
from sync_pipelines.defs.upkeep import nightly_upkeep, upkeep
from sync_pipelines.defs.watching import watch_sensor


def build() -> dg.Definitions:
    """Every definition of this code location."""
    engine = EngineResource()
    connectors = [name for name in registry.names() if registry.get(name).source is not None]
    jobs = {connector: sync_job(connector) for connector in connectors}
    return dg.Definitions(
        assets=[*(sync_assets(connector) for connector in connectors), daily_delay_by_carrier],
        jobs=[*jobs.values(), upkeep, housekeeping, notices, revive_webhooks],
        schedules=[
            *(due_schedule(connector, job) for connector, job in jobs.items()),
            nightly_upkeep,
            hourly_upkeep,
            tell_notices,
            look_for_switched_off_webhooks,
        ],
        sensors=[
            dispatch_sensor(connectors, list(jobs.values())),
            *lost_run_sensors(),
            watch_sensor(),
        ],
        resources={"engine": engine, "synced_tables": SyncedTables(engine=engine)},
    )
