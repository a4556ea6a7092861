"""Sensors: hand waiting executions to Dagster, and settle those whose run ended without them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from sync_pipelines import tracing
from sync_pipelines.catalog import executions
from sync_pipelines.catalog.syncs import sync_keys_for_all_tenants
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.defs.tags import Claim, register_partitions, run_request
from sync_pipelines.defs.watching import note_turn, settle_silent, without_run
from sync_pipelines.engine.aftermath import follow_up_held
from sync_pipelines.engine.dispatch import forgotten, ready
from sync_pipelines.engine.events import process
from sync_pipelines.engine.following import look_after_ended
from sync_pipelines.engine.run import Engine
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.engine.signs import DISPATCH_EVENTS

if TYPE_CHECKING:  # the type of what define_asset_job returns is not public
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

SECONDS_BETWEEN_LOOKS = 5


def dispatch_sensor(
    connectors: Sequence[str], jobs: Sequence["UnresolvedAssetJobDefinition"]
) -> dg.SensorDefinition:
    """``dispatch_events``: events, manual triggers and due retries become runs."""

    @dg.sensor(
        name=DISPATCH_EVENTS,
        jobs=list(jobs),
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Turns events, manual triggers, due retries into runs; looks after lost ones.",
    )
    def dispatch_events(
        context: dg.SensorEvaluationContext, engine: EngineResource
    ) -> dg.SensorResult:
        opened = engine.open()
        for connector in connectors:
            with opened.catalog.begin() as db:
                keys = sync_keys_for_all_tenants(db, connector)
            register_partitions(context.instance, connector, keys)
        settle_silent(context.instance, opened)
        look_after_ended(opened.catalog, opened.clock())
        with tracing.span("dispatch", dispatcher=DISPATCH_EVENTS) as span:
            process(opened.catalog, opened.clock())
            launches = ready(opened.catalog, opened.clock())
            span.note(launches=len(launches))
        lost = forgotten(opened.catalog, opened.clock())
        launches += without_run(context.instance, opened, lost)
        note_turn(opened, DISPATCH_EVENTS, every_seconds=SECONDS_BETWEEN_LOOKS)
        return dg.SensorResult(run_requests=[run_request(launch) for launch in launches])

    return dispatch_events


def lost_run_sensors() -> list[dg.SensorDefinition]:
    """``settle_failed_runs`` and ``settle_cancelled_runs``.

    A run that ended by itself has settled its execution and followed it up; these find
    nothing to do then. For one that was killed or cancelled they do what is left of it.
    """

    @dg.run_failure_sensor(
        name="settle_failed_runs",
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Settles executions whose process died without a word.",
    )
    def settle_failed_runs(context: dg.RunFailureSensorContext, engine: EngineResource) -> None:
        _settle(context.dagster_run, engine.open(), cancelled=False)

    @dg.run_status_sensor(
        name="settle_cancelled_runs",
        run_status=dg.DagsterRunStatus.CANCELED,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Settles executions whose run was cancelled in Dagster.",
    )
    def settle_cancelled_runs(context: dg.RunStatusSensorContext, engine: EngineResource) -> None:
        _settle(context.dagster_run, engine.open(), cancelled=True)

    return [settle_failed_runs, settle_cancelled_runs]


def _settle(run: dg.DagsterRun, engine: Engine, *, cancelled: bool) -> None:
    claim = Claim.of(run.tags)
    if claim is None:
        with engine.catalog.begin() as db:
            found = executions.of_run_for_all_tenants(db, run.run_id)
        if found is None:
            return
        claim = Claim(found.id, found.attempt)
    settled = settle_lost(
        engine.catalog,
        claim.execution_id,
        attempt=claim.attempt,
        now=engine.clock(),
        rng=engine.rng,
        cancelled=cancelled,
        reason="its Dagster run was cancelled" if cancelled else "",
    )
    if settled is None:  # its process may have died between settling and following up
        follow_up_held(engine.catalog, claim.execution_id, engine.clock())
