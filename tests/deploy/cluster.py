"""What deploy/celery describes, as processes of one machine: code server, daemon, workers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from dagster import DagsterInstance

from sync_pipelines.runtime.waiting import wait_until

ROOT = Path(__file__).parents[2]
CELERY = ROOT / "deploy" / "celery"
SLOTS = 2


@dataclass
class Cluster:
    """The shipped files with ports of the test's own, and patience as short as a test's."""

    directory: Path
    broker: str
    database_url: str
    secret_key: str
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def dagster_home(self) -> Path:
        return self.directory / "dagster"

    @property
    def environment(self) -> dict[str, str]:
        """What .env.example names, and where this checkout is."""
        kept = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
        return kept | {
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT": "200",
            "SYNC_DATABASE_URL": self.database_url,
            "SYNC_SECRET_KEY": self.secret_key,
            "SYNC_HOME": str(self.directory / "home"),
            "CELERY_BROKER_URL": f"{self.broker}/0",
            "CELERY_RESULT_BACKEND": f"{self.broker}/1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.directory)]),
        }

    def configure(self) -> None:
        self.dagster_home.mkdir()
        shutil.copy(CELERY / "dagster_celery_config.py", self.directory)
        settings = yaml.safe_load((CELERY / "dagster.yaml").read_text())
        settings["concurrency"]["runs"]["max_concurrent_runs"] = 2 * SLOTS
        settings["run_monitoring"] |= {"start_timeout_seconds": 30, "poll_interval_seconds": 5}
        (self.dagster_home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        workspace = yaml.safe_load((CELERY / "workspace.yaml").read_text())
        workspace["load_from"][0]["grpc_server"]["port"] = _free_port()
        self.workspace.write_text(yaml.safe_dump(workspace))

    @property
    def workspace(self) -> Path:
        return self.directory / "workspace.yaml"

    def start(self, *, definitions: str) -> None:
        """Everything but the workers, which come one by one."""
        port = yaml.safe_load(self.workspace.read_text())["load_from"][0]["grpc_server"]["port"]
        code = ["dagster", "api", "grpc", "--host", "127.0.0.1", "--port", str(port)]
        code += ["--module-name", definitions, "--location-name", "sync_pipelines"]
        self._spawn("code", *code)
        self.start_worker("one")
        self.start_worker("two")
        assert wait_until(lambda: _listens(port), seconds=120), self.logs()
        self._spawn("daemon", "dagster._daemon", "run", "--workspace", str(self.workspace))

    def start_worker(self, name: str) -> None:
        worker = ["celery", "-A", "dagster_celery.app", "worker", "--queues", "dagster"]
        self._spawn(name, *worker, "--concurrency", str(SLOTS), "--hostname", f"{name}@%h")

    def family(self, name: str) -> list[psutil.Process]:
        """A process, and below it, for a worker, those that run its tasks."""
        root = psutil.Process(self.processes[name].pid)
        return [root, *root.children(recursive=True)]

    def pids(self, name: str) -> set[int]:
        return {process.pid for process in self.family(name)}

    def signal(self, name: str, number: int) -> None:
        for process in self.family(name):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def logs(self) -> str:
        """The end of what every process wrote."""
        return "\n".join(
            f"{name}: {(self.directory / f'{name}.log').read_text()[-4000:]}"
            for name in self.processes
        )

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        """Dagster's own records; the environment must be the cluster's."""
        with DagsterInstance.from_config(str(self.dagster_home)) as instance:
            yield instance

    def stop(self) -> None:
        families = [member for name in self.processes for member in self._left(name)]
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(families, timeout=5)
        for left in alive:
            left.kill()
        for process in self.processes.values():
            process.wait()

    def _left(self, name: str) -> list[psutil.Process]:
        return self.family(name) if self.processes[name].poll() is None else []

    def _spawn(self, name: str, *command: str) -> None:
        with (self.directory / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment,
                cwd=self.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
