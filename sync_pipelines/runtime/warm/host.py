"""The process that has imported everything, and forks one child for each run.

Laws:

* It has one thread and no connection to anything while it serves, so that a fork is whole:
  grpc is used by children only, and so are database drivers once it has begun to fork.
* A child does nothing before its entry is on disk, and dies with its host.
* A child that dies is reported to Dagster by another child; until that has worked it is
  tried again, by the next host too.
* A new host takes the socket's place. The old one sees that, takes no more runs, and
  ends with its last child.
"""

import gc
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from time import monotonic, time

from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import initialize_repository_def_from_pointer

from sync_pipelines.defs import resources
from sync_pipelines.runtime.storage import make_ready
from sync_pipelines.runtime.warm import child
from sync_pipelines.runtime.warm.ledger import Entry, Ledger, started_at
from sync_pipelines.runtime.warm.wire import Answer, Start, answer, receive
from sync_pipelines.settings import Settings
from sync_pipelines.tracing import import_exporter

PRELOADED = (
    "adbc_driver_manager.dbapi",
    "adbc_driver_postgresql",
    "connectors.sql.destination",
    "connectors.sql.postgres.encode",
    "connectors.sql.postgres.ingest",
    "connectors.sql.postgres.reader",
    "connectors.sql.postgres.writer",
    "connectors.sql.source",
    "pyarrow",
    "psycopg",
    "psycopg2.extras",
    "dagster_postgres",
    "dagster._cli.api",
    "sync_pipelines.runtime.queue",
    "sync_pipelines.runtime.warm.logs",
    # What Dagster imports only when a run needs it:
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.storage.defs_state.blob_storage_state_storage",
    "dagster._core.storage.root",
    "dagster._core.system_config.composite_descent",
    "fsspec.implementations.local",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "upath.core",
    "upath.implementations.local",
    "watchdog.observers.polling",
)
LOOK_SECONDS = 1.0
BACKLOG = 512


class NotWholeError(RuntimeError):
    """A fork of this process would not be whole."""


def preload(module: str) -> None:
    """Import a code location as its runs will ask for it, and all that they use."""
    for name in PRELOADED:
        import_module(name)
    child.settings()
    settings = Settings()
    import_exporter(settings.otel_endpoint)
    pointer = ModuleCodePointer(module, "defs", str(Path.cwd()))
    initialize_repository_def_from_pointer(pointer).load_all_definitions()
    resources.prepare()
    if settings.database_url is not None:
        make_ready(settings.database_url.get_secret_value())
    check_whole()
    gc.collect()
    gc.freeze()


def check_whole() -> None:
    """Raise `NotWholeError` if something was started that a fork would tear."""
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise NotWholeError(f"there is more than one thread: {names}")
    if "grpc" in sys.modules:
        raise NotWholeError("grpc was imported, whose state does not survive a fork")


class Host:
    """Serves one socket until told to stop, or until another host has taken its place."""

    def __init__(self, path: Path, ledger: Ledger, *, idle_seconds: float | None = None) -> None:
        self._path = path
        self._ledger = ledger
        self._idle_seconds = idle_seconds
        self._busy_at = monotonic()
        self._running: dict[int, str] = {}
        self._burying: dict[int, str] = {}
        self._stopping = False
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)
        self._listener: socket.socket | None = self._bound()
        self._inode = path.stat().st_ino
        self._looked = 0.0

    def serve(self) -> None:
        """Fork runs until there is nothing left to do."""
        signal.set_wakeup_fd(self._woken)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while self._listener is not None or self._running or self._burying:
            watched: list[int] = [self._wake]
            if self._listener is not None:
                watched.append(self._listener.fileno())
            ready, _, _ = select.select(watched, [], [], LOOK_SECONDS)
            if self._wake in ready:
                with suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            self._reap()
            if self._listener is not None and self._listener.fileno() in ready:
                self._take(self._listener)
            if monotonic() - self._looked >= LOOK_SECONDS:
                self._looked = monotonic()
                self._look_around()

    def _bound(self) -> socket.socket:
        fresh = self._path.with_suffix(f".{os.getpid()}")
        fresh.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(fresh))
        fresh.chmod(0o600)
        listener.listen(BACKLOG)
        fresh.replace(self._path)
        return listener

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _take(self, listener: socket.socket) -> None:
        line, _ = listener.accept()
        with line:
            line.settimeout(5.0)
            start = receive(line)
            if start is not None:
                self._busy_at = monotonic()
                answer(line, self._start(start, line))

    def _start(self, start: Start, line: socket.socket) -> Answer:
        before = self._ledger.read(start.run_id)
        if before is not None and (before.is_alive or not start.resume):
            return Answer(pid=before.pid)
        try:
            pid = self._fork_run(start, line)
        except OSError as error:
            return Answer(error=f"no process for it: {error}")
        return Answer(pid=pid)

    def _fork_run(self, start: Start, line: socket.socket) -> int:
        may, go = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(go)
            self._let_go(line)
            work = partial(child.carry_out, start.run_id, resume=start.resume)
            child.become(lambda: work() if os.read(may, 1) else 1, parent=parent)
        os.close(may)
        self._running[pid] = start.run_id
        entry = Entry(run_id=start.run_id, pid=pid, started=started_at(pid) or 0.0)
        try:
            self._ledger.write(entry)
            os.write(go, b"!")
        finally:
            os.close(go)  # a child that was not told to go ends at once
        return pid

    def _bury(self, entry: Entry) -> None:
        """Tell Dagster that a run's process died, in a process that may use the database."""
        said = f"its process {entry.pid} {_ending(entry.exit_code)}"
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._let_go()
            child.become(partial(child.bury, entry.run_id, said), parent=parent)
        self._burying[pid] = entry.run_id

    def _let_go(self, *lines: socket.socket) -> None:
        """Close, in a child, what is the host's."""
        for end in (self._wake, self._woken):
            os.close(end)
        for line in (self._listener, *lines):
            if line is not None:
                line.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if (buried := self._burying.pop(pid, None)) is not None:
                if code == 0:
                    self._ledger.reported(buried)
                continue
            entry = self._ledger.ended(self._running.pop(pid), code)
            if entry is not None and code == 0:
                self._ledger.reported(entry.run_id)
            elif entry is not None:
                self._bury(entry)

    def _look_around(self) -> None:
        """Bury the dead of hosts before this one; see whether another took its place."""
        busy = {*self._running.values(), *self._burying.values()}
        for entry in self._ledger.entries():
            if not (entry.is_reported or entry.run_id in busy or entry.is_alive):
                self._bury(entry)
        self._ledger.forget_old(time())
        try:
            replaced = self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            replaced = True
        if busy:
            self._busy_at = monotonic()
        idle = monotonic() - self._busy_at
        is_done = self._stopping or (self._idle_seconds is not None and idle > self._idle_seconds)
        if self._listener is not None and (replaced or is_done):
            self._listener.close()
            self._listener = None
            if not replaced:
                self._path.unlink(missing_ok=True)
        if self._stopping:
            for pid in self._running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)


def _ending(code: int | None) -> str:
    if code is None:
        return "is gone, with the process that started it"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
