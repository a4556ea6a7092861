"""Dagster runs that do nothing: warm ones, and those of Dagster as it comes.

Both have a code server of their own and the same kind of database; what is measured
begins when the launcher is asked and ends when the run has its final status.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from time import perf_counter, sleep
from typing import Any

import yaml
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import GrpcServerTarget

from benchmarks.task import Task
from benchmarks.trivial import defs
from sync_pipelines.runtime.storage import storage_url
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.warm.meeting import SUPERVISED, socket_path

MODULE = "benchmarks.trivial"
POLL_SECONDS = 0.005
START_SECONDS = 60
SHIPPED = Path(__file__).parent.parent / "dagster.yaml"


@dataclass(frozen=True, slots=True)
class Runs:
    """An instance that launches runs of the trivial job."""

    instance: DagsterInstance
    workspace: WorkspaceRequestContext

    def one(self) -> int:
        """From launch to finish of one run."""
        run_id = self._launch()
        while not self._is_finished(run_id):
            sleep(POLL_SECONDS)
        return 1

    def many(self, number: int, *, at_once: int) -> int:
        """So many runs, so many of them at a time."""
        left, going = number, set[str]()
        while left or going:
            while left and len(going) < at_once:
                going.add(self._launch())
                left -= 1
            going -= {run_id for run_id in going if self._is_finished(run_id)}
            sleep(POLL_SECONDS)
        return number

    def _launch(self) -> str:
        (location,) = self.workspace.code_locations
        (repository,) = location.get_repositories().values()
        job = repository.get_full_job("trivial")
        run = self.instance.create_run_for_job(
            job_def=defs.resolve_job_def("trivial"),
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
        )
        self.instance.launch_run(run.run_id, self.workspace)
        return run.run_id

    def _is_finished(self, run_id: str) -> bool:
        run = self.instance.get_run_by_id(run_id)
        if run is None or not run.is_finished:
            return False
        if not run.is_success:
            raise RuntimeError(f"run {run_id} is {run.status}")
        return True


@contextmanager
def running(task: Task) -> Iterator[Runs]:
    """Runs as the product launches them, or with ``task.stock`` as Dagster does by itself."""
    home = Path(task.destination)
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True)
    os.environ |= {
        "SYNC_HOME": str(home),
        "DAGSTER_HOME": str(dagster_home),
        "SYNC_DATABASE_URL": task.catalog,
        SUPERVISED: "benchmark",
    }
    if task.stock:
        (dagster_home / "dagster.yaml").write_text(yaml.safe_dump(_stock(task.catalog)))
    else:
        copyfile(SHIPPED, dagster_home / "dagster.yaml")
    code = home / "code.sock"
    with ExitStack() as stack:
        command = ["dagster", "api", "grpc", "--socket", str(code), "--module-name", MODULE]
        stack.enter_context(started(command, code.exists))
        if not task.stock:
            host = socket_path(home)
            command = ["sync_pipelines.runtime.warm", "--module", MODULE, "--socket", str(host)]
            stack.enter_context(started(command, host.exists))
        instance = stack.enter_context(DagsterInstance.get())
        target = GrpcServerTarget(
            host="localhost", port=None, socket=str(code), location_name="trivial"
        )
        context = stack.enter_context(WorkspaceProcessContext(instance, target))
        yield Runs(instance, context.create_request_context())


def _stock(database: str) -> Mapping[str, Any]:
    url = storage_url(database).render_as_string(hide_password=False)
    return {"storage": {"postgres": {"postgres_url": url}}, "telemetry": {"enabled": False}}


@contextmanager
def started(command: list[str], is_ready: Callable[[], bool]) -> Iterator[None]:
    """A module in a process of its own, once it is ready, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if not wait_until(is_ready, seconds=START_SECONDS):
            raise RuntimeError(f"{command[0]} does not answer")
        yield
    finally:
        process.terminate()
        process.wait()


def per_minute(runs: Runs, number: int, *, at_once: int) -> float:
    """How many runs a minute are carried out, so many at a time."""
    started = perf_counter()
    runs.many(number, at_once=at_once)
    return number / (perf_counter() - started) * 60
