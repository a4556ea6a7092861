import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import psutil
import psycopg
import pytest
from sqlalchemy import create_engine, make_url

from sync_pipelines.runtime.errors import PostgresError
from sync_pipelines.runtime.places import settle
from sync_pipelines.runtime.postgres import Server, discard, embedded
from sync_pipelines.runtime.postmaster import find
from sync_pipelines.runtime.waiting import wait_until

USER_OF_A_SERVER = """
import sys, time
from pathlib import Path
from sync_pipelines.runtime.postgres import embedded
with embedded(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_server_answers_inside_the_context_and_is_gone_after_it(home: Path):
    with embedded(home) as server:
        answer = ask(server, "SELECT 1")
        pid = postmaster_pid(home)

    assert answer == 1
    assert not is_alive(pid)
    with pytest.raises(psycopg.OperationalError):
        ask(server, "SELECT 1")


def test_data_outlives_the_server(home: Path):
    with embedded(home) as server:
        server.ensure_database("kept")
        ask(server, "CREATE TABLE t AS SELECT 42 AS x", database="kept")

    with embedded(home) as server:
        found = ask(server, "SELECT x FROM t", database="kept")

    assert found == 42


def test_a_database_is_created_once_however_many_ask(home: Path):
    with embedded(home) as server, ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(server.ensure_database, ["catalog"] * 8))

        found = ask(server, "SELECT count(*) FROM pg_database WHERE datname = 'catalog'")

    assert urls == {server.url("catalog")}
    assert found == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("jit", "off"),
        ("TimeZone", "UTC"),
        ("max_connections", "200"),
        ("listen_addresses", ""),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
    ],
)
def test_the_server_is_safe_and_reached_by_its_socket_only(
    running: Server, setting: str, value: str
):
    found = ask(running, f"SHOW {setting}")

    assert found == value


@pytest.fixture(scope="module")
def running(worker_home: Path):
    with embedded(worker_home / "settings") as server:
        yield server
    discard(worker_home / "settings")


def test_the_last_of_two_users_stops_the_server(home: Path):
    with embedded(home):
        with embedded(home) as server:
            pid = postmaster_pid(home)
        answer_after_the_first_left = ask(server, "SELECT 1")

    assert answer_after_the_first_left == 1
    assert not is_alive(pid)


def test_users_that_start_at_the_same_moment_share_one_server(home: Path):
    together = Barrier(3)

    def use() -> int:
        together.wait(timeout=30)
        with embedded(home):
            pid = postmaster_pid(home)
            together.wait(timeout=60)
            return pid

    with ThreadPoolExecutor(3) as pool:
        pids = set(pool.map(lambda _: use(), range(3)))

    assert len(pids) == 1


def test_a_server_whose_user_was_killed_is_adopted_and_then_stopped(home: Path):
    user = start_user(home)
    pid = postmaster_pid(home)
    user.kill()
    user.communicate(timeout=10)

    with embedded(home) as server:
        adopted = postmaster_pid(home)
        answer = ask(server, "SELECT 1")

    assert (adopted, answer) == (pid, 1)
    assert not is_alive(pid)


def test_a_user_in_another_process_keeps_the_server_up(home: Path):
    user = start_user(home)

    with embedded(home) as server:
        pass
    answer = ask(server, "SELECT 1")
    pid = postmaster_pid(home)
    user.communicate(timeout=60)

    assert answer == 1
    assert not is_alive(pid)


def test_a_server_that_crashed_starts_again_with_its_data(home: Path):
    with embedded(home) as server:
        ask(server, "CREATE TABLE t AS SELECT 7 AS x")
        crashed = postmaster_pid(home)
        os.kill(crashed, signal.SIGKILL)
        wait_until(lambda: not is_alive(crashed), seconds=10)

        with embedded(home) as again:
            found = ask(again, "SELECT x FROM t")

    assert found == 7


def test_a_pid_file_that_names_somebody_else_is_no_obstacle(home: Path):
    with embedded(home):
        pid_file = settle(home.resolve()).data / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    stale = [str(os.getpid()), *lines[1:]]
    pid_file.write_text("\n".join(stale) + "\n")

    with embedded(home) as server:
        answer = ask(server, "SELECT 1")

    assert answer == 1


def test_a_server_that_cannot_start_shows_its_last_words(home: Path):
    with embedded(home):
        configuration = settle(home.resolve()).data / "postgresql.conf"
    with configuration.open("a") as file:
        file.write("max_connections = lots\n")

    with pytest.raises(PostgresError, match="does not start") as failure, embedded(home):
        pass

    assert 'invalid value for parameter "max_connections"' in str(failure.value)


def test_data_of_another_major_version_is_refused_with_a_remedy(home: Path):
    with embedded(home):
        version = settle(home.resolve()).data / "PG_VERSION"
    version.write_text("17\n")

    refusal = pytest.raises(PostgresError, match="made by PostgreSQL 17, and this is 18")
    with refusal, embedded(home):
        pass


def test_a_set_up_that_was_killed_halfway_is_begun_anew(home: Path):
    place = settle(home.resolve())
    half_done = place.base / "data.unfinished"
    half_done.mkdir()
    (half_done / "PG_VERSION").write_text("18\n")

    with embedded(home) as server:
        answer = ask(server, "SELECT 1")

    assert answer == 1
    assert not half_done.exists()


@pytest.mark.parametrize("name", ["x" * 120, "of Ann & Bob + 50% ünïcode"])
def test_any_path_can_be_a_home(home: Path, name: str):
    unusual = home / name
    with embedded(unusual) as server:
        url = server.ensure_database("odd name+%")
        with psycopg.connect(url) as connection:
            by_psycopg = connection.execute("SELECT current_database()").fetchone()
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with engine.connect() as connection:
            by_sqlalchemy = connection.exec_driver_sql("SELECT current_database()").scalar()
        engine.dispose()
    discard(unusual)

    assert by_psycopg == ("odd name+%",)
    assert by_sqlalchemy == "odd name+%"


def test_data_is_discarded_only_when_nobody_uses_it(home: Path):
    with embedded(home) as server:
        with pytest.raises(PostgresError, match="in use"):
            discard(home)
        still_there = ask(server, "SELECT 1")
        base = settle(home.resolve()).base

    discard(home)

    assert still_there == 1
    assert not base.exists()


def ask(server: Server, statement: str, *, database: str = "postgres") -> object:
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return None if row is None else row[0]


def postmaster_pid(home: Path) -> int:
    found = find(settle(home.resolve()))
    assert found is not None
    return found.pid


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def start_user(home: Path) -> "subprocess.Popen[str]":
    user = subprocess.Popen(
        [sys.executable, "-c", USER_OF_A_SERVER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    assert user.stdout.readline() == "ready\n"
    assert wait_until(lambda: find(settle(home.resolve())) is not None, seconds=5)
    return user
