import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sync_pipelines.runtime import processes, tether
from sync_pipelines.runtime.errors import StartError
from sync_pipelines.runtime.processes import Service, Supervisor
from sync_pipelines.runtime.waiting import wait_until

FAMILY = "sleep 300 & (trap '' TERM; sleep 300) & echo started; wait"
"""A command with a child, and one that does not listen to SIGTERM."""


def test_a_command_that_ends_takes_the_processes_it_left_along(start: "Start"):
    process = start(tethered("setsid sleep 300 & sleep 0.3; exit 7"))
    left = wait_for_descendants(process, at_least=3)

    code = process.wait(timeout=10)

    assert code == 7
    assert all_gone(left)


def test_a_tether_that_is_told_to_stop_ends_even_those_that_do_not_listen(start: "Start"):
    process = start(tethered(FAMILY))
    family = wait_for_descendants(process, at_least=3)

    process.terminate()
    process.wait(timeout=10)

    assert all_gone(family)


def test_a_killed_parent_takes_the_whole_family_along(start: "Start"):
    parent = start([sys.executable, "-c", NESTING, tether.__file__, FAMILY])
    family = wait_for_descendants(parent, at_least=4)

    parent.kill()

    assert wait_until(lambda: all_gone(family), seconds=10)


Start = Callable[[list[str]], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command, and ends it after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=10)


def tethered(command: str) -> list[str]:
    tether_command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), "1"]
    return [*tether_command, "bash", "-c", command]


NESTING = """
import os, subprocess, sys
command = [sys.executable, sys.argv[1], str(os.getpid()), "1", "bash", "-c", sys.argv[2]]
subprocess.run(command)
"""


def test_an_unknown_command_ends_like_in_a_shell():
    command = [sys.executable, tether.__file__, str(os.getpid()), "1", "no-such-command"]

    done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL, timeout=10)

    assert done.returncode == 127


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(logs=tmp_path / "logs", say=said.append)
    yield supervisor
    supervisor.stop()


def test_every_line_is_logged_and_those_for_people_are_shown(
    supervisor: Supervisor, said: list[str], tmp_path: Path
):
    supervisor.start(service("echo noise; echo news; sleep 300"))

    assert wait_until(lambda: bool(said), seconds=10)
    assert said == ["worker    │ NEWS"]
    assert (tmp_path / "logs/worker.log").read_text() == "noise\nnews\n"


