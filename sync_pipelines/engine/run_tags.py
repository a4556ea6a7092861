"""What a Dagster run is told of its attempt: its job, its partition and its tags.

Law: whoever asks Dagster for a run of an attempt asks with the same words, so that each
finds the run that another has asked for. Nothing here knows Dagster itself.
"""

from collections.abc import Mapping

from sync_pipelines.engine.dispatch import Launch
from sync_pipelines.engine.signs import DISPATCH_EVENTS

EXECUTION = "sync_pipelines/execution"
ATTEMPT = "sync_pipelines/attempt"
LAUNCH = "sync_pipelines/launch"
TRACEPARENT = "sync_pipelines/traceparent"

_PRIORITY = "dagster/priority"
_PARTITION = "dagster/partition"
_PARTITION_SET = "dagster/partition_set"
_RUN_KEY = "dagster/run_key"
_SENSOR = "dagster/sensor_name"


def partitions_name(connector: str) -> str:
    """The dynamic partitions whose keys are the syncs of a connector."""
    return f"{connector}_syncs"


def job_name(connector: str) -> str:
    """The job that runs the syncs of a connector."""
    return f"sync_{connector}"


def tags_of(launch: Launch) -> Mapping[str, str]:
    """The tags of the run for an attempt, whoever asks for it."""
    tags = {
        EXECUTION: str(launch.execution_id),
        ATTEMPT: str(launch.attempt),
        LAUNCH: launch.key,
        _PRIORITY: str(launch.priority),
        "tenant": launch.tenant,
        "connection": f"{launch.tenant}/{launch.connection}",
        "trigger": str(launch.trigger),
    }
    if launch.schedule_id is not None:
        tags["schedule"] = str(launch.schedule_id)
    if launch.traceparent is not None:
        tags[TRACEPARENT] = launch.traceparent
    return tags


def tags_for_the_sensor(launch: Launch) -> Mapping[str, str]:
    """The tags of a run that is asked for in the place of the sensor `dispatch_events`.

    With the run key and the sensor's name, the daemon takes the run for the sensor's own:
    asked by the sensor with the same key, it makes no second one.
    """
    return {
        **tags_of(launch),
        _PARTITION: launch.sync_key,
        _PARTITION_SET: f"{job_name(launch.connector)}_partition_set",
        _RUN_KEY: launch.key,
        _SENSOR: DISPATCH_EVENTS,
    }
