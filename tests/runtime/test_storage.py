import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
import yaml
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    OpExecutionContext,
    job,
    op,
)
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.events import EngineEventData
from dagster._core.instance.config import dagster_instance_config
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy.exc import OperationalError

from sync_pipelines.engine.run_tags import LAUNCH
from sync_pipelines.runtime.storage import CatalogStorage, OneRunStorage, storage_url

DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"


@pytest.fixture
def instance(
    empty_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    monkeypatch.setenv("SYNC_DATABASE_URL", empty_postgres_url)
    shutil.copy(DAGSTER_YAML, tmp_path / "dagster.yaml")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@op
def nothing() -> None:
    pass


@op
def talk(context: OpExecutionContext) -> None:
    context.log.info("three rows")


@job
def talkative() -> None:
    talk()


@job
def trivial() -> None:
    nothing()


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


def test_a_process_keeps_few_connections_however_much_it_asks(
    instance: DagsterInstance, empty_postgres_url: str
):
    for _ in range(5):
        trivial.execute_in_process(instance=instance)

    with psycopg.connect(empty_postgres_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'dagster'"
        ).fetchone()
    assert row is not None
    assert 1 <= row[0] <= 4


def test_a_webserver_does_not_notice_that_its_connections_were_broken(
    instance: DagsterInstance, empty_postgres_url: str
):
    """As by a restart of the server; and none of its statements goes on for ever."""
    instance.optimize_for_webserver(300, 3600, 20)  # the timeout in milliseconds
    ask_all(instance)

    with psycopg.connect(empty_postgres_url) as connection:
        broken = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()

    ask_all(instance)
    storage = instance.run_storage
    assert isinstance(storage, OneRunStorage)
    assert broken
    with (
        pytest.raises(OperationalError, match="statement timeout"),
        storage.connect() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(30)")


def ask_all(instance: DagsterInstance) -> None:
    instance.get_runs()
    instance.get_asset_keys()
    instance.all_instigator_state()


def test_processes_that_start_at_the_same_moment_make_the_tables_once(empty_postgres_url: str):
    with ThreadPoolExecutor(4) as pool:
        storages = list(pool.map(CatalogStorage, [empty_postgres_url] * 4))

    counts = [storage.run_storage.get_runs_count() for storage in storages]
    dispose(*storages)
    assert counts == [0, 0, 0, 0]


def run_of(launch: str | None, *, repeats: str | None = None) -> DagsterRun:
    return DagsterRun(
        job_name="trivial",
        tags={} if launch is None else {LAUNCH: launch},
        parent_run_id=repeats,
        root_run_id=repeats,
    )


def test_of_two_processes_that_ask_for_a_run_of_one_launch_one_is_refused(
    empty_postgres_url: str,
):
    """Law 2: whoever asks, however late, and whatever each has looked up before."""
    storages = [CatalogStorage(empty_postgres_url) for _ in range(2)]
    launches = [f"execution-{number}:1:0" for number in range(20)]
    meeting = Barrier(2)

    def ask(storage: CatalogStorage) -> list[str]:
        got = []
        for launch in launches:
            meeting.wait(20)
            try:
                storage.run_storage.add_run(run_of(launch))
            except DagsterRunAlreadyExists:
                continue
            got.append(launch)
        return got

    with ThreadPoolExecutor(2) as pool:
        added = [launch for got in pool.map(ask, storages) for launch in got]
    kept = [run.tags[LAUNCH] for run in storages[0].run_storage.get_runs()]

    dispose(*storages)
    assert sorted(added) == sorted(launches)
    assert sorted(kept) == sorted(launches)


def test_a_run_that_was_refused_leaves_nothing_behind(empty_postgres_url: str):
    """A run without its tags would wait for ever: nobody would know whose it is."""
    storage = CatalogStorage(empty_postgres_url)
    first = storage.run_storage.add_run(run_of("one"))

    with pytest.raises(DagsterRunAlreadyExists, match="launch one has a run already"):
        storage.run_storage.add_run(run_of("one"))

    left = [run.run_id for run in storage.run_storage.get_runs()]
    with psycopg.connect(empty_postgres_url) as connection:
        tagged = connection.execute("SELECT DISTINCT run_id FROM dagster.run_tags").fetchall()
    dispose(storage)
    assert left == [first.run_id]
    assert tagged == [(first.run_id,)]


def test_a_launch_whose_run_was_unmade_may_have_another(empty_postgres_url: str):
    """What `dispatch_events` does with a run that was made but never queued."""
    storage = CatalogStorage(empty_postgres_url)
    abandoned = storage.run_storage.add_run(run_of("one"))
    storage.run_storage.delete_run(abandoned.run_id)

    another = storage.run_storage.add_run(run_of("one"))

    left = [run.run_id for run in storage.run_storage.get_runs()]
    dispose(storage)
    assert left == [another.run_id]


def test_what_is_no_launch_of_ours_has_as_many_runs_as_people_want(empty_postgres_url: str):
    """Those started by hand, and those that repeat a run, with all of its tags."""
    storage = CatalogStorage(empty_postgres_url)
    first = storage.run_storage.add_run(run_of("one")).run_id

    for run in (
        run_of("one", repeats=first),
        run_of("one", repeats=first),
        run_of(None),
        run_of(None),
    ):
        storage.run_storage.add_run(run)

    count = storage.run_storage.get_runs_count()
    dispose(storage)
    assert count == 5


def test_a_database_from_before_launches_were_kept_gets_their_table(empty_postgres_url: str):
    older = CatalogStorage(empty_postgres_url)
    older.run_storage.add_run(run_of("old"))
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE dagster.sync_launches")

    storage = CatalogStorage(empty_postgres_url)
    storage.run_storage.add_run(run_of("new"))

    with pytest.raises(DagsterRunAlreadyExists):
        storage.run_storage.add_run(run_of("new"))
    count = storage.run_storage.get_runs_count()
    dispose(older, storage)
    assert count == 2


def test_another_instance_gets_the_same_storage_by_reference(instance: DagsterInstance):
    result = trivial.execute_in_process(instance=instance)

    with DagsterInstance.from_ref(instance.get_ref()) as another:
        run = another.get_run_by_id(result.run_id)
        storage = another.run_storage

    assert run is not None
    assert run.status is DagsterRunStatus.SUCCESS
    assert type(storage) is type(instance.run_storage)


def test_a_forked_child_uses_connections_of_its_own(empty_postgres_url: str):
    storage = CatalogStorage(empty_postgres_url)
    storage.run_storage.get_runs_count()

    child = os.fork()
    if child == 0:
        os._exit(storage.run_storage.get_runs_count())
    _, status = os.waitpid(child, 0)

    parents_connection_still_works = storage.run_storage.get_runs_count() == 0
    dispose(storage)
    assert os.waitstatus_to_exitcode(status) == 0
    assert parents_connection_still_works


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


def test_every_key_of_dagster_yaml_is_known_to_the_pinned_dagster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    shutil.copy(DAGSTER_YAML, tmp_path / "dagster.yaml")

    value, _ = dagster_instance_config(str(tmp_path))

    written = yaml.safe_load(DAGSTER_YAML.read_text())
    assert set(written) <= set(value)


def test_limits_of_dagster_yaml_reach_the_instance(instance: DagsterInstance):
    queue = instance.get_concurrency_config().run_queue_config

    assert queue is not None
    assert queue.max_concurrent_runs == 15
    assert queue.tag_concurrency_limits == [
        {"key": "tenant", "value": {"applyLimitPerUniqueValue": True}, "limit": 5}
    ]
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 0
    assert not instance.telemetry_enabled


def test_the_packaged_dagster_yaml_is_the_one_at_the_top():
    packaged = DAGSTER_YAML.parent / "sync_pipelines/runtime/dagster.yaml"

    assert packaged.is_symlink()
    assert packaged.resolve() == DAGSTER_YAML


def dispose(*storages: CatalogStorage) -> None:
    for storage in storages:
        storage.close()


def test_a_connection_that_was_lost_while_it_was_idle_is_replaced(
    instance: DagsterInstance, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    """As after a restart of the server: whoever asks next does not notice."""
    monkeypatch.setattr("sync_pipelines.catalog.pinging.IDLE_SECONDS", 0.0)
    instance.get_runs_count()
    with psycopg.connect(empty_postgres_url, autocommit=True) as other:
        ended = other.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'dagster'"
        ).fetchone()

    found = instance.get_runs_count()

    assert ended is not None
    assert ended[0] >= 1
    assert found == 0


def test_a_connection_that_was_idle_and_lives_is_used_again(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sync_pipelines.catalog.pinging.IDLE_SECONDS", 0.0)
    before = backend(instance)

    assert backend(instance) == before


def backend(instance: DagsterInstance) -> int:
    """The server's process behind the connection that is used next."""
    storage = instance.run_storage
    assert isinstance(storage, OneRunStorage)
    with storage.connect() as connection:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


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
