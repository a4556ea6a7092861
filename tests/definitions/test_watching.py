"""What the watch sets right between executions and Dagster's runs, on a real instance."""

from datetime import timedelta
from random import Random

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from sync_pipelines.catalog import executions, heartbeats, incidents
from sync_pipelines.catalog.endings import find_ended_for_all_tenants
from sync_pipelines.definitions import defs
from sync_pipelines.defs import resources
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.engine.run_tags import ATTEMPT, EXECUTION
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retry import RetryPolicy
from tests.engine.settling import end
from tests.world import START, World, make_catalog

DAGSTER = dg.DagsterRunStatus


@pytest.fixture
def world(catalog_url, monkeypatch):
    catalog = make_catalog(catalog_url)
    made = World(catalog)
    engine = Engine(catalog=catalog, clock=made.clock, rng=Random(1))
    monkeypatch.setattr(resources, "_engine", lambda: engine)
    yield made
    catalog.close()


@pytest.fixture
def instance():
    with dg.instance_for_test() as made, partition_loading_context(dynamic_partitions_store=made):
        yield made


def turn(instance, name):
    """One turn of a sensor."""
    context = dg.build_sensor_context(
        instance=instance,
        repository_def=defs.get_repository_def(),
        resources={"engine": resources.EngineResource()},
    )
    return defs.resolve_sensor_def(name).evaluate_tick(context)


def due(instance, at):
    """One turn of the schedule, for a minute."""
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=at,
        repository_def=defs.get_repository_def(),
        resources={"engine": resources.EngineResource()},
    )
    schedule = defs.resolve_schedule_def("due_database_syncs")
    return list(schedule.evaluate_tick(context).run_requests)


def make_run(instance, status, tags=None):
    job = defs.resolve_job_def("sync_database")
    return instance.create_run_for_job(job, status=status, tags=tags)


def start(world, sync, run_id):
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, identity)
        started = found.started(world.clock(), run_id)
        now = world.clock()
        executions.save(db, found, started, heartbeat_at=now, progressed_at=now)
    return started


def stored(world, execution_id):
    with world.catalog.begin() as db:
        return executions.lock_for_all_tenants(db, execution_id)


def status_of(instance, run):
    return instance.get_run_by_id(run.run_id).status


def test_a_stuck_execution_is_retried_and_its_run_frees_its_slot(world, instance):
    sync = world.sync(retry=RetryPolicy(jitter=0, stalled_after=timedelta(minutes=5)))
    run = make_run(instance, DAGSTER.STARTED)
    execution = start(world, sync, run.run_id)

    turn(instance, "watch")
    early = stored(world, execution.id)
    world.clock.advance(minutes=5, seconds=1)
    turn(instance, "watch")

    assert early.status is Status.RUNNING
    assert stored(world, execution.id).attempt == 2
    assert status_of(instance, run) is DAGSTER.FAILURE


@pytest.mark.parametrize(
    ("run_status", "left"),
    [(DAGSTER.FAILURE, Status.PENDING), (DAGSTER.CANCELED, Status.CANCELLED)],
)
def test_an_execution_whose_run_has_ended_without_it_is_settled(world, instance, run_status, left):
    """Nobody heard of the run's end, for its sensors were stopped."""
    run = make_run(instance, run_status)
    execution = start(world, world.sync(), run.run_id)

    turn(instance, "watch")

    assert stored(world, execution.id).status is left


def test_a_run_whose_attempt_was_settled_long_ago_is_ended_and_a_fresh_one_is_not(world, instance):
    execution = start(world, world.sync(), None)
    tags = {EXECUTION: str(execution.id), ATTEMPT: "1"}
    run = make_run(instance, DAGSTER.STARTED, tags)
    with world.catalog.begin() as db:
        ended = execution.ended(Status.COMPLETED, world.clock())
        executions.save(db, execution, ended)

    turn(instance, "watch")
    early = status_of(instance, run)
    world.clock.advance(minutes=2, seconds=1)
    turn(instance, "watch")

    assert early is DAGSTER.STARTED
    assert status_of(instance, run) is DAGSTER.FAILURE


def test_a_running_attempt_and_its_run_are_left_alone(world, instance):
    execution = start(world, world.sync(), "local:here:1:1")
    run = make_run(instance, DAGSTER.STARTED, {EXECUTION: str(execution.id), ATTEMPT: "1"})
    world.clock.advance(minutes=30)

    turn(instance, "watch")

    assert status_of(instance, run) is DAGSTER.STARTED
    assert stored(world, execution.id).status is Status.RUNNING


