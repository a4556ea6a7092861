"""The definitions run inside this process, on a real catalog and real databases."""

from dataclasses import fields
from datetime import UTC, datetime
from random import Random

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from connectors.contract import SyncMode, WriteMode
from sync_pipelines.catalog import executions
from sync_pipelines.catalog import history as histories
from sync_pipelines.definitions import defs
from sync_pipelines.defs import resources
from sync_pipelines.defs.assets import SyncConfig
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.sync import SyncStream
from tests.world import World, make_catalog

STREAM = SyncStream(
    name="orders",
    sync_mode=SyncMode.INCREMENTAL,
    write_mode=WriteMode.UPSERT,
    cursor_field="updated_at",
)


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


@pytest.fixture
def sync(world, catalog_url):
    """A table of three orders, and a sync that brings them to another schema."""
    with psycopg.connect(catalog_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders (id int PRIMARY KEY, updated_at timestamptz NOT NULL)"
        )
        connection.execute(
            "INSERT INTO orders SELECT n, timestamptz '2026-01-01' + n * interval '1 h' "
            "FROM generate_series(1, 3) n"
        )
    ends = {"url": catalog_url}
    return world.sync("acme/orders", streams=[STREAM], source=ends, destination=ends)


def materialize(instance, *, partition="acme/orders", tags=None, config=None):
    job = defs.resolve_job_def("sync_database")
    instance.add_dynamic_partitions("database_syncs", [partition])
    run_config = {"ops": {"database_streams": {"config": config}}} if config else None
    return job.execute_in_process(
        instance=instance,
        partition_key=partition,
        tags=tags,
        run_config=run_config,
        raise_on_error=False,
    )


def look(instance):
    """One turn of the sensor that hands executions to Dagster."""
    context = dg.build_sensor_context(
        instance=instance,
        repository_def=defs.get_repository_def(),
        resources={"engine": resources.EngineResource()},
    )
    return defs.resolve_sensor_def("dispatch_events").evaluate_tick(context).run_requests


def newest(world, sync):
    with world.catalog.begin() as db:
        return histories.history(db, sync.id, tenant_id=sync.tenant_id)[0]


def test_a_materialization_by_hand_creates_its_own_execution(world, instance, sync):
    """R38, R52."""
    result = materialize(instance)

    found = newest(world, sync)
    assert result.success
    assert found.execution.trigger is Trigger.MANUAL
    assert found.execution.status is Status.COMPLETED
    assert found.execution.run_id == result.run_id


def test_materialization_metadata_are_numbers(world, instance, sync):
    result = materialize(instance)

    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["rows_read"] == dg.IntMetadataValue(3)
    assert metadata["rows_created"] == dg.IntMetadataValue(3)
    assert metadata["rows_updated"] == dg.IntMetadataValue(0)
    assert isinstance(metadata["seconds"], dg.FloatMetadataValue)
    assert isinstance(metadata["rows_per_second"], dg.FloatMetadataValue)
    (record,) = metadata["streams"].records
    assert record.data["watermark to"].startswith("2026-01-01")


def test_a_run_that_carries_an_attempt_runs_that_and_only_once(world, instance, sync):
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    tags = {"sync_pipelines/execution": str(identity), "sync_pipelines/attempt": "1"}

    first = materialize(instance, tags=tags)
    second = materialize(instance, tags=tags)

    assert first.success
    assert second.success
    assert len(first.get_asset_materialization_events()) == 1
    assert second.get_asset_materialization_events() == []
    assert newest(world, sync).execution.run_id == first.run_id


def test_a_run_says_why_it_failed_and_when_it_is_retried(world, instance, sync, catalog_url):
    with psycopg.connect(catalog_url, autocommit=True) as connection:
        connection.execute("DROP TABLE orders")

    result = materialize(instance)

    assert not result.success
    assert newest(world, sync).execution.status is Status.FAILED
    assert "orders" in newest(world, sync).error_message


def test_launchpad_config_reaches_the_engine(world, instance, sync):
    """R53."""
    materialize(instance)
    world.clock.advance(minutes=1)

    materialize(instance, config={"full": True, "streams": ["orders"]})

    request = newest(world, sync).execution.request
    assert request.full
    assert request.streams == ("orders",)
    assert newest(world, sync).counts.processed == 3


