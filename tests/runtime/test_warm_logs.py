"""What a step prints is kept in Dagster's files and passed on, without further processes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance

from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.warm.logs import WarmLogManager

KEY = ["run", "compute_logs", "step"]

PROGRAM = """
import os, subprocess, sys, time
from sync_pipelines.runtime.warm.logs import WarmLogManager

manager = WarmLogManager(sys.argv[1])
print("before", flush=True)
with manager.capture_logs(["run", "compute_logs", "step"]):
    print("said by python")
    print("complained by python", file=sys.stderr)
    subprocess.run(["echo", "said by a child"], check=True)
    os.write(1, b"x" * 300_000 + b"\\n")
    sys.stdin.readline()
    print("said at the end")
print("after", flush=True)
"""


@pytest.fixture
def speaker(tmp_path):
    """A process that prints inside and outside a step, and waits for a line before its end.

    Its Python holds back what it prints, as it does by itself wherever its output is a pipe.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.communicate()


def test_all_that_is_printed_is_kept_and_passed_on(speaker, tmp_path):
    said, complained = speaker.communicate(b"\n")

    kept = WarmLogManager(str(tmp_path)).get_log_data(KEY)
    expected = b"said by python\nsaid by a child\n" + b"x" * 300_000 + b"\nsaid at the end\n"
    assert kept.stdout == expected
    assert kept.stderr == b"complained by python\n"
    assert said == b"before\n" + expected + b"after\n"
    assert complained == b"complained by python\n"
    assert WarmLogManager(str(tmp_path)).is_capture_complete(KEY)


def test_what_was_printed_before_a_kill_is_kept_and_no_process_is_left(speaker, tmp_path):
    path = Path(WarmLogManager(str(tmp_path)).get_captured_local_path(KEY, "out"))
    assert wait_until(lambda: path.exists() and path.stat().st_size > 300_000, seconds=30)
    family = psutil.Process(speaker.pid).children(recursive=True)

    os.kill(speaker.pid, signal.SIGKILL)
    speaker.wait()

    assert family == []
    assert path.read_bytes().startswith(b"said by python\nsaid by a child\nxxx")


def test_a_step_is_shown_while_it_runs(speaker):
    """A person at the console of `up` sees a line within a second, not at the step's end."""
    assert speaker.stdout is not None

    lines = [speaker.stdout.readline() for _ in range(3)]

    assert lines == [b"before\n", b"said by python\n", b"said by a child\n"]
    assert speaker.poll() is None


def test_dagster_keeps_the_files_where_it_always_did(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    module, name = WarmLogManager.__module__, WarmLogManager.__name__
    (tmp_path / "dagster.yaml").write_text(
        f"compute_logs: {{module: {module}, class: {name}}}\ntelemetry: {{enabled: false}}\n"
    )

    with DagsterInstance.get() as ours:
        manager = ours.compute_log_manager
        assert isinstance(manager, WarmLogManager)
        path = manager.get_captured_local_path(KEY, "out")

    assert path == str(tmp_path / "storage" / "run" / "compute_logs" / "step.out")
