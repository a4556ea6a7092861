"""Runs in this process, without Dagster: how they are called, and whether one is dead.

Law: a run is dead only if it was started on this machine and its process is gone. Of
a run elsewhere nothing is known.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PREFIX = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """A process on a machine; ``started`` tells it from a later one with the same number.

    It counts the kernel's ticks since the machine started, see proc(5): unlike a time of
    day, it does not move when the clock is set.
    """

    host: str
    pid: int
    started: int

    @classmethod
    def mine(cls) -> "LocalRun":
        """The run that is in our own process."""
        pid = os.getpid()
        started = _started(pid)
        assert started is not None, "this process is alive"
        return cls(host=socket.gethostname(), pid=pid, started=started)

    @classmethod
    def of(cls, run_id: str | None) -> "LocalRun | None":
        """Read it from an execution's ``run_id``; None for what is not a local run's."""
        parts = (run_id or "").split(":")
        if len(parts) != 4 or parts[0] != PREFIX:
            return None
        if not (parts[2].isdecimal() and parts[3].isdecimal()):
            return None
        return cls(host=parts[1], pid=int(parts[2]), started=int(parts[3]))

    @property
    def run_id(self) -> str:
        """``local:<host>:<pid>:<start>``."""
        return f"{PREFIX}:{self.host}:{self.pid}:{self.started}"

    @property
    def is_dead(self) -> bool:
        """Whether it certainly runs no more."""
        return self.host == socket.gethostname() and _started(self.pid) != self.started


def _started(pid: int) -> int | None:
    """When a process started, in ticks; None when there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold anything, brackets too: the fields after the last one are sure.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
