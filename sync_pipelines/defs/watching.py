"""The sensor ``watch``, and what it sets right between executions and Dagster's runs.

Laws:

* An execution is settled first, its run ended after that: a process that is ended on
  the way can then settle nothing any more.
* A run takes up a slot only for an attempt that goes on, and an attempt one in the
  catalog only while its run does. Whatever breaks that, a look puts it right.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import dagster as dg

from sync_pipelines.catalog import heartbeats, rounds
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.defs.tags import Claim
from sync_pipelines.engine.dispatch import Launch
from sync_pipelines.engine.run import Engine
from sync_pipelines.engine.run_tags import LAUNCH
from sync_pipelines.engine.settle import settle_lost, silent
from sync_pipelines.engine.signs import WATCH
from sync_pipelines.engine.watch import EVERY_SECONDS, end_stuck, watch

FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]

LINGERING = timedelta(minutes=2)
"""A run may go on for so long after its attempt was settled: it has its end to report."""


def watch_sensor() -> dg.SensorDefinition:
    """``watch``: finds what has fallen silent or is stuck, and puts it right."""

    @dg.sensor(
        name=WATCH,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds silent schedules, stalled dispatchers and stuck executions; "
        "records incidents, and puts right what it can.",
    )
    def watching(context: dg.SensorEvaluationContext, engine: EngineResource) -> dg.SkipReason:
        opened = engine.open()
        for stuck in end_stuck(opened.catalog, opened.clock(), opened.rng):
            end_run(context.instance, stuck.execution.run_id, stuck.reason)
        reconcile(context.instance, opened)
        found = watch(opened.catalog, opened.clock())
        told = "; ".join(alarm.message for alarm in found.alarms)
        return dg.SkipReason(
            told or f"looked at {found.looked_at} schedules, armed {found.rearmed}; all is well"
        )

    return watching


def note_turn(engine: Engine, name: str, *, every_seconds: int) -> None:
    """Leave a dispatcher's sign of life, at the end of its turn."""
    with engine.catalog.begin() as db:
        heartbeats.beat(db, name, every_seconds=every_seconds, now=engine.clock())


def settle_silent(instance: dg.DagsterInstance, engine: Engine) -> None:
    """Settle executions with no sign of life, and end their runs, which frees their slots.

    A living run writes a sign of life every ten seconds, whatever it waits for. Should
    one be alive after all, its destination refuses it as soon as the retry has moved
    the state.
    """
    for execution in silent(engine.catalog, engine.clock()):
        with engine.catalog.begin() as db:
            cancelled = rounds.is_cancel_requested_for_all_tenants(db, execution.id)
        settle_lost(
            engine.catalog,
            execution.id,
            attempt=execution.attempt,
            now=engine.clock(),
            rng=engine.rng,
            cancelled=cancelled,
        )
        end_run(instance, execution.run_id, "its process gives no sign of life any more")


def end_run(instance: dg.DagsterInstance, run_id: str | None, why: str) -> None:
    """Ask a run's process to stop, and take the run for failed whether it does or not."""
    run = instance.get_run_by_id(run_id) if run_id else None
    if run is None or run.is_finished:
        return
    try:
        instance.run_launcher.terminate(run.run_id)
    except dg.DagsterError as error:  # whoever started it is gone, and cannot be asked
        why = f"{why} (it could not be told to stop: {error})"
    instance.report_run_failed(run, why)


def without_run(
    instance: dg.DagsterInstance, engine: Engine, launches: Sequence[Launch]
) -> list[Launch]:
    """Which of these hand-overs got lost on the way to Dagster.

    A run that was made but never queued is unmade: whoever made it has died. An
    execution whose run has ended without starting it is settled.
    """
    runs = {run.tags[LAUNCH]: run for run in _runs_of(instance, launches)}
    lost = []
    for launch in launches:
        run = runs.get(launch.key)
        if run is None:
            lost.append(launch)
        elif run.status is dg.DagsterRunStatus.NOT_STARTED:
            instance.delete_run(run.run_id)
            lost.append(launch)
        elif run.is_finished:
            _settle_ended(engine, Claim(launch.execution_id, launch.attempt), run)
    return lost


def reconcile(instance: dg.DagsterInstance, engine: Engine) -> None:
    """End what goes on in the catalog or in Dagster without the other."""
    with engine.catalog.begin() as db:
        running = {one.run_id: one for one in rounds.running_for_all_tenants(db) if one.run_id}
    if running:
        ended = dg.RunsFilter(run_ids=list(running), statuses=FINISHED)
        for run in instance.get_runs(ended):
            one = running[run.run_id]
            _settle_ended(engine, Claim(one.id, one.attempt), run)
    started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    claims = {run.run_id: claim for run in started if (claim := Claim.of(run.tags))}
    attempts = [(claim.execution_id, claim.attempt) for claim in claims.values()]
    with engine.catalog.begin() as db:
        over = rounds.over_for_all_tenants(db, attempts, before=engine.clock() - LINGERING)
    for run_id, claim in claims.items():
        if (claim.execution_id, claim.attempt) in over:
            end_run(instance, run_id, "its attempt was settled a while ago")


def _settle_ended(engine: Engine, claim: Claim, run: dg.DagsterRun) -> None:
    cancelled = run.status is dg.DagsterRunStatus.CANCELED
    settle_lost(
        engine.catalog,
        claim.execution_id,
        attempt=claim.attempt,
        now=engine.clock(),
        rng=engine.rng,
        cancelled=cancelled,
        reason="its Dagster run was cancelled" if cancelled else "its Dagster run has ended",
    )


def _runs_of(
    instance: dg.DagsterInstance, launches: Sequence[Launch]
) -> Iterator[dg.DagsterRun]:  # fmt: skip
    if launches:
        keys = [launch.key for launch in launches]
        yield from instance.get_runs(dg.RunsFilter(tags={LAUNCH: keys}))
