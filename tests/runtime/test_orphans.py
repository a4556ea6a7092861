"""A test process that is killed leaves no server behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from sync_pipelines.runtime.waiting import wait_until

KILLED = """
import os, signal, sys
from pathlib import Path
from sync_pipelines.runtime.postgres import embedded
from sync_pipelines.runtime.postmaster import find
from tests.orphans import cleared_if_killed
tests = Path(sys.argv[1])
tests.mkdir()
with cleared_if_killed(tests), embedded(tests / "home") as server:
    print(find(server.place).pid, server.place.base, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_server_and_the_data_of_tests_that_were_killed_go_with_them(home: Path):
    tests = home / "tests"

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tests)], stdout=subprocess.PIPE, text=True, check=False
    )

    pid, base = killed.stdout.split()
    assert killed.returncode == -signal.SIGKILL
    assert wait_until(lambda: not psutil.pid_exists(int(pid)), seconds=60)
    assert wait_until(lambda: not Path(base).exists() and not tests.exists(), seconds=30)
