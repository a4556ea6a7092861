"""Which connections to PostgreSQL are given on, to whom, and in what state."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from time import monotonic, sleep

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from connectors.sql.config import DatabaseConfig
from connectors.sql.postgres import idle
from connectors.sql.postgres.session import PostgresSession


@pytest.fixture
def config(postgres_url: str) -> Iterator[DatabaseConfig]:
    yield DatabaseConfig(url=SecretStr(postgres_url))
    idle.connections().clear()


def backend(config: DatabaseConfig, *statements: str, read_only: bool = False) -> int:
    """The server's process of a session that runs these statements and ends."""
    with closing(PostgresSession(config, read_only=read_only)) as session:
        for statement in statements:
            session.connection.execute(statement.encode())
        return session.connection.info.backend_pid


def alive(config: DatabaseConfig, process: int) -> bool:
    with psycopg.connect(config.conninfo) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        return connection.execute(query, [process]).fetchone() == (1,)


def gone_soon(config: DatabaseConfig, process: int) -> bool:
    until = monotonic() + 10
    while alive(config, process) and monotonic() < until:
        sleep(0.02)
    return not alive(config, process)


def test_the_next_session_of_one_configuration_takes_the_connection_over(
    config: DatabaseConfig,
) -> None:
    first = backend(config)

    assert backend(config, read_only=True) == first


def test_nothing_of_a_session_is_left_for_the_next(config: DatabaseConfig) -> None:
    first = backend(
        config,
        "CREATE TEMPORARY TABLE theirs (secret text)",
        "SET work_mem = '77MB'",
        "SET search_path = elsewhere",
        "PREPARE theirs AS SELECT 1",
        "SELECT pg_advisory_lock(4711)",
        "SELECT set_config('sync.secret', 'theirs', false)",
        "SET default_transaction_read_only = on",
    )

    with closing(PostgresSession(config)) as session:
        row = session.connection.execute(
            "SELECT pg_backend_pid(), to_regclass('pg_temp.theirs'), "
            "current_setting('work_mem') <> '77MB', current_setting('search_path'), "
            "(SELECT count(*) FROM pg_prepared_statements), "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            " AND pid = pg_backend_pid()), current_setting('sync.secret', true), "
            "current_setting('transaction_read_only'), current_setting('TimeZone'), "
            "current_setting('application_name')"
        ).fetchone()

    assert row is not None
    assert row == (
        first, None, True, '"$user", public', 0, 0, row[6], "off", "UTC", "sync-pipelines"
    )  # fmt: skip
    assert row[6] in (None, "")


def test_another_configuration_never_gets_the_connection(config: DatabaseConfig) -> None:
    other_password = make_url(config.conninfo).set(password="other")
    text = other_password.render_as_string(hide_password=False)
    others = (
        config.model_copy(update={"url": SecretStr(text)}),
        config.model_copy(update={"statement_timeout_seconds": 60}),
        config.model_copy(update={"connect_timeout_seconds": 60}),
    )
    process = backend(config)

    found = [idle.connections().take(other) for other in others]

    assert found == [None, None, None]
    assert backend(config) == process


def test_a_session_amid_a_transaction_is_ended(config: DatabaseConfig) -> None:
    process = backend(config, "BEGIN", "CREATE TABLE half_done ()")

    assert backend(config) != process
    assert gone_soon(config, process)


def test_a_session_that_was_interrupted_is_ended(config: DatabaseConfig) -> None:
    with closing(PostgresSession(config)) as session:
        process = session.connection.info.backend_pid
        session.interrupt()

    assert backend(config) != process


def test_a_connection_that_the_server_ended_meanwhile_is_replaced(config: DatabaseConfig) -> None:
    """R93."""
    process = backend(config)
    with psycopg.connect(config.conninfo, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [process])
    assert gone_soon(config, process)

    assert backend(config) != process


def test_a_connection_waits_for_a_while_only(
    config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "KEPT_SECONDS", 0.05)

    process = backend(config)

    assert gone_soon(config, process)


def test_few_wait_and_the_longest_waiting_goes_first(
    config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "MOST_KEPT", 2)
    sessions = [PostgresSession(config) for _ in range(3)]
    processes = [session.connection.info.backend_pid for session in sessions]

    for session in sessions:
        session.close()

    assert gone_soon(config, processes[0])
    assert alive(config, processes[1])
    assert alive(config, processes[2])


_FORKING = """
import os, sys
from connectors.sql.config import DatabaseConfig
from connectors.sql.postgres.session import PostgresSession

config = DatabaseConfig(url=sys.argv[1])

def backend():
    session = PostgresSession(config)
    found = session.connection.info.backend_pid
    session.close()
    return found

mine = backend()
child = os.fork()
if not child:
    sys.exit(0 if backend() != mine else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, "the child spoke on its parent's connection"
assert backend() == mine, "the child closed its parent's connection"
print(mine)
"""


def test_a_fork_neither_uses_nor_closes_its_parents_connections(config: DatabaseConfig) -> None:
    command = [sys.executable, "-W", "error", "-c", _FORKING, config.conninfo]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert gone_soon(config, int(done.stdout)), "it was not closed at exit"
