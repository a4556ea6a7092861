"""The fast path: asks Dagster's webserver for a run at once, instead of the sensor later.

::

    pending ──claim_now──▶ queued ──launchRun──▶ Dagster's queue ──▶ running
       ▲                      │
       └──── refused ─────────┘   not known: stays queued; `dispatch_events` looks for
                                  the run after LOST_AFTER, and asks only if there is none

Laws:

* An execution is claimed before Dagster is asked, so that the sensor asks for another.
* It is put back only if there is certainly no run, now and later. In doubt it stays
  claimed: the sensor finds out.
* A run waits in Dagster's queue as any other; no limit is passed by.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

import httpx

from sync_pipelines import tracing
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.engine.dispatch import Launch, claim_now, put_back
from sync_pipelines.engine.run_tags import (
    LAUNCH,
    job_name,
    partitions_name,
    tags_for_the_sensor,
)

LOCATION = "sync_pipelines"
"""What the definitions are called in Dagster's workspace."""

REPOSITORY = "__repository__"
"""What Dagster calls the one repository of a location that is made of `Definitions`."""

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0
"""Far less than LOST_AFTER: who waits has given up long before the sensor looks."""

# Mutations of one request run one after the other (GraphQL, 6.2.2): a sync that was made
# a moment ago has its partition before its run.
_LAUNCH = """
mutation HandOver(
  $repository: RepositorySelector!, $partitions: String!, $sync: String!, $run: ExecutionParams!
) {
  addDynamicPartition(
    repositorySelector: $repository, partitionsDefName: $partitions, partitionKey: $sync
  ) { __typename }
  launchRun(executionParams: $run) { __typename }
}
"""

_RUNS = """
query Asked($key: String!, $value: String!) {
  runsOrError(filter: {tags: [{key: $key, value: $value}]}) {
    __typename ... on Runs { results { status } }
  }
}
"""


class HandedOver(StrEnum):
    """Who asks Dagster for the run of an execution: its maker did, or the sensor will."""

    AT_ONCE = "at_once"
    SENSOR = "sensor"


class Answer(StrEnum):
    """What came of asking: there is a run, there is none and will be none, or who knows."""

    LAUNCHED = "launched"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def hand_over(
    catalog: Catalog, execution_id: UUID, *, url: str | None, clock: Clock
) -> HandedOver:  # fmt: skip
    """Give a pending execution to Dagster at once, if its turn has come and Dagster answers.

    ``url`` is the webserver's, None if nobody knows of one. Whatever does not work here
    is left to the sensor, which does it within five seconds; where it cannot be known
    whether it worked, within `LOST_AFTER`.
    """
    launch = None if url is None else claim_now(catalog, execution_id, clock())
    if url is None or launch is None:
        return HandedOver.SENSOR
    # Not of the span that is on: an event's execution is handed over by nobody's request.
    with tracing.span(
        "execution.hand_over", parent=launch.traceparent, execution=str(execution_id)
    ) as span:
        answer = ask(url, launch)
        if answer is Answer.REFUSED:
            put_back(catalog, launch, clock())
        handed = HandedOver.AT_ONCE if answer is Answer.LAUNCHED else HandedOver.SENSOR
        span.note(handed_over=str(handed))
    return handed


def ask(url: str, launch: Launch, *, answer_seconds: float = ANSWER_SECONDS) -> Answer:
    """Ask Dagster to queue a run for an attempt that was claimed."""
    repository = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
    tags = [{"key": key, "value": value} for key, value in tags_for_the_sensor(launch).items()]
    variables = {
        "repository": repository,
        "partitions": partitions_name(launch.connector),
        "sync": launch.sync_key,
        "run": {
            "selector": {**repository, "jobName": job_name(launch.connector)},
            "executionMetadata": {"tags": tags},
        },
    }
    try:
        answer = _post(url, _LAUNCH, variables, answer_seconds)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return Answer.REFUSED  # nothing was sent
    except httpx.TransportError:
        return Answer.UNKNOWN
    kind = _kind(answer)
    if kind == "LaunchRunSuccess":
        return Answer.LAUNCHED
    # Dagster is done with it, and says so with status 500; but how far did it come?
    if kind == "PythonError" or (kind == "" and answer.is_success):
        return _look_for_run(url, launch, answer_seconds)
    if answer.is_server_error:  # perhaps a proxy's, whose request goes on
        return Answer.UNKNOWN
    return Answer.REFUSED


def _look_for_run(url: str, launch: Launch, answer_seconds: float) -> Answer:
    try:
        answer = _post(url, _RUNS, {"key": LAUNCH, "value": launch.key}, answer_seconds)
        found = answer.json()["data"]["runsOrError"]["results"]
        statuses = {run["status"] for run in found}
    except (httpx.TransportError, ValueError, LookupError, TypeError):
        return Answer.UNKNOWN
    if not statuses:
        return Answer.REFUSED
    # Made, but never queued: `dispatch_events` unmakes it and asks anew.
    return Answer.UNKNOWN if statuses == {"NOT_STARTED"} else Answer.LAUNCHED


def _post(
    url: str, query: str, variables: Mapping[str, Any], answer_seconds: float
) -> httpx.Response:  # fmt: skip
    return httpx.post(
        f"{url}/graphql",
        json={"query": query, "variables": variables},
        timeout=httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS),
    )


def _kind(answer: httpx.Response) -> str:
    """The type of what `launchRun` answered; empty if that is no answer of Dagster's."""
    try:
        return str(answer.json()["data"]["launchRun"]["__typename"])
    except (ValueError, LookupError, TypeError):
        return ""
