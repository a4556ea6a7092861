"""Sensors: hand waiting executions to Dagster, and settle those whose run ended without them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from sync_pipelines.catalog import executions
from sync_pipelines.catalog.syncs import sync_keys_for_all_tenants
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.defs.tags import LAUNCH, Claim, register_partitions, run_request
from sync_pipelines.engine.aftermath import follow_up_left_behind
from sync_pipelines.engine.dispatch import Launch, forgotten, ready
from sync_pipelines.engine.run import Engine
from sync_pipelines.engine.settle import settle_lost, silent

if TYPE_CHECKING:  # the type of what define_asset_job returns is not public
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

SECONDS_BETWEEN_LOOKS = 5


def dispatch_sensor(
    connectors: Sequence[str], jobs: Sequence["UnresolvedAssetJobDefinition"]
) -> dg.SensorDefinition:
    """``dispatch_events``: manual triggers and due retries become runs."""

    @dg.sensor(
        name="dispatch_events",
        jobs=list(jobs),
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Turns manual triggers and due retries into runs; looks after lost ones.",
    )
    def dispatch_events(
        context: dg.SensorEvaluationContext, engine: EngineResource
    ) -> dg.SensorResult:
        opened = engine.open()
        for connector in connectors:
            with opened.catalog.begin() as db:
                keys = sync_keys_for_all_tenants(db, connector)
            register_partitions(context.instance, connector, keys)
        _settle_silent(context.instance, opened)
        follow_up_left_behind(opened.catalog, opened.clock())
        launches = ready(opened.catalog, opened.clock())
        launches += [
            launch
            for launch in forgotten(opened.catalog, opened.clock())
            if not _has_run(context.instance, launch)
        ]
        return dg.SensorResult(run_requests=[run_request(launch) for launch in launches])

    return dispatch_events


def _has_run(instance: dg.DagsterInstance, launch: Launch) -> bool:
    """Whether Dagster knows a run for this launch, in whatever state."""
    return bool(instance.get_run_records(dg.RunsFilter(tags={LAUNCH: launch.key}), limit=1))


def _settle_silent(instance: dg.DagsterInstance, engine: Engine) -> None:
    """Settle executions with no sign of life, and fail their runs, which frees their slots.

    A living run writes a sign of life every ten seconds, whatever it waits for. Should
    one be alive after all, its destination refuses it as soon as the retry has moved
    the state.
    """
    for execution in silent(engine.catalog, engine.clock()):
        run = instance.get_run_by_id(execution.run_id) if execution.run_id else None
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "its process gives no sign of life any more")
        settle_lost(
            engine.catalog,
            execution.id,
            attempt=execution.attempt,
            now=engine.clock(),
            rng=engine.rng,
        )


def lost_run_sensors() -> list[dg.SensorDefinition]:
    """``settle_failed_runs`` and ``settle_cancelled_runs``.

    A run that ended by itself has settled its execution; these find nothing to do
    then. For one that was killed or cancelled they do it.
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
    settle_lost(
        engine.catalog,
        claim.execution_id,
        attempt=claim.attempt,
        now=engine.clock(),
        rng=engine.rng,
        cancelled=cancelled,
        reason="its Dagster run was cancelled" if cancelled else "",
    )