def test_an_execution_cancelled_and_then_killed_is_not_retried(world, instance):
    sync = world.sync()
    run = make_run(instance, DAGSTER.STARTED)
    execution = start(world, sync, run.run_id)
    with world.catalog.begin() as db:
        now = world.clock()
        executions.request_cancel(db, execution.id, tenant_id=sync.tenant_id, now=now)
    world.clock.advance(minutes=3)

    turn(instance, "dispatch_events")

    assert stored(world, execution.id).status is Status.CANCELLED
    assert status_of(instance, run) is DAGSTER.FAILURE


def test_the_turn_after_a_crash_asks_for_exactly_the_runs_that_are_missing(world, instance):
    """Of three hand-overs one has a run, one was made but never queued, one has none."""
    for number in range(3):
        world.schedule(world.sync(f"acme/sync-{number}"), {"type": "every", "minutes": 60})
    asked = due(instance, START)
    make_run(instance, DAGSTER.STARTING, asked[0].tags)
    unqueued = make_run(instance, DAGSTER.NOT_STARTED, asked[1].tags)

    world.clock.advance(minutes=5)
    by_sensor = turn(instance, "dispatch_events").run_requests
    again = due(instance, START + timedelta(minutes=5))

    assert by_sensor == []
    assert {one.run_key for one in again} == {one.run_key for one in asked[1:]}
    assert instance.get_run_by_id(unqueued.run_id) is None


def test_a_hand_over_whose_run_ended_before_it_started_is_settled(world, instance):
    world.schedule(world.sync(), {"type": "every", "minutes": 60})
    (asked,) = due(instance, START)
    make_run(instance, DAGSTER.FAILURE, asked.tags)
    world.clock.advance(minutes=1)

    again = due(instance, START + timedelta(minutes=1))

    assert again == []
    settled = stored(world, asked.tags[EXECUTION])
    assert (settled.status, settled.attempt) == (Status.PENDING, 2)


def test_turns_leave_signs_of_life_and_a_failing_one_none(world, instance, monkeypatch):
    due(instance, START)
    turn(instance, "dispatch_events")
    turn(instance, "watch")
    world.clock.advance(minutes=1)
    monkeypatch.setattr("sync_pipelines.defs.jobs.claim_due", lambda *_, **__: 1 / 0)

    with pytest.raises(dg.DagsterError):
        due(instance, START + timedelta(minutes=1))

    with world.catalog.begin() as db:
        beats = heartbeats.read_all(db)
    assert {name: beat.at for name, beat in beats.items()} == dict.fromkeys(
        ("due_database_syncs", "dispatch_events", "watch"), START
    )


def test_the_watch_says_in_its_tick_what_is_wrong(world, instance):
    world.schedule(world.sync(), {"type": "every", "minutes": 5})
    well = turn(instance, "watch").skip_message
    for _ in range(4):
        world.clock.advance(seconds=40)
        turn(instance, "dispatch_events")
        said = turn(instance, "watch").skip_message

    with world.catalog.begin() as db:
        (told,) = incidents.list_incidents_for_all_tenants(db)
    assert well == "looked at 1 schedules, armed 0; all is well"
    assert said == told.alarm.message


def test_a_run_that_died_before_it_could_tell_is_told_of_by_the_sensor_at_once(world, instance):
    """R102: its attempt is settled; nobody has followed that up."""
    identity = trigger(world.catalog, world.sync(), now=world.clock(), queued=True)
    end(world, identity, followed=False)
    run = make_run(instance, DAGSTER.STARTED, {EXECUTION: str(identity), ATTEMPT: "1"})

    failed(instance, run)

    with world.catalog.begin() as db:
        assert find_ended_for_all_tenants(db, identity) is None


def failed(instance, run):
    """One turn of the sensor, for a run that has just failed."""
    context = dg.build_run_status_sensor_context(
        sensor_name="settle_failed_runs",
        dagster_event=instance.report_run_failed(run),
        dagster_instance=instance,
        dagster_run=run,
        resources={"engine": resources.EngineResource()},
    )
    defs.resolve_sensor_def("settle_failed_runs")(context.for_run_failure())
