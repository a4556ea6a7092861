"""Warm runs with real processes and a real database: none is lost, none is executed twice."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from sync_pipelines.engine.run_tags import EXECUTION
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.warm.host import NotWholeError, check_whole
from sync_pipelines.runtime.warm.ledger import Ledger, started_at
from sync_pipelines.runtime.warm.meeting import SUPERVISED, socket_path

pytestmark = pytest.mark.processes

PROGRAMS = Path(__file__).parent / "programs"


@dataclass
class Warm:
    """An installation's warm runs: a Dagster instance, and as many hosts as a test starts."""

    home: Path
    marks: Path
    instance: DagsterInstance
    hosts: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(self.home)

    def start_host(self) -> "subprocess.Popen[bytes]":
        """A new host, once it has taken the socket."""
        path = socket_path(self.home)
        before = path.stat().st_ino if path.exists() else None
        command = [sys.executable, "-m", "sync_pipelines.runtime.warm"]
        host = subprocess.Popen(
            [*command, "--module", "warm_code", "--socket", str(path)],
            env={**os.environ, "PYTHONPATH": f"{PROGRAMS}:{Path.cwd()}"},
        )
        self.hosts.append(host)
        assert wait_until(
            lambda: path.exists() and path.stat().st_ino != before, seconds=60, every=0.02
        )
        return host

    def launch(self, job: str, *, tags: Mapping[str, str] | None = None) -> DagsterRun:
        """A run of a job, handed to the launcher."""
        import warm_code  # type: ignore[import-not-found]

        pointer = ModuleCodePointer("warm_code", "defs", str(PROGRAMS))
        origin = ReconstructableRepository(pointer).get_reconstructable_job(job)
        run = self.instance.create_run_for_job(
            job_def=warm_code.defs.resolve_job_def(job),
            job_code_origin=origin.get_python_origin(),
            tags=tags,
        )
        self.instance.run_launcher.launch_run(LaunchRunContext(run, None))
        return run

    def running(self, *, tags: Mapping[str, str] | None = None) -> DagsterRun:
        """A run that is under way."""
        run = self.launch("long", tags=tags)
        self.wait(lambda: self.executions(run) == 1)
        return run

    def status(self, run: DagsterRun) -> DagsterRunStatus:
        return self.instance.get_run_by_id(run.run_id).status

    def health(self, run: DagsterRun) -> WorkerStatus:
        return self.instance.run_launcher.check_run_worker_health(run).status

    def executions(self, run: DagsterRun) -> int:
        """How often the run's step was carried out."""
        mark = self.marks / run.run_id
        return len(mark.read_text().splitlines()) if mark.exists() else 0

    def pid(self, run: DagsterRun) -> int:
        return self.ledger.read(run.run_id).pid

    def go(self) -> None:
        """Let runs of the long job end."""
        (self.marks / "go").touch()

    def wait(self, condition, seconds: float = 20) -> None:
        assert wait_until(condition, seconds=seconds, every=0.02)

    def ends(self, run: DagsterRun, status: DagsterRunStatus, seconds: float = 20) -> None:
        self.wait(lambda: self.status(run) is status, seconds)


