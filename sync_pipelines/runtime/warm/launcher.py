"""Dagster's door to warm runs; named by dagster.yaml.

Law: a run is called dead only where its process is known to be gone. Whether the host
answers says nothing about that: the ledger and the process table do.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

from dagster import DagsterRun
from dagster._config.config_schema import UserConfigSchema
from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.launcher.base import (
    CheckRunHealthResult,
    LaunchRunContext,
    ResumeRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.warm.ledger import Ledger
from sync_pipelines.runtime.warm.meeting import SUPERVISED, socket_path
from sync_pipelines.runtime.warm.wire import Start, ask
from sync_pipelines.settings import Settings

DEFINITIONS = "sync_pipelines.definitions"

IDLE_SECONDS = 60
"""A host that nobody looks after ends when it has had nothing to do for so long."""

HOST_SECONDS = 30.0
"""How long a launch waits for a host: one that is replaced is back in five seconds."""

RETRY_SECONDS = 0.2


class WarmRunLauncher(RunLauncher, ConfigurableClass):
    """Asks the installation's warm host to fork a process for each run.

    `sync-pipelines up` looks after the host. Where nobody does, as under ``dagster dev``,
    the launcher starts one, which ends when there has been nothing to do for a while.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._home = Settings().home_path
        self._ledger = Ledger.of(self._home)
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """How dagster.yaml named it."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Nothing: the home is the installation's."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Dagster's way of making one."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Give the run a process; returns once it has one."""
        self._start(Start(run_id=context.dagster_run.run_id))

    @property
    def supports_resume_run(self) -> bool:
        """A run whose process was lost can be gone on with."""
        return True

    def resume_run(self, context: ResumeRunContext) -> None:
        """Give a run another process, its own being gone."""
        self._start(Start(run_id=context.dagster_run.run_id, resume=True))

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run's process, which then cancels itself; False if it has none."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        entry = self._ledger.read(run_id)
        if entry is None or not entry.is_alive:
            return False
        self._instance.report_run_canceling(run)
        with suppress(ProcessLookupError):
            os.kill(entry.pid, signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Dagster may ask after any run."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """How a run's process is; Dagster fails the run for anything but alive and well."""
        entry = self._ledger.read(run.run_id)
        if entry is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "no process was ever given to it")
        worker = str(entry.pid)
        if entry.is_alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=worker)
        if entry.exit_code == 0:
            return CheckRunHealthResult(WorkerStatus.SUCCESS, run_worker_id=worker)
        said = f"process {entry.pid} is gone (exit code {entry.exit_code})"
        return CheckRunHealthResult(WorkerStatus.FAILED, said, run_worker_id=worker)

    def _start(self, start: Start) -> None:
        until = monotonic() + HOST_SECONDS
        while True:
            try:
                answer = ask(socket_path(self._home), start, seconds=HOST_SECONDS)
                break
            except OSError as error:
                if self._has_process(start):
                    return
                if monotonic() > until:
                    raise DagsterLaunchFailedError(  # type: ignore[no-untyped-call]
                        f"the host of warm runs in {self._home} does not answer: {error}"
                    ) from error
                if SUPERVISED not in os.environ:
                    spawn_host(self._home)
                sleep(RETRY_SECONDS)
        if answer.error is not None:
            raise DagsterLaunchFailedError(  # type: ignore[no-untyped-call]
                f"run {start.run_id} was not started: {answer.error}"
            )

    def _has_process(self, start: Start) -> bool:
        """Whether the host forked before it fell silent."""
        entry = self._ledger.read(start.run_id)
        return entry is not None and (entry.is_alive or not start.resume)


def spawn_host(home: Path) -> None:
    """Start a host that nobody looks after, unless somebody is just doing that."""
    socket = socket_path(home)
    with socket.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        command = [sys.executable, "-m", "sync_pipelines.runtime.warm", "--module", DEFINITIONS]
        command += ["--socket", str(socket), "--idle-seconds", str(IDLE_SECONDS)]
        environment = {**os.environ, "SYNC_HOME": str(home)}
        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_until(socket.exists, seconds=HOST_SECONDS)
