"""A server that dies while it is kept: started again, and given up when that is of no use."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from sync_pipelines.runtime.errors import PostgresError
from sync_pipelines.runtime.keeper import Keeper
from sync_pipelines.runtime.places import settle
from sync_pipelines.runtime.postgres import Server, embedded
from sync_pipelines.runtime.postmaster import find
from sync_pipelines.runtime.processes import MOST_RESTARTS, STEADY_SECONDS


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_server_that_was_killed_is_started_again_and_told_in_one_line(home: Path):
    said: list[str] = []
    with embedded(home) as server:
        keeper = Keeper(server, said.append)
        keeper.tend()
        ask(server, "CREATE TABLE kept AS SELECT 42 AS x")
        kill(home)

        keeper.tend()
        keeper.tend()

        assert ask(server, "SELECT x FROM kept") == 42
        (line,) = said
        assert line.startswith("PostgreSQL died and was started again in ")
    assert find(settle(home)) is None


def test_a_server_that_another_user_has_started_again_is_left_alone(home: Path):
    said: list[str] = []
    with embedded(home) as server:
        kill(home)
        with embedded(home):
            pid = running(home)

            Keeper(server, said.append).tend()

            assert running(home) == pid
            assert said == []


def test_a_server_that_keeps_dying_is_given_up(home: Path):
    said: list[str] = []
    seconds = Seconds()
    with embedded(home) as server:
        keeper = Keeper(server, said.append, seconds=seconds)
        for _ in range(MOST_RESTARTS):
            kill(home)
            keeper.tend()
        kill(home)

        with pytest.raises(PostgresError, match=f"died {MOST_RESTARTS + 1} times in a row"):
            keeper.tend()

    assert len(said) == MOST_RESTARTS


def test_a_server_that_dies_once_in_a_while_is_not_given_up(home: Path):
    said: list[str] = []
    seconds = Seconds()
    with embedded(home) as server:
        keeper = Keeper(server, said.append, seconds=seconds)
        for _ in range(MOST_RESTARTS + 1):
            seconds.now += STEADY_SECONDS
            kill(home)
            keeper.tend()

        assert ask(server, "SELECT 1") == 1
    assert len(said) == MOST_RESTARTS + 1


def test_a_server_that_cannot_start_is_tried_again_after_a_pause(home: Path):
    said: list[str] = []
    seconds = Seconds()
    with embedded(home) as server:
        keeper = Keeper(server, said.append, seconds=seconds)
        kill(home)
        settings = settle(home).data / "postgresql.conf"
        right = settings.read_text()
        settings.write_text("nonsense = 1\n")
        keeper.tend()
        settings.write_text(right)

        keeper.tend()
        too_early = find(settle(home))
        seconds.now += 1
        keeper.tend()

        assert too_early is None
        assert ask(server, "SELECT 1") == 1
    assert "attempt 1 of 5 to start it again failed, the next is in 1 s" in said[0]
    assert "nonsense" in said[0]
    assert "started again" in said[1]


def running(home: Path) -> int:
    server = find(settle(home))
    assert server is not None
    return server.pid


def kill(home: Path) -> None:
    process = psutil.Process(running(home))
    os.kill(process.pid, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        process.wait(20)


def ask(server: Server, query: str) -> object:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        row = cursor.fetchone() if cursor.description else None
    return None if row is None else row[0]
