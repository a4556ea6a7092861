"""Starts processes, shows what they say, restarts the ones that die, and stops them all.

Laws: every process is started through `tether`, so none outlives us, however we
end; and nobody is ever signalled but by a pid that we started ourselves.
"""

import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Thread
from time import monotonic

from sync_pipelines.clock import system_clock
from sync_pipelines.logs import LogFormat
from sync_pipelines.runtime import tether
from sync_pipelines.runtime.errors import StartError
from sync_pipelines.runtime.lines import written_as
from sync_pipelines.runtime.waiting import wait_until

GRACE_SECONDS = 8.0
"""How long a process and its children have to end by themselves."""
STEADY_SECONDS = 120.0
"""A process that lived this long has not failed again, but anew."""
MOST_RESTARTS = 5
LONGEST_PAUSE_SECONDS = 30.0
EXCUSED_PAUSE_SECONDS = 5.0
LARGEST_LOG_BYTES = 20_000_000
LAST_LINES = 15

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process that must always run.

    ``shown`` turns a line of its output into what a person at the console reads, or
    None for nothing; the log keeps every line, in the format that is asked for.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    is_ready: Callable[[], bool]
    shown: Callable[[str], str | None]


@dataclass(slots=True)
class Running:
    """A process that was started, and the last that it has said."""

    service: Service
    process: "subprocess.Popen[bytes]"
    reader: Thread
    last_lines: deque[str]
    started_at: float = field(default_factory=monotonic)


