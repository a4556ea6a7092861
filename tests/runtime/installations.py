"""A running `up` for tests: started in a home of its own, and asked over GraphQL."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
import psutil

from sync_pipelines.runtime.waiting import wait_until
from tests.mortal import mortal

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


@contextmanager
def starting(home: Path) -> Iterator[Start]:
    """A function that starts `up` in a home; all are stopped at the end."""
    started: list[Up] = []

    def start(
        definitions: str = "trivial_definitions", *, once: bool = False, **settings: str
    ) -> Up:
        environment = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
        environment["PYTHONPATH"] = os.pathsep.join((str(home), str(PROGRAMS), str(Path.cwd())))
        environment |= {"SYNC_DAGSTER_PORT": str(free_port()), **settings}
        how = [str(home), definitions, *(["once"] if once else [])]
        process = subprocess.Popen(
            mortal(sys.executable, str(PROGRAMS / "up.py"), *how),
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
