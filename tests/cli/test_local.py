"""Telling dead runs from living ones."""

import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sync_pipelines.runtime.local import LocalRun
from sync_pipelines.runtime.waiting import wait_until


def test_a_run_id_names_the_process_and_reads_back() -> None:
    mine = LocalRun.mine()

    assert mine.run_id.startswith(f"local:{socket.gethostname()}:{os.getpid()}:")
    assert LocalRun.of(mine.run_id) == mine
    assert not mine.is_dead


@pytest.mark.parametrize(
    "run_id", [None, "", "0c4a7e1e-6f2b-4f57-9b61-0a8f1ea0a1aa", "local:h:1", "local:h:x:1"]
)
def test_what_is_not_a_local_runs_id_is_none(run_id: str | None) -> None:
    assert LocalRun.of(run_id) is None


def test_a_process_that_ended_is_dead_even_before_its_parent_has_noticed() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        run = replace(LocalRun.mine(), pid=process.pid, started=_started(process.pid))
        alive = not run.is_dead
        process.kill()

        noticed = wait_until(lambda: run.is_dead, seconds=5)

    assert alive
    assert noticed
    assert run.is_dead


def test_another_process_with_the_same_number_does_not_keep_a_run_alive() -> None:
    mine = LocalRun.mine()

    assert replace(mine, started=mine.started - 1).is_dead


def test_nothing_is_known_of_a_run_on_another_machine() -> None:
    assert not replace(LocalRun.mine(), host="elsewhere", pid=2**22 + 1).is_dead


def _started(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])
