"""Dagster runs that do nothing: warm ones, and those of Dagster as it comes.

Both have a code server of their own and the same kind of database; what is measured
begins when the launcher is asked and ends when the run has its final status. Whoever
waits for that asks the database himself: see `benchmarks.counting` for how the
statements of a run are told from his.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import psycopg
import yaml
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import GrpcServerTarget

from benchmarks.task import Task
from benchmarks.trivial import defs
from sync_pipelines.runtime.storage import SCHEMA, storage_url
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.warm.meeting import SUPERVISED, socket_path

MODULE = "benchmarks.trivial"
POLL_SECONDS = 0.005
START_SECONDS = 60
SHIPPED = Path(__file__).parent.parent / "dagster.yaml"
STOCK_URL = "SYNC_BENCH_STOCK_URL"
"""In each process's environment: where Dagster's own storage finds the database."""


@dataclass(frozen=True, slots=True)
class Runs:
    """An instance that launches runs of the trivial job, each a child of ``parent``."""

    instance: DagsterInstance
    workspace: WorkspaceRequestContext
    parent: int

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
def running(task: Task, *, runs_url: str | None = None) -> Iterator[Runs]:
    """Runs as the product launches them, or with ``task.stock`` as Dagster does by itself.

    ``runs_url`` is the URL by which runs, and they alone, reach the database.
    """
    environment = prepare(task)
    runs_environment = {**environment, **addresses(runs_url or task.catalog)}
    code = Path(task.destination) / "code.sock"
    with ExitStack() as stack:
        command = ["dagster", "api", "grpc", "--socket", str(code), "--module-name", MODULE]
        parent = stack.enter_context(process(command, code.exists, runs_environment))
        if not task.stock:
            host = socket_path(Path(task.destination))
            command = ["sync_pipelines.runtime.warm", "--module", MODULE, "--socket", str(host)]
            parent = stack.enter_context(process(command, host.exists, runs_environment))
        os.environ |= environment
        instance = stack.enter_context(DagsterInstance.get())
        target = GrpcServerTarget(
            host="localhost", port=None, socket=str(code), location_name="trivial"
        )
        context = stack.enter_context(WorkspaceProcessContext(instance, target))
        yield Runs(instance, context.create_request_context(), parent)


def prepare(task: Task, *, most_runs: int | None = None) -> Mapping[str, str]:
    """Make a new home of Dagster's, and all that stock Dagster needs before it starts.

    Gives the environment of its processes; ``most_runs`` is the queue's limit.
    """
    home = Path(task.destination) / "dagster"
    home.mkdir(parents=True)
    settings = _stock() if task.stock else yaml.safe_load(SHIPPED.read_text())
    if most_runs is not None:
        settings.setdefault("concurrency", {})["runs"] = {"max_concurrent_runs": most_runs}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with psycopg.connect(task.catalog, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        if task.stock:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
    return {
        **os.environ,
        **addresses(task.catalog),
        "SYNC_HOME": task.destination,
        "DAGSTER_HOME": str(home),
        SUPERVISED: "benchmark",
    }


def addresses(database: str) -> Mapping[str, str]:
    """Where a process finds the database."""
    stock = storage_url(database).render_as_string(hide_password=False)
    return {"SYNC_DATABASE_URL": database, STOCK_URL: stock}


def _stock() -> dict[str, Any]:
    return {
        "storage": {"postgres": {"postgres_url": {"env": STOCK_URL}}},
        "telemetry": {"enabled": False},
    }


@contextmanager
def process(
    command: Sequence[str], is_ready: Callable[[], bool], environment: Mapping[str, str]
) -> Iterator[int]:
    """A process of Python's until the block ends; its number, once it answers."""
    started = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if not wait_until(is_ready, seconds=START_SECONDS):
            raise RuntimeError(f"{command[0]} does not answer")
        yield started.pid
    finally:
        started.terminate()
        started.wait()
