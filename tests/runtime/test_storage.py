"""Dagster's runs and events in the catalog's database."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, OpExecutionContext, job, op
from dagster._core.events import EngineEventData
from dagster_shared.error import SerializableErrorInfo

from sync_pipelines.runtime.storage import CatalogStorage, storage_url
from tests.runtime.dagster_jobs import dispose, trivial


@op
def talk(context: OpExecutionContext) -> None:
    context.log.info("three rows")


@job
def talkative() -> None:
    talk()


def test_a_run_is_recorded_in_the_schema_dagster_of_the_catalogs_database(
    instance: DagsterInstance, empty_postgres_url: str
):
    result = trivial.execute_in_process(instance=instance)

    with psycopg.connect(empty_postgres_url) as connection:
        recorded = connection.execute("SELECT run_id, status FROM dagster.runs").fetchall()
        others = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    assert recorded == [(result.run_id, DagsterRunStatus.SUCCESS.value)]
    assert others == []


def test_what_is_the_same_for_every_run_is_not_stored(
    instance: DagsterInstance, empty_postgres_url: str
):
    """What the UI shows of a run is: how it went, its lines, and whatever is unusual."""
    result = talkative.execute_in_process(instance=instance)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    for message in ("Started process for run (pid: 7).", "Sending run termination request."):
        instance.report_engine_event(message, run)
    failed = EngineEventData(error=SerializableErrorInfo("lost", [], None))
    instance.report_engine_event("Process for run exited (pid: 7).", run, failed)

    entries = instance.all_logs(result.run_id)

    told = [entry.dagster_event for entry in entries]
    assert [event.event_type_value if event else "a line" for event in told] == [
        "PIPELINE_START",
        "LOGS_CAPTURED",
        "STEP_START",
        "a line",
        "STEP_OUTPUT",
        "STEP_SUCCESS",
        "PIPELINE_SUCCESS",
        "ENGINE_EVENT",
        "ENGINE_EVENT",
    ]
    assert entries[3].user_message == "three rows"
    assert [event.message for event in told[-2:] if event] == [
        "Sending run termination request.",
        "Process for run exited (pid: 7).",
    ]


def test_processes_that_start_at_the_same_moment_make_the_tables_once(empty_postgres_url: str):
    with ThreadPoolExecutor(4) as pool:
        storages = list(pool.map(CatalogStorage, [empty_postgres_url] * 4))

    counts = [storage.run_storage.get_runs_count() for storage in storages]
    dispose(*storages)
    assert counts == [0, 0, 0, 0]


def test_another_instance_gets_the_same_storage_by_reference(instance: DagsterInstance):
    result = trivial.execute_in_process(instance=instance)

    with DagsterInstance.from_ref(instance.get_ref()) as another:
        run = another.get_run_by_id(result.run_id)
        storage = another.run_storage

    assert run is not None
    assert run.status is DagsterRunStatus.SUCCESS
    assert type(storage) is type(instance.run_storage)


@pytest.mark.parametrize(
    ("given", "host", "options"),
    [
        ("postgresql://u:p%40ss@h:1/db", "h", "-csearch_path=dagster"),
        ("postgresql+psycopg://u@h/db", "h", "-csearch_path=dagster"),
        ("postgresql://u@h/db?options=-cjit%3Doff", "h", "-cjit=off -csearch_path=dagster"),
        ("postgresql://u@/db?host=/run/sock", None, "-csearch_path=dagster"),
    ],
)
def test_dagster_is_given_the_same_database_with_its_own_schema(
    given: str, host: str | None, options: str
):
    url = storage_url(given)

    assert url.drivername == "postgresql+psycopg2"
    assert url.host == host
    assert url.database == "db"
    assert url.query["options"] == options


def test_an_event_is_stored_without_telling_those_who_do_not_listen(
    instance: DagsterInstance, empty_postgres_url: str
):
    with psycopg.connect(empty_postgres_url, autocommit=True) as listener:
        listener.execute("LISTEN run_events")
        result = trivial.execute_in_process(instance=instance)
        told = list(listener.notifies(timeout=0.2))

    stored = {entry.dagster_event_type for entry in instance.all_logs(result.run_id)}
    assert told == []
    assert {DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS} <= stored
