"""New code is taken up by a running `up`, with real processes and a real run under way."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.warm.ledger import Ledger, started_at
from tests.runtime.installations import Start, Up, can_launch, launch

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

CODE = """
import time
from pathlib import Path

import dagster as dg

HERE = Path(__file__).parent
VERSION = "{version}"


@dg.op
def write(context) -> None:
    (HERE / f"{{context.run.run_id}}.done").write_text(VERSION)


@dg.op
def wait(context) -> None:
    (HERE / f"{{context.run.run_id}}.began").touch()
    while not (HERE / "go").exists():
        time.sleep(0.02)
    (HERE / f"{{context.run.run_id}}.done").write_text(VERSION)


@dg.job(executor_def=dg.in_process_executor)
def short():
    write()


@dg.job(executor_def=dg.in_process_executor)
def long():
    wait()


{more}
defs = dg.Definitions(jobs=[short, long, {jobs}])
"""

ADDED = """
@dg.job(executor_def=dg.in_process_executor)
def added():
    write()
"""


def test_the_next_run_uses_changed_code_and_the_one_under_way_ends_in_the_old_host(
    start: Start, home: Path
):
    write_code(home, "first")
    up = start("reloaded_code")
    dagster = up.where()["dagster"]
    under_way = launch(dagster, "long")
    wait_for(home / f"{under_way}.began", up)
    pid = Ledger.of(home).read(under_way).pid

    write_code(home, "second", more=ADDED, jobs="added")
    done = reload(home)
    after = launch(dagster, "short")
    wait_for(home / f"{after}.done", up)
    alive_meanwhile = started_at(pid) is not None
    can_launch_what_is_new = wait_until(lambda: can_launch(dagster, "added"), seconds=30)
    (home / "go").touch()
    wait_for(home / f"{under_way}.done", up)

    assert done.returncode == 0, done.stderr
    assert (home / f"{after}.done").read_text() == "second"
    assert alive_meanwhile
    assert can_launch_what_is_new
    assert (home / f"{under_way}.done").read_text() == "first"
    up.wait_for("the old runs has ended", seconds=20)
    up.wait_for("the old code has ended", seconds=20)
    assert said(done) == [
        "loading the code in a new code server and a new host of runs",
        "runs that start from now on use the new code; those under way go on in the old host",
        "Dagster's pages show the new definitions",
        "reloaded",
    ]


def test_code_that_does_not_load_changes_nothing(start: Start, home: Path):
    write_code(home, "first")
    up = start("reloaded_code")
    dagster = up.where()["dagster"]

    (home / "reloaded_code.py").write_text("import no_such_module")
    done = reload(home)
    write_code(home, "unused")
    after = launch(dagster, "short")
    wait_for(home / f"{after}.done", up)

    assert done.returncode == 1
    assert "No module named 'no_such_module'" in done.stderr
    assert "nothing was changed" in done.stderr
    assert (home / f"{after}.done").read_text() == "first"


def test_where_nothing_runs_a_reload_says_so(home: Path):
    done = reload(home)

    assert done.returncode == 1
    assert f"nothing runs in {home} that could reload" in done.stderr


def write_code(home: Path, version: str, *, more: str = "", jobs: str = "") -> None:
    (home / "reloaded_code.py").write_text(CODE.format(version=version, more=more, jobs=jobs))


def reload(home: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "sync_pipelines.cli", "reload"],
        env={**os.environ, "SYNC_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def said(done: "subprocess.CompletedProcess[str]") -> Sequence[str]:
    return (done.stdout + done.stderr).splitlines()


def wait_for(path: Path, up: Up) -> None:
    assert wait_until(path.exists, seconds=60), "\n".join(up.lines)
