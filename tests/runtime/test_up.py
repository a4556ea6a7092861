"""`up` with real Dagster processes and a real database, told to stop and killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
import psutil
import pytest

from sync_pipelines.runtime.places import settle
from sync_pipelines.runtime.postmaster import find
from sync_pipelines.runtime.waiting import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

PROGRAMS = Path(__file__).parent / "programs"


@dataclass
class Up:
    """A running `up` and what it has said so far."""

    process: "subprocess.Popen[str]"
    lines: list[str]

    def wait_for(self, words: str, *, seconds: float = 90.0) -> str:
        wait_until(lambda: self._find(words) is not None or self._ended(), seconds=seconds)
        found = self._find(words)
        assert found is not None, "\n".join(self.lines)
        return found

    def where(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.wait_for("READY").removeprefix("READY "))
        return found

    def _find(self, words: str) -> str | None:
        return next((line for line in self.lines if words in line), None)

    def _ended(self) -> bool:
        return self.process.poll() is not None


Start = Callable[..., Up]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    started: list[Up] = []

    def start(
        definitions: str = "trivial_definitions", *, once: bool = False, **settings: str
    ) -> Up:
        environment = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
        environment["PYTHONPATH"] = f"{PROGRAMS}{os.pathsep}{Path.cwd()}"
        environment |= {"SYNC_DAGSTER_PORT": str(free_port()), **settings}
        how = [str(home), definitions, *(["once"] if once else [])]
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "up.py"), *how],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        up = Up(process, [])
        started.append(up)
        Thread(target=read_lines, args=(up,), daemon=True).start()
        return up

    yield start
    for up in started:
        up.process.terminate()
        up.process.wait(timeout=60)


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


def launch(dagster: str, job: str) -> str:
    answer = ask_to_launch(dagster, job)
    run = answer["data"]["launchRun"].get("run")
    assert run is not None, answer
    return str(run["runId"])


def can_launch(dagster: str, job: str) -> bool:
    return ask_to_launch(dagster, job)["data"]["launchRun"].get("run") is not None


def ask_to_launch(dagster: str, job: str) -> dict:
    mutation = """mutation ($selector: JobOrPipelineSelector!) {
      launchRun(executionParams: {selector: $selector}) {
        __typename
        ... on LaunchRunSuccess { run { runId } }
        ... on PythonError { message }
      }
    }"""
    selector = {
        "repositoryLocationName": "sync_pipelines",
        "repositoryName": "__repository__",
        "jobName": job,
    }
    request = {"query": mutation, "variables": {"selector": selector}}
    answer: dict = httpx.post(f"{dagster}/graphql", json=request, timeout=30).json()
    return answer


def read_lines(up: Up) -> None:
    assert up.process.stdout is not None
    with up.process.stdout as output:
        for line in output:
            up.lines.append(line.rstrip())


def descendants(up: Up) -> list[psutil.Process]:
    return psutil.Process(up.process.pid).children(recursive=True)


def all_gone(family: list[psutil.Process]) -> bool:
    return not any(
        member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family
    )


def is_code_server(process: psutil.Process) -> bool:
    words = process.cmdline()
    return "grpc" in words and "--socket" in words and not any("tether" in word for word in words)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
    return port
