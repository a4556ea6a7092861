"""The processes of one `up`: how each is started, and how one knows that it answers.

Law: Dagster finds the code server by one name, whichever process serves it: the name is a
link, which is only ever moved to a server that answers.
"""

import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import yaml

from sync_pipelines.runtime.console import Console
from sync_pipelines.runtime.launching import LOCATION
from sync_pipelines.runtime.places import private_socket_directory
from sync_pipelines.runtime.processes import Service
from sync_pipelines.runtime.warm.meeting import SUPERVISED, socket_path
from sync_pipelines.runtime.webserver import PATH

START_SECONDS = 120.0
RUN_STATUS_EVENTS_PER_TICK = "200"
"""Dagster's own limit, 5 a tick, would let settling fall behind at a few runs a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Where a server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """How this machine reaches it, also where it listens on every address."""
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What each process of an installation needs. ``environment`` is what `up` was given."""

    home: Path
    database_url: str
    port: int
    gateway_at: At
    definitions: str
    environment: Mapping[str, str]

    @property
    def dagster_url(self) -> str:
        """Where the webserver answers."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def prepare(self) -> None:
        """Write Dagster's files, and remove sockets that a killed `up` has left."""
        self._dagster_home.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(
            Path(__file__).with_name("dagster.yaml"), self._dagster_home / "dagster.yaml"
        )
        server = {"socket": str(self._code_name), "location_name": LOCATION}
        self._workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        for left_over in (*self._sockets.glob("code*.sock"), socket_path(self.home)):
            left_over.unlink(missing_ok=True)
        self.serve_code_at(self.new_code_socket())

    def new_code_socket(self) -> Path:
        """Where a further code server may listen."""
        name = self._code_name
        taken = name.readlink() if name.is_symlink() else None
        paths = (self._sockets / f"code.{number}.sock" for number in count(1))
        return next(path for path in paths if path != taken and not path.exists())

    def serve_code_at(self, path: Path) -> None:
        """Let Dagster find its code server there from now on."""
        fresh = self._code_name.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path)
        fresh.replace(self._code_name)

    def code(self, path: Path | None = None) -> Service:
        """The code server, at a path of its own if it is to be tried first."""
        path = path or self._code_name.readlink()
        command = ["dagster", "api", "grpc", "--socket", str(path)]
        command += ["--module-name", self.definitions, "--location-name", LOCATION]
        return self._service("code", *command, is_ready=lambda: listens(path))

    def runs(self) -> Service:
        """The warm host. A second one is ready when it has taken the first one's place."""
        path = socket_path(self.home)
        before = _inode(path)
        command = ["sync_pipelines.runtime.warm", "--module", self.definitions]
        return self._service(
            "runs",
            *(*command, "--socket", str(path)),
            is_ready=lambda: _inode(path) != before and listens(path),
        )

    def web(self) -> Service:
        """Dagster's webserver, on the loopback address only."""
        command = ["dagster_webserver", "--workspace", str(self._workspace)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--path-prefix", PATH]
        return self._service("web", *command, is_ready=lambda: _serves(self.dagster_url))

    def daemon(self) -> Service:
        """Schedules, sensors, the run queue."""
        command = ["dagster._daemon", "run", "--workspace", str(self._workspace)]
        return self._service("daemon", *command, is_ready=lambda: _daemons_live(self.dagster_url))

    def gateway(self) -> Service:
        """The API, webhooks and pages."""
        at = self.gateway_at
        command = ["sync_pipelines.cli", "serve", "--host", at.host, "--port", str(at.port)]
        live = f"{at.url}/health/live"
        return self._service("gateway", *command, is_ready=lambda: _answers(live))

    def _service(self, name: str, *command: str, is_ready: Callable[[], bool]) -> Service:
        environment = {
            "DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT": RUN_STATUS_EVENTS_PER_TICK,
            **self.environment,
            "DAGSTER_HOME": str(self._dagster_home),
            "SYNC_HOME": str(self.home),
            "SYNC_DATABASE_URL": self.database_url,
            SUPERVISED: "up",
            "PYTHONUNBUFFERED": "1",
        }
        return Service(
            name=name,
            command=[sys.executable, "-m", *command],
            environment=environment,
            directory=self._dagster_home,
            is_ready=is_ready,
            shown=Console(),
        )

    @property
    def _dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def _workspace(self) -> Path:
        return self._dagster_home / "workspace.yaml"

    @property
    def _sockets(self) -> Path:
        return private_socket_directory(self.home, "run")

    @property
    def _code_name(self) -> Path:
        return self._sockets / "code.sock"


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def listens(path: Path) -> bool:
    """Whether somebody answers on a socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _serves(url: str) -> bool:
    return _answers(f"{url}/server_info")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).is_success
    except httpx.TransportError:
        return False


def _daemons_live(url: str) -> bool:
    query = "{ instance { daemonHealth { allDaemonStatuses { required healthy } } } }"
    try:
        answer = httpx.post(f"{url}/graphql", json={"query": query}, timeout=10.0)
    except httpx.TransportError:
        return False
    if not answer.is_success:
        return False
    statuses = answer.json()["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    return all(status["healthy"] for status in statuses if status["required"])