def test_what_a_trigger_may_ask_for_a_person_may_ask_for_in_the_launchpad() -> None:
    every = {name: field.annotation for name, field in SyncConfig.model_fields.items()}
    asked = SyncConfig(redrive=True, confirm_deletes=True, allow_empty=True, full=True)

    known = {one.name for one in fields(Request)}

    assert set(every) == known - {"into"}
    assert asked.request() == Request(
        redrive=True, confirm_deletes=True, allow_empty=True, full=True
    )


def test_the_schedule_requests_one_run_for_what_is_due(world, instance, sync):
    world.schedule(sync, {"type": "every", "minutes": 15})
    schedule = defs.resolve_schedule_def("due_database_syncs")

    def tick():
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
            repository_def=defs.get_repository_def(),
            resources={"engine": resources.EngineResource()},
        )
        return schedule.evaluate_tick(context)

    first, repeated = tick(), tick()

    (request,) = first.run_requests
    assert request.partition_key == "acme/orders"
    assert request.tags["tenant"] == "acme"
    assert request.tags["dagster/priority"] == "-1"  # the first of its tenant's line
    assert [again.run_key for again in repeated.run_requests] == [request.run_key]
    assert instance.get_dynamic_partitions("database_syncs") == ["acme/orders"]


def test_the_sensor_requests_runs_for_triggers_and_keeps_partitions_in_step(world, instance, sync):
    trigger(world.catalog, sync, now=world.clock())
    instance.add_dynamic_partitions("database_syncs", ["acme/gone"])

    first, second = look(instance), look(instance)

    assert [request.job_name for request in first] == ["sync_database"]
    assert first[0].tags["trigger"] == "manual"
    assert second == []
    assert instance.get_dynamic_partitions("database_syncs") == ["acme/orders"]


def test_a_hand_over_that_got_lost_is_repeated_only_if_dagster_knows_no_run(world, instance, sync):
    trigger(world.catalog, sync, now=world.clock())

    (request,) = look(instance)
    world.clock.advance(minutes=3)
    (again,) = look(instance)
    instance.create_run_for_job(
        defs.resolve_job_def("sync_database"),
        tags={**again.tags, "dagster/run_key": "x"},
        status=dg.DagsterRunStatus.STARTING,
    )
    known = look(instance)

    assert again.run_key == request.run_key
    assert known == []


def test_an_execution_in_silence_is_settled_and_its_run_frees_its_slot(world, instance, sync):
    """R92: stock Dagster would take the run of a dead process for a running one for ever."""
    run = instance.create_run_for_job(
        defs.resolve_job_def("sync_database"), status=dg.DagsterRunStatus.STARTED
    )
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, identity)
        executions.save(db, found, found.started(world.clock(), run.run_id))

    look(instance)
    early = newest(world, sync).execution
    world.clock.advance(minutes=3)
    look(instance)

    assert early.status is Status.RUNNING
    assert newest(world, sync).execution.attempt == 2
    assert newest(world, sync).attempts[0]["error_class"] == "lost"
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE


def test_the_example_report_reads_the_synced_flights(world, instance, catalog_url):
    with psycopg.connect(catalog_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE flights (id int PRIMARY KEY, time_hour timestamptz, carrier text, "
            "dep_delay int)"
        )
        connection.execute(
            "INSERT INTO flights VALUES (1, '2013-01-01 10:00+00', 'UA', 2), "
            "(2, '2013-01-01 11:00+00', 'UA', 4), (3, '2013-01-02 11:00+00', 'AA', NULL)"
        )
    ends = {"url": catalog_url}
    flights = SyncStream(name="public.flights")
    world.sync("demo/flights", streams=[flights], source=ends, destination=ends)
    materialize(instance, partition="demo/flights")

    result = dg.materialize(
        list(defs.get_repository_def().assets_defs_by_key.values()),
        selection=["daily_delay_by_carrier"],
        instance=instance,
    )

    with psycopg.connect(catalog_url) as connection:
        rows = connection.execute("SELECT * FROM reports.daily_delay_by_carrier").fetchall()
    assert result.success
    assert [(str(day), carrier, mean, count) for day, carrier, mean, count in rows] == [
        ("2013-01-01", "UA", 3.0, 2)
    ]
