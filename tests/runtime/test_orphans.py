"""A test process that is killed leaves nothing behind."""

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

ENDING = """
import os, signal, subprocess, sys
from tests.mortal import mortal
print(subprocess.Popen(mortal("sleep", "300")).pid, flush=True)
sys.stdin.readline()
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


def test_what_tests_started_ends_with_them_and_is_the_process_that_they_know():
    with subprocess.Popen(
        [sys.executable, "-c", ENDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        started = psutil.Process(int(tests.stdout.readline()))
        is_itself = wait_until(lambda: started.cmdline() == ["sleep", "300"], seconds=20)

        tests.communicate("\n")

    assert is_itself
    assert tests.returncode == -signal.SIGKILL
    assert wait_until(lambda: not started.is_running(), seconds=20)