def test_in_json_each_line_of_the_log_is_an_object_and_people_see_the_same(
    said: list[str], tmp_path: Path
):
    """R125."""
    supervisor = Supervisor(logs=tmp_path / "logs", say=said.append, log_format="json")
    supervisor.start(service("""echo noise; echo '{"event": "ours"}'; echo news; sleep 300"""))

    try:
        assert wait_until(lambda: bool(said), seconds=10)
    finally:
        supervisor.stop()

    lines = [json.loads(line) for line in (tmp_path / "logs/worker.log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["noise", "ours", "news"]
    assert [line.get("process") for line in lines] == ["worker", None, "worker"]
    assert said == ["worker    │ NEWS"]


def test_a_process_that_dies_is_restarted_after_a_pause_and_it_is_said(
    supervisor: Supervisor, said: list[str], tmp_path: Path
):
    mark = tmp_path / "mark"
    supervisor.start(service(f"test -e {mark} && exec sleep 301; touch {mark}; exit 3"))

    restarted = tend_until(supervisor, lambda: lives("sleep 301"))

    assert restarted
    log = tmp_path / "logs/worker.log"
    assert said == [f"worker died (exit code 3); restart 1 of 5 in 1 s; see {log}"]


def test_a_process_that_keeps_dying_ends_it_all_with_its_last_words(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(processes, "LONGEST_PAUSE_SECONDS", 0.0)
    supervisor.start(service("echo out of luck; exit 1"))

    with pytest.raises(StartError, match="died 6 times in a row") as failure:
        tend_until(supervisor, lambda: False)

    assert "out of luck" in str(failure.value)
    assert str(tmp_path / "logs/worker.log") in str(failure.value)


def test_deaths_that_a_process_cannot_help_are_not_counted(
    said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(processes, "EXCUSED_PAUSE_SECONDS", 0.0)
    excuses = iter(["the database does not answer"] * 8)
    supervisor = Supervisor(logs=tmp_path, say=said.append, excuse=lambda: next(excuses, None))
    supervisor.start(service("exit 1"))

    try:
        tend_until(supervisor, lambda: len(said) == 9)
    finally:
        supervisor.stop()

    log = tmp_path / "worker.log"
    waited = "worker died (exit code 1): the database does not answer; restart in 0 s; see"
    assert said[:8] == [f"{waited} {log}"] * 8
    assert said[8] == f"worker died (exit code 1); restart 1 of 5 in 1 s; see {log}"


def test_waiting_for_a_process_that_died_says_why(supervisor: Supervisor):
    supervisor.start(service("echo no such module; exit 1", is_ready=lambda: False))

    with pytest.raises(StartError, match="no such module"):
        supervisor.wait_ready("worker", seconds=20, give_up=lambda: False)


def test_waiting_for_a_process_that_never_answers_has_an_end(supervisor: Supervisor):
    supervisor.start(service("exec sleep 300", is_ready=lambda: False))

    with pytest.raises(StartError, match="does not answer after 1 s"):
        supervisor.wait_ready("worker", seconds=1, give_up=lambda: False)


def test_stopping_ends_the_last_started_first(supervisor: Supervisor, tmp_path: Path):
    order = tmp_path / "order"
    for name in ("first", "second"):
        words = f"trap 'echo {name} >> {order}; exit' TERM; touch {tmp_path}/{name}; "
        supervisor.start(service(f"{words} sleep 300 & wait", name=name))
        assert wait_until((tmp_path / name).exists, seconds=10)

    began = time.monotonic()
    supervisor.stop()

    assert order.read_text().split() == ["second", "first"]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("ignored", [signal.SIGTERM, signal.SIGINT])
def test_what_whoever_starts_it_ignores_a_command_hears_all_the_same(
    start: "Start", tmp_path: Path, ignored: signal.Signals
):
    """As where a script starts `up` with ``&``: Dagster's processes would take no notice of us."""
    told, ready = tmp_path / "told", tmp_path / "ready"
    words = f"trap 'touch {told}; exit' {ignored.name[3:]}; echo $$ > {ready}; sleep 300 & wait"
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        start(tethered(words))
    finally:
        signal.signal(ignored, before)
    assert wait_until(lambda: ready.exists() and ready.read_text() != "", seconds=10)

    os.kill(int(ready.read_text()), ignored)

    assert wait_until(told.exists, seconds=5)


def service(
    command: str, *, name: str = "worker", is_ready: Callable[[], bool] = lambda: True
) -> Service:
    return Service(
        name=name,
        command=["bash", "-c", command],
        environment=os.environ,
        directory=Path("/"),
        is_ready=is_ready,
        shown=lambda line: line.upper() if line == "news" else None,
    )


def tend_until(supervisor: Supervisor, condition: Callable[[], bool]) -> bool:
    def tended() -> bool:
        supervisor.tend()
        return condition()

    return wait_until(tended, seconds=30)


def lives(command: str) -> bool:
    def said(member: psutil.Process) -> str:
        with suppress(psutil.NoSuchProcess):  # it may end while we look
            return " ".join(member.cmdline())
        return ""

    return any(said(member) == command for member in psutil.Process().children(recursive=True))


def wait_for_descendants(
    parent: "subprocess.Popen[bytes]", *, at_least: int
) -> list[psutil.Process]:
    def family() -> list[psutil.Process]:
        return psutil.Process(parent.pid).children(recursive=True)

    assert wait_until(lambda: len(family()) >= at_least, seconds=10)
    return family()


def all_gone(family: list[psutil.Process]) -> bool:
    return not any(
        member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family
    )
