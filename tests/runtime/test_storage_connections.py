"""The connections of Dagster's storage: few, and replaced when they are lost."""

import os

import psycopg
import pytest
from dagster import DagsterInstance
from sqlalchemy.exc import OperationalError

from sync_pipelines.runtime.storage import CatalogStorage, OneRunStorage
from tests.runtime.dagster_jobs import dispose, trivial


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
