"""The tags by which Dagster runs and executions know each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import dagster as dg

from sync_pipelines.engine.dispatch import Launch

EXECUTION = "sync_pipelines/execution"
ATTEMPT = "sync_pipelines/attempt"
LAUNCH = "sync_pipelines/launch"
PRIORITY = "dagster/priority"


@dataclass(frozen=True, slots=True)
class Claim:
    """The attempt that a run was started for."""

    execution_id: UUID
    attempt: int

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> "Claim | None":
        """Read it from a run's tags; None for a run that somebody started by hand."""
        if EXECUTION not in tags:
            return None
        return cls(UUID(tags[EXECUTION]), int(tags[ATTEMPT]))


def partitions_name(connector: str) -> str:
    """The dynamic partitions whose keys are the syncs of a connector."""
    return f"{connector}_syncs"


def job_name(connector: str) -> str:
    """The job that runs the syncs of a connector."""
    return f"sync_{connector}"


def run_request(launch: Launch) -> dg.RunRequest:
    """One run for one attempt; its key makes a second request for it void."""
    tags = {
        EXECUTION: str(launch.execution_id),
        ATTEMPT: str(launch.attempt),
        LAUNCH: launch.key,
        PRIORITY: str(launch.priority),
        "tenant": launch.tenant,
        "connection": f"{launch.tenant}/{launch.connection}",
        "trigger": str(launch.trigger),
    }
    if launch.schedule_id is not None:
        tags["schedule"] = str(launch.schedule_id)
    return dg.RunRequest(
        run_key=launch.key,
        job_name=job_name(launch.connector),
        partition_key=launch.sync_key,
        tags=tags,
    )


def register_partitions(instance: dg.DagsterInstance, connector: str, keys: list[str]) -> None:
    """Make a connector's partitions exactly its syncs.

    Before any run is requested: one unknown key fails a whole tick.
    """
    name = partitions_name(connector)
    known = set(instance.get_dynamic_partitions(name))
    if missing := [key for key in keys if key not in known]:
        instance.add_dynamic_partitions(name, missing)
    for gone in known - set(keys):
        instance.delete_dynamic_partition(name, gone)
