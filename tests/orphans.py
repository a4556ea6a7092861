"""Clears away what a killed test process leaves behind: PostgreSQL servers and their data.

A process of its own, as whoever gets SIGKILL clears nothing away:
``python -m tests.orphans PID DIRECTORY``.
"""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sync_pipelines.runtime.errors import PostgresError
from sync_pipelines.runtime.postgres import discard
from sync_pipelines.runtime.waiting import wait_until

PATIENCE_SECONDS = 60.0
"""How long other processes of the tests may go on using a server."""


@contextmanager
def cleared_if_killed(directory: Path) -> Iterator[None]:
    """Should this process die within the context, all homes in the directory go with it."""
    guard = subprocess.Popen(
        [sys.executable, "-m", "tests.orphans", str(os.getpid()), str(directory)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends the tests' whole group leaves it to its work
    )
    try:
        yield
    finally:
        guard.kill()
        guard.wait()


def clear(directory: Path) -> None:
    """Stop every server whose home lies in the directory, and remove it unless one is in use."""
    if wait_until(lambda: _discarded(directory), seconds=PATIENCE_SECONDS):
        shutil.rmtree(directory, ignore_errors=True)


def _discarded(directory: Path) -> bool:
    kept = False
    for lock in sorted(directory.rglob("postgres.lock")):
        try:
            discard(lock.parent)
        except PostgresError:  # somebody uses it still
            kept = True
    return not kept


def _outlive(pid: int) -> None:
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        select.select([process], [], [])


if __name__ == "__main__":
    _outlive(int(sys.argv[1]))
    clear(Path(sys.argv[2]))