class Supervisor:
    """The processes of one `up`. To be used from one thread, which must outlive them.

    ``excuse`` says what a process that died now cannot help; it is restarted as often as
    it takes.
    """

    def __init__(
        self,
        *,
        logs: Path,
        say: Say,
        log_format: LogFormat = "console",
        excuse: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._logs = logs
        self._log_format = log_format
        self._say = say
        self._excuse = excuse
        self._running: dict[str, Running] = {}
        self._failures: dict[str, int] = {}
        self._due: dict[str, tuple[Service, float]] = {}
        self._leaving: list[Running] = []

    def start(self, service: Service) -> None:
        """Start a process; see `wait_ready` for when it answers."""
        self._running[service.name] = self._started(service)

    def _started(self, service: Service) -> Running:
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", tether.__file__),
                *(str(os.getpid()), str(GRACE_SECONDS)),
                *service.command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=service.directory,
            env=dict(service.environment),
            start_new_session=True,  # Ctrl-C is for us; we stop the others in order.
        )
        last_lines: deque[str] = deque(maxlen=LAST_LINES)
        reader = Thread(target=self._read, args=(service, process, last_lines), daemon=True)
        reader.start()
        return Running(service, process, reader, last_lines)

    def wait_ready(self, name: str, *, seconds: float, give_up: Callable[[], bool]) -> None:
        """Wait until the process answers. Raises `StartError` if it dies or takes too long."""
        self._wait_ready(self._running[name], seconds=seconds, give_up=give_up)

    def _wait_ready(self, running: Running, *, seconds: float, give_up: Callable[[], bool]) -> None:
        def settled() -> bool:
            return give_up() or running.process.poll() is not None or running.service.is_ready()

        answered = wait_until(settled, seconds=seconds, every=0.2)
        if give_up():
            return
        if running.process.poll() is not None:
            raise StartError(self._describe(running, "ended while it was starting"))
        if not answered:
            raise StartError(self._describe(running, f"does not answer after {seconds:.0f} s"))

    def try_out(self, service: Service, *, seconds: float, give_up: Callable[[], bool]) -> Running:
        """Start a process beside the one of its name, and wait until it answers.

        Raises `StartError` if it does not; it is gone then.
        """
        candidate = self._started(service)
        self._leaving.append(candidate)  # until it is put in place: `stop` must find it
        try:
            self._wait_ready(candidate, seconds=seconds, give_up=give_up)
            if give_up():
                raise StartError(f"{service.name} was not waited for: everything stops")
        except StartError:
            self.discard(candidate)
            raise
        return candidate

    def discard(self, candidate: Running) -> None:
        """End a process that was tried out and is not wanted."""
        self._leaving.remove(candidate)
        candidate.process.terminate()  # its tether ends within the grace period
        candidate.process.wait()
        candidate.reader.join(timeout=2.0)

    def put_in_place(self, candidate: Running, *, end_old: bool) -> None:
        """Let a process be the one of its name; the one before it is told to end, or ends alone."""
        name = candidate.service.name
        self._leaving.remove(candidate)
        self._due.pop(name, None)
        self._failures.pop(name, None)
        before = self._running.pop(name, None)
        self._running[name] = candidate
        if before is not None:
            self._leaving.append(before)
            if end_old:
                before.process.terminate()

    def tend(self) -> None:
        """Notice processes that died, and restart those whose pause is over."""
        for leaving in list(self._leaving):
            if leaving.process.poll() is not None:
                self._leaving.remove(leaving)
                leaving.reader.join(timeout=2.0)
                self._say(f"the old {leaving.service.name} has ended")
        for running in list(self._running.values()):
            if running.process.poll() is not None:
                self._note_death(running)
        for service, due_at in list(self._due.values()):
            if monotonic() >= due_at:
                del self._due[service.name]
                self.start(service)

    def stop(self) -> None:
        """Stop all processes: the last started first, within about twice the grace period."""
        self._due.clear()
        for running in (*reversed(self._running.values()), *self._leaving):
            running.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                running.process.wait(2.0)
        for running in self._running.values():
            try:
                running.process.wait(GRACE_SECONDS + 2.0)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
            running.reader.join(timeout=2.0)
        self._running.clear()
        self._leaving.clear()

    def _note_death(self, running: Running) -> None:
        service = running.service
        del self._running[service.name]
        running.reader.join(timeout=2.0)
        code = running.process.returncode
        excuse = self._excuse()
        if excuse is not None:
            self._say(
                f"{service.name} died (exit code {code}): {excuse}; "
                f"restart in {EXCUSED_PAUSE_SECONDS:.0f} s; see {self._log_of(service.name)}"
            )
            self._due[service.name] = (service, monotonic() + EXCUSED_PAUSE_SECONDS)
            return
        steady = monotonic() - running.started_at >= STEADY_SECONDS
        failures = 1 if steady else self._failures.get(service.name, 0) + 1
        self._failures[service.name] = failures
        if failures > MOST_RESTARTS:
            raise StartError(self._describe(running, f"died {failures} times in a row"))
        pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (failures - 1))
        self._say(
            f"{service.name} died (exit code {code}); "
            f"restart {failures} of {MOST_RESTARTS} in {pause:.0f} s; "
            f"see {self._log_of(service.name)}"
        )
        self._due[service.name] = (service, monotonic() + pause)

    def _read(
        self, service: Service, process: "subprocess.Popen[bytes]", last_lines: deque[str]
    ) -> None:
        assert process.stdout is not None
        handler = RotatingFileHandler(
            self._log_of(service.name), maxBytes=LARGEST_LOG_BYTES, backupCount=2
        )
        written = written_as(self._log_format, service.name, system_clock)
        with process.stdout as output:
            for raw in output:
                line = raw.decode(errors="replace").rstrip()
                last_lines.append(line)
                handler.emit(logging.LogRecord(service.name, 0, "", 0, written(line), None, None))
                shown = service.shown(line)
                if shown is not None:
                    self._say(f"{service.name:<9} │ {shown}")
        handler.close()

    def _describe(self, running: Running, what: str) -> str:
        name = running.service.name
        running.reader.join(timeout=0.5)
        lines = "\n".join(f"  {line}" for line in running.last_lines)
        return f"{name} {what}; its log {self._log_of(name)} ends:\n{lines}"

    def _log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"
