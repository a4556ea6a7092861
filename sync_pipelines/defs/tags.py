"""The tags by which Dagster runs and executions know each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import dagster as dg

from sync_pipelines.engine.dispatch import Launch
from sync_pipelines.engine.run_tags import (
    ATTEMPT,
    EXECUTION,
    job_name,
    partitions_name,
    tags_of,
)


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


def run_request(launch: Launch) -> dg.RunRequest:
    """One run for one attempt; its key makes a second request for it void."""
    return dg.RunRequest(
        run_key=launch.key,
        job_name=job_name(launch.connector),
        partition_key=launch.sync_key,
        tags=dict(tags_of(launch)),
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
