"""The code server and the daemon, each by itself, so that one can be killed and kept down."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import yaml

from sync_pipelines.runtime import tether, up
from sync_pipelines.runtime.launching import LOCATION
from sync_pipelines.runtime.services import listens
from sync_pipelines.runtime.waiting import wait_until

DAGSTER_YAML = Path(up.__file__).with_name("dagster.yaml")


@dataclass
class Services:
    """One home's code server and daemon on a database; the test is their supervisor."""

    home: Path
    database_url: str
    most_runs: int = 15
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
        return kept | {
            "DAGSTER_HOME": str(self.home),
            "SYNC_HOME": str(self.home),
            "SYNC_DATABASE_URL": self.database_url,
        }

    def prepare(self) -> None:
        settings = yaml.safe_load(DAGSTER_YAML.read_text())
        settings["concurrency"]["runs"]["max_concurrent_runs"] = self.most_runs
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        server = {"socket": str(self.home / "code.sock"), "location_name": LOCATION}
        workspace = {"load_from": [{"grpc_server": server}]}
        (self.home / "workspace.yaml").write_text(yaml.safe_dump(workspace))

    def start_code(self) -> None:
        socket = self.home / "code.sock"
        command = ["dagster", "api", "grpc", "--socket", str(socket)]
        command += ["--module-name", up.DEFINITIONS, "--location-name", LOCATION]
        self._start("code", *command)
        assert wait_until(lambda: listens(socket), seconds=90), self.log("code")

    def start_daemon(self) -> None:
        workspace = str(self.home / "workspace.yaml")
        self._start("daemon", "dagster._daemon", "run", "--workspace", workspace)

    def kill_daemon(self) -> None:
        """SIGKILL, which leaves it no time for anything; nobody starts it again."""
        tethered = self.processes.pop("daemon")
        for child in psutil.Process(tethered.pid).children():
            child.kill()
        tethered.wait(30)

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            process.wait(30)

    def cli(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "sync_pipelines.cli", *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()[-4000:]

    def _start(self, name: str, *command: str) -> None:
        tethered = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), "8"]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*tethered, sys.executable, "-m", *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=dict(self.environment),
                start_new_session=True,
            )
