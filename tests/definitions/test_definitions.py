import dagster as dg

from connectors import registry
from sync_pipelines.definitions import defs

SOURCES = {
    "database": "database/tables",
    "files": "files/files",
    "mongodb": "mongodb/collections",
    "quickbooks": "quickbooks/streams",
    "rest_api": "rest_api/streams",
    "stripe": "stripe/streams",
    "supabase": "supabase/tables",
    "woocommerce": "woocommerce/streams",
}
"""Each connector that can be read from, and its asset."""


def test_every_source_is_in_the_table():
    assert {name for name in registry.BUILT_IN if registry.get(name).source} == set(SOURCES)


def test_the_resolved_definitions_are_exactly_these():
    """A moved asset key or a renamed job is a visible change, never an accident."""
    repository = defs.get_repository_def()
    graph = repository.asset_graph

    found = {
        "assets": {
            key.to_user_string(): sorted(
                parent.to_user_string() for parent in graph.get(key).parent_keys
            )
            for key in graph.get_all_asset_keys()
        },
        "partitions": {
            key.to_user_string(): definition.name
            for key in graph.get_all_asset_keys()
            if isinstance(
                definition := graph.get(key).partitions_def, dg.DynamicPartitionsDefinition
            )
        },
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "schedules": {
            schedule.name: (schedule.job_name, schedule.cron_schedule, schedule.default_status)
            for schedule in repository.schedule_defs
        },
        "sensors": {
            sensor.name: (sensor.minimum_interval_seconds, sensor.default_status)
            for sensor in repository.sensor_defs
        },
    }

    running = dg.DefaultSensorStatus.RUNNING
    assert found == {
        "assets": {
            **{asset: [] for asset in SOURCES.values()},
            "daily_delay_by_carrier": ["database/tables"],
        },
        "partitions": {asset: f"{source}_syncs" for source, asset in SOURCES.items()},
        "jobs": sorted(
            ["housekeeping", "notices", "revive_webhooks", "upkeep"]
            + [f"sync_{source}" for source in SOURCES]
        ),
        "schedules": {
            **{
                f"due_{source}_syncs": (
                    f"sync_{source}",
                    "* * * * *",
                    dg.DefaultScheduleStatus.RUNNING,
                )
                for source in SOURCES
            },
            "nightly_upkeep": ("upkeep", "17 3 * * *", dg.DefaultScheduleStatus.RUNNING),
            "hourly_upkeep": ("housekeeping", "43 * * * *", dg.DefaultScheduleStatus.RUNNING),
            "tell_notices": ("notices", "*/5 * * * *", dg.DefaultScheduleStatus.RUNNING),
            "look_for_switched_off_webhooks": (
                "revive_webhooks",
                "7-59/10 * * * *",
                dg.DefaultScheduleStatus.RUNNING,
            ),
        },
        "sensors": {
            "dispatch_events": (5, running),
            "settle_failed_runs": (5, running),
            "settle_cancelled_runs": (5, running),
            "watch": (30, running),
        },
    }


def test_a_sync_job_runs_in_one_process():
    """R84: the process of the run is the execution's own, with no further ones inside."""
    job = defs.get_repository_def().get_job("sync_database")

    assert job.executor_def is dg.in_process_executor
