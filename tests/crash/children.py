"""Starts the warm parent of all children, hands it orders, and kills from outside."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from tests.crash.child import ROOT, Order


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended. ``steps`` are all it took, and those within commits."""

    killed: bool
    status: str = ""
    why: str = ""
    steps: tuple[int, int] = (0, 0)


class Children:
    """The warm parent of all children; see `tests.crash.child`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.child"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._hear() == ["ready"]

    def run(self, order: Order, *, kill_after: tuple[int, float] | None = None) -> End:
        """Run one attempt. ``kill_after``: so many seconds after its n-th commit has begun."""
        assert self._process.stdin is not None
        self._process.stdin.write(order.line())
        self._process.stdin.flush()
        pid, commits, status, why, steps = 0, 0, "", "", (0, 0)
        while True:
            word, *rest = self._hear()
            if word == "pid":
                pid = int(rest[0])
            elif word == "commit":
                commits += 1
                if kill_after is not None and kill_after[0] == commits:
                    sleep(kill_after[1])
                    # Its parent keeps its number from others until the next order.
                    os.kill(pid, signal.SIGKILL)
            elif word == "outcome":
                status, why = rest[0], " ".join(rest[1:])
            elif word == "steps":
                steps = (int(rest[0]), int(rest[1]))
            elif word == "end":
                killed = rest == ["killed"]
                assert killed or rest == ["0"], f"the child failed: {self._log.read_text()}"
                return End(killed, status, why, steps)

    def _hear(self) -> list[str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the parent of all children ended: {self._log.read_text()}"
        return line.split()

    def close(self) -> None:
        """No more children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