@pytest.fixture
def warm(empty_postgres_url, tmp_path, monkeypatch) -> Iterator[Warm]:
    home, marks = tmp_path / "home", tmp_path / "marks"
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True)
    marks.mkdir()
    shutil.copyfile("dagster.yaml", dagster_home / "dagster.yaml")
    monkeypatch.setenv("SYNC_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    monkeypatch.setenv("SYNC_DATABASE_URL", empty_postgres_url)
    monkeypatch.setenv(SUPERVISED, "yes")
    monkeypatch.setenv("WARM_TEST_MARKS", str(marks))
    monkeypatch.syspath_prepend(str(PROGRAMS))
    with DagsterInstance.get() as instance:
        made = Warm(home, marks, instance)
        yield made
        made.go()
        for host in made.hosts:
            host.send_signal(signal.SIGCONT)
            host.terminate()
        for host in made.hosts:
            host.wait(20)


def test_a_run_is_carried_out_once_however_often_it_is_asked_for(warm: Warm):
    warm.start_host()
    run = warm.running()

    for _ in range(3):
        warm.instance.run_launcher.launch_run(LaunchRunContext(run, None))
    healthy = warm.health(run)
    warm.go()
    warm.ends(run, DagsterRunStatus.SUCCESS)
    warm.wait(lambda: warm.health(run) is WorkerStatus.SUCCESS)
    warm.instance.run_launcher.launch_run(LaunchRunContext(run, None))

    assert healthy is WorkerStatus.RUNNING
    assert warm.executions(run) == 1


def test_a_run_whose_process_is_killed_has_failed_within_five_seconds(warm: Warm):
    warm.start_host()
    run = warm.running()

    os.kill(warm.pid(run), signal.SIGKILL)

    warm.ends(run, DagsterRunStatus.FAILURE, seconds=5)
    assert warm.health(run) is WorkerStatus.FAILED
    assert warm.executions(run) == 1


def test_runs_die_with_their_host_and_the_next_one_reports_them(warm: Warm):
    """A run that goes on unwatched could be failed, retried, and so executed twice."""
    first = warm.start_host()
    run = warm.running()
    pid = warm.pid(run)

    first.kill()
    first.wait()
    warm.wait(lambda: started_at(pid) is None, seconds=5)
    gone = warm.health(run)
    warm.start_host()

    warm.ends(run, DagsterRunStatus.FAILURE)
    assert gone is WorkerStatus.FAILED
    assert warm.executions(run) == 1


def test_a_run_is_alive_as_long_as_its_process_whatever_its_host_answers(warm: Warm):
    host = warm.start_host()
    run = warm.running()

    host.send_signal(signal.SIGSTOP)
    health = warm.health(run)
    host.send_signal(signal.SIGCONT)
    warm.go()

    assert health is WorkerStatus.RUNNING
    warm.ends(run, DagsterRunStatus.SUCCESS)


def test_a_new_host_takes_over_and_the_old_one_ends_with_its_last_run(warm: Warm):
    old = warm.start_host()
    before = warm.running()

    warm.start_host()
    after = warm.launch("short")
    warm.ends(after, DagsterRunStatus.SUCCESS)
    unfinished = warm.status(before)
    warm.go()

    warm.ends(before, DagsterRunStatus.SUCCESS)
    assert old.wait(10) == 0
    assert unfinished is DagsterRunStatus.STARTED
    assert warm.executions(before) == 1


def test_a_launch_waits_for_a_host_that_is_coming_back(warm: Warm):
    late = threading.Timer(1.0, warm.start_host)
    late.start()

    run = warm.launch("short")
    late.join()

    warm.ends(run, DagsterRunStatus.SUCCESS)


def test_a_run_that_is_cancelled_ends_as_cancelled_and_its_process_is_gone(warm: Warm):
    """R82."""
    warm.start_host()
    run = warm.running()
    pid = warm.pid(run)

    ended = warm.instance.run_launcher.terminate(run.run_id)

    warm.ends(run, DagsterRunStatus.CANCELED)
    warm.wait(lambda: started_at(pid) is None)
    assert ended is True
    assert warm.instance.run_launcher.terminate(run.run_id) is False


@contextmanager
def resuming(warm: Warm) -> Iterator[DagsterInstance]:
    """Dagster from the moment that somebody lets it resume a run once; no host starts anew."""
    path = warm.home / "dagster" / "dagster.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["run_monitoring"]["max_resume_run_attempts"] = 1
    path.write_text(yaml.safe_dump(settings))
    with DagsterInstance.get() as instance:
        yield instance


def look_after(instance: DagsterInstance, run: DagsterRun) -> None:
    """What the daemon does with each run that is under way."""
    record = instance.get_run_record_by_id(run.run_id)
    monitor_started_run(instance, Mock(), record, logging.getLogger("monitoring"))


def test_where_dagster_may_resume_a_killed_run_it_goes_on_in_another_process_once(
    warm: Warm,
):
    """But not the run of an attempt: the engine retries that, at once, from where the data is."""
    warm.start_host()
    mended, doomed = warm.running(), warm.running()
    attempt = warm.running(tags={EXECUTION: "some"})

    with resuming(warm) as dagster:
        for run in (mended, doomed, attempt):
            os.kill(warm.pid(run), signal.SIGKILL)
        warm.ends(attempt, DagsterRunStatus.FAILURE, seconds=5)
        for run in (mended, doomed):
            warm.wait(lambda run=run: warm.ledger.read(run.run_id).is_reported)
            look_after(dagster, run)
            warm.wait(lambda run=run: warm.executions(run) == 2)
        look_after(dagster, mended)
        os.kill(warm.pid(doomed), signal.SIGKILL)
        warm.ends(doomed, DagsterRunStatus.FAILURE)
        warm.go()

    warm.ends(mended, DagsterRunStatus.SUCCESS)
    assert [warm.executions(run) for run in (mended, doomed, attempt)] == [2, 2, 1]


def test_a_process_number_that_is_used_again_is_not_taken_for_the_runs(warm: Warm):
    warm.start_host()
    run = warm.launch("short")
    warm.ends(run, DagsterRunStatus.SUCCESS)
    entry = warm.ledger.read(run.run_id)

    recycled = type(entry)(run_id=run.run_id, pid=os.getpid(), started=entry.started)

    assert not recycled.is_alive


def test_a_host_with_a_thread_refuses_to_fork():
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="left-over", daemon=True)
    thread.start()

    with pytest.raises(NotWholeError, match="left-over"):
        check_whole()
    done.set()


def test_a_host_that_has_imported_grpc_refuses_to_fork(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", Mock())
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # of other tests, some may be left

    with pytest.raises(NotWholeError, match="grpc"):
        check_whole()
