"""`up` with real Dagster processes and a real database, told to stop and killed."""

import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from sync_pipelines.runtime.places import settle
from sync_pipelines.runtime.postmaster import find
from sync_pipelines.runtime.waiting import wait_until
from tests.runtime.installations import (
    Start,
    all_gone,
    can_launch,
    descendants,
    is_code_server,
    launch,
)

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def test_a_run_is_done_and_ctrl_c_ends_everything(start: Start):
    up = start()
    dagster = up.where()["dagster"]
    launch(dagster, "short")
    up.wait_for('Finished execution of run for "short"')
    long_run = launch(dagster, "long")
    up.wait_for('Started execution of run for "long"')
    family = descendants(up)

    began = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    code = up.process.wait(timeout=30)

    assert time.monotonic() - began < 15
    assert code == 0
    assert len(family) > 6
    assert all_gone(family)
    up.wait_for(f'run {long_run[:8]}: Execution of run for "long" failed')


def test_a_killed_up_leaves_only_the_database_and_the_next_adopts_it(start: Start, home: Path):
    first = start()
    database = first.where()["database"]
    family = descendants(first)
    server = find(settle(home.resolve()))

    first.process.kill()
    first.process.wait(timeout=10)
    gone = wait_until(lambda: all_gone(family), seconds=15)
    second = start()
    database_again = second.where()["database"]
    adopted = find(settle(home.resolve()))
    second.process.terminate()
    code = second.process.wait(timeout=30)

    assert gone
    assert server is not None
    assert adopted is not None
    assert (adopted.pid, database_again) == (server.pid, database)
    assert code == 0
    assert find(settle(home.resolve())) is None


def test_a_code_server_that_dies_comes_back_and_runs_go_on(start: Start):
    up = start()
    dagster = up.where()["dagster"]
    code_server = next(one for one in descendants(up) if is_code_server(one))

    code_server.kill()
    up.wait_for("code died (exit code 137); restart 1 of 5")
    launched = wait_until(lambda: can_launch(dagster, "short"), seconds=90, every=1.0)

    assert launched
    up.wait_for('Finished execution of run for "short"')


def test_a_second_up_in_one_home_is_refused(start: Start):
    first = start()
    first.where()

    second = start()
    code = second.process.wait(timeout=30)

    assert code == 1
    second.wait_for(f"process {first.process.pid} already runs in")


def test_once_ends_by_itself_and_a_taken_port_is_stepped_over(start: Start):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        up = start(once=True, SYNC_DAGSTER_PORT=str(port))
        code = up.process.wait(timeout=120)

    assert code == 0
    up.wait_for(f"port {port} is taken")
    assert not up.where()["dagster"].endswith(f":{port}")


def test_definitions_that_do_not_load_are_told_with_the_reason(start: Start):
    up = start("no_such_definitions")

    code = up.process.wait(timeout=120)

    assert code == 1
    up.wait_for("No module named 'no_such_definitions'")
    up.wait_for("code ended while it was starting")


def test_a_database_that_does_not_answer_is_told_at_once(start: Start):
    up = start(SYNC_DATABASE_URL="postgresql://u:secret-word@127.0.0.1:1/db")

    code = up.process.wait(timeout=30)

    assert code == 1
    up.wait_for("the database of SYNC_DATABASE_URL does not answer")
    assert not any("secret-word" in line for line in up.lines)
