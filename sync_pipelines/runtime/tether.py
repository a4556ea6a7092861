"""Runs one command, and takes everything it started along when the parent dies.

A program of its own, in the standard library alone, so that it starts in a few
milliseconds: ``python tether.py PARENT_PID GRACE_SECONDS COMMAND...``. It adopts
whatever the command leaves behind (PR_SET_CHILD_SUBREAPER) and is told by the
kernel when its parent is gone, however that died (PR_SET_PDEATHSIG), see prctl(2).

Law: when it exits, no descendant of the command is alive.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
PAUSE_SECONDS = 0.5
GENTLE_SHARE = 1 / 3
"""Of the grace period: how long the command may end its own children by itself."""


def main(arguments: list[str]) -> int:
    """Run the command; its exit code, or 128 and the signal's number, as shells say it."""
    parent, grace_seconds, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    for number in WATCHED:  # who was started by a script's & ignores some, and so would we
        signal.signal(number, signal.SIG_DFL)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # It died before the kernel was asked to tell.
        return 1
    child = os.fork()
    if child == 0:
        _become(command)
    return Tether(child, grace_seconds).hold()


class Tether:
    """Waits for the command, and ends it when told to."""

    def __init__(self, child: int, grace_seconds: float) -> None:
        self._child = child
        self._grace_seconds = grace_seconds
        self._exit_code: int | None = None
        self._told_at: float | None = None
        self._asked: set[int] = set()

    def hold(self) -> int:
        """Return when the command and all its descendants are gone."""
        while True:
            received = signal.sigtimedwait(WATCHED, PAUSE_SECONDS)
            self._reap()
            told = received is not None and received.si_signo != signal.SIGCHLD
            if told or self._exit_code is not None:
                self._end()
            if self._told_at is not None:
                self._press(time.monotonic() - self._told_at)
            if self._exit_code is not None and not any(_descendants()):
                return self._exit_code

    def _end(self) -> None:
        if self._told_at is None:
            self._told_at = time.monotonic()
            if self._exit_code is None:
                _signal(self._child, signal.SIGTERM)

    def _press(self, seconds: float) -> None:
        """End what remains: asked once, and at last not asked."""
        if seconds > self._grace_seconds:
            for pid in _descendants():
                _signal(pid, signal.SIGKILL)
        elif seconds > self._grace_seconds * GENTLE_SHARE or self._exit_code is not None:
            for pid in set(_descendants()) - self._asked - {self._child}:
                self._asked.add(pid)
                _signal(pid, signal.SIGTERM)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child:
                    code = os.waitstatus_to_exitcode(status)
                    self._exit_code = code if code >= 0 else 128 - code


def _become(command: list[str]) -> None:
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        os.execvp(command[0], command)
    finally:  # Reached only if the command could not be run.
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"prctl({option})")


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _descendants() -> Iterator[int]:
    """Every living process below this one, by the parents that /proc names."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # After the name, which may hold anything: state, parent, ...
                state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                if state != "Z":
                    children.setdefault(int(parent), []).append(int(entry.name))
    waiting = [os.getpid()]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            waiting.append(pid)
            yield pid


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
