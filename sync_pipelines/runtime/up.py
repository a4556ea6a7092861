"""The one command: the database, Dagster's three processes, and an orderly end.

::

    up ── embedded PostgreSQL (unless SYNC_DATABASE_URL names one)
     ├─── code       the definitions, served on a socket
     ├─── runs       the warm host: runs are its children
     ├─── web        Dagster's webserver, on the loopback address only
     ├─── daemon     schedules, sensors, the run queue
     ├─── gateway    the API, webhooks and pages
     └ watch         a thread that says so when the daemon is dead

Law: whatever way `up` ends, nothing it started goes on, but for a database server
that was left by a kill and that the next start adopts.
"""

import fcntl
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import httpx
import psycopg
import yaml
from sqlalchemy import make_url

from sync_pipelines.runtime.console import Console
from sync_pipelines.runtime.errors import HomeInUseError, StartError
from sync_pipelines.runtime.launching import LOCATION
from sync_pipelines.runtime.places import private_socket_directory
from sync_pipelines.runtime.postgres import embedded
from sync_pipelines.runtime.processes import Say, Service, Supervisor
from sync_pipelines.runtime.session import DATABASE
from sync_pipelines.runtime.warm.meeting import SUPERVISED, socket_path
from sync_pipelines.runtime.watching import watching
from sync_pipelines.settings import Settings

DEFINITIONS = "sync_pipelines.definitions"
START_SECONDS = 120.0
PORTS_TRIED = 50
RUN_STATUS_EVENTS_PER_TICK = "200"
"""Dagster's own limit, 5 a tick, would let settling fall behind at a few runs a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where everything is, once it answers. ``stopping`` is set when `up` is to end."""

    dagster_url: str
    gateway_url: str
    database_url: str
    home: Path
    logs: Path
    stopping: Event


def run_up(
    settings: Settings,
    *,
    on_ready: Callable[[Endpoints], None],
    once: bool = False,
    say: Say = print,
    definitions: str = DEFINITIONS,
) -> None:
    """Run everything until Ctrl-C or SIGTERM, or with ``once`` until ``on_ready`` returns.

    ``on_ready`` is called in a thread of its own when everything answers; what it
    raises ends `up` and is raised here. Raises `StartError` if something does not
    start or keeps dying. Must be called in the main thread, where signals arrive.
    """
    with ExitStack() as stack:
        stopping = stack.enter_context(_signals(say))
        home = settings.home_path
        stack.enter_context(_only_one(home))
        database_url = _database(settings, home, stack, say)
        if stopping.is_set():
            return
        supervisor = Supervisor(logs=home / "logs", say=say)
        stack.callback(supervisor.stop)
        port = _free_port(
            settings.dagster_port, say, of="Dagster's pages are", by="SYNC_DAGSTER_PORT"
        )
        gateway_port = _free_port(
            settings.gateway_port, say, of="the gateway is", by="SYNC_GATEWAY_PORT"
        )
        endpoints = Endpoints(
            dagster_url=f"http://127.0.0.1:{port}",
            gateway_url=f"http://{_reached_at(settings.gateway_host)}:{gateway_port}",
            database_url=database_url,
            home=home,
            logs=home / "logs",
            stopping=stopping,
        )
        gateway = ("--host", settings.gateway_host, "--port", str(gateway_port))
        _start_all(supervisor, endpoints, port=port, definitions=definitions, gateway=gateway)
        if definitions == DEFINITIONS:  # others leave no signs of life
            stack.enter_context(
                watching(settings, endpoints.database_url, say, url=endpoints.dagster_url)
            )
        if not stopping.is_set():
            _stay(supervisor, _Task(on_ready, endpoints), endpoints, once=once)
        say("stopping")


class _Task(Thread):
    """Calls ``on_ready`` and keeps what it raised, for the main thread to raise."""

    def __init__(self, on_ready: Callable[[Endpoints], None], endpoints: Endpoints) -> None:
        super().__init__(name="on_ready", daemon=True)
        self._on_ready = on_ready
        self._endpoints = endpoints
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._on_ready(self._endpoints)
        except BaseException as error:  # Raised again, where `up` is waited for.
            self.error = error


def _stay(supervisor: Supervisor, task: _Task, endpoints: Endpoints, *, once: bool) -> None:
    task.start()
    try:
        while not endpoints.stopping.wait(0.3):
            supervisor.tend()
            done = not task.is_alive()
            if task.error is not None:
                raise task.error
            if once and done:
                return
    finally:
        endpoints.stopping.set()
        task.join(timeout=2.0)


def _start_all(
    supervisor: Supervisor,
    endpoints: Endpoints,
    *,
    port: int,
    definitions: str,
    gateway: Sequence[str],
) -> None:
    dagster_home = endpoints.home / "dagster"
    dagster_home.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("dagster.yaml"), dagster_home / "dagster.yaml")
    code_socket = private_socket_directory(endpoints.home, "run") / "code.sock"
    runs_socket = socket_path(endpoints.home)
    for left_over in (code_socket, runs_socket):
        left_over.unlink(missing_ok=True)
    workspace = _write_workspace(dagster_home, code_socket)
    environment = {
        "DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT": RUN_STATUS_EVENTS_PER_TICK,
        **os.environ,
        "DAGSTER_HOME": str(dagster_home),
        "SYNC_HOME": str(endpoints.home),
        "SYNC_DATABASE_URL": endpoints.database_url,
        SUPERVISED: "up",
        "PYTHONUNBUFFERED": "1",
    }

    def service(name: str, *command: str, is_ready: Callable[[], bool]) -> Service:
        return Service(
            name=name,
            command=[sys.executable, "-m", *command],
            environment=environment,
            directory=dagster_home,
            is_ready=is_ready,
            shown=Console(),
        )

    code = ["dagster", "api", "grpc", "--socket", str(code_socket)]
    code += ["--module-name", definitions, "--location-name", LOCATION]
    runs = ["sync_pipelines.runtime.warm", "--module", definitions, "--socket", str(runs_socket)]
    web = ["dagster_webserver", "--workspace", workspace, "--host", "127.0.0.1", "--port"]
    daemon = ["dagster._daemon", "run", "--workspace", workspace]
    waves = [
        [
            service("code", *code, is_ready=lambda: _listens(code_socket)),
            service("runs", *runs, is_ready=lambda: _listens(runs_socket)),
        ],
        [
            service("web", *web, str(port), is_ready=lambda: _serves(endpoints.dagster_url)),
            service("daemon", *daemon, is_ready=lambda: _daemons_live(endpoints.dagster_url)),
        ],
    ]
    if definitions == DEFINITIONS:  # others have no catalog to serve
        serve = ["sync_pipelines.cli", "serve", *gateway]
        live = f"{endpoints.gateway_url}/health/live"
        waves[-1].append(service("gateway", *serve, is_ready=lambda: _answers(live)))
    for wave in waves:
        for one in wave:
            supervisor.start(one)
        for one in wave:
            supervisor.wait_ready(
                one.name, seconds=START_SECONDS, give_up=endpoints.stopping.is_set
            )


def _write_workspace(dagster_home: Path, code_socket: Path) -> str:
    server = {"socket": str(code_socket), "location_name": LOCATION}
    workspace = dagster_home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    return str(workspace)


def _database(settings: Settings, home: Path, stack: ExitStack, say: Say) -> str:
    if settings.database_url is not None:
        return _answering(settings.database_url.get_secret_value())
    say(f"starting the embedded PostgreSQL of {home}")
    return stack.enter_context(embedded(home)).ensure_database(DATABASE)


def _answering(url: str) -> str:
    """The URL without a driver's name, if its server lets us in."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        psycopg.connect(plain, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise StartError(f"the database of SYNC_DATABASE_URL does not answer: {error}") from error
    return plain


@contextmanager
def _signals(say: Say) -> Iterator[Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set."""
    stopping = Event()

    def stop(number: int, _: object) -> None:
        if not stopping.is_set():
            stopping.set()
        else:
            say(f"still stopping ({signal.Signals(number).name} again)")

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise HomeInUseError(
                f"process {file.read().strip() or 'unknown'} already runs in {home}; stop it, "
                "or set SYNC_HOME to another directory"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _free_port(wanted: int, say: Say, *, of: str, by: str) -> int:
    last = min(wanted + PORTS_TRIED, 65536)
    for port in range(wanted, last):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port != wanted:
            say(f"port {wanted} is taken; {of} on port {port}")
        return port
    raise StartError(f"every port from {wanted} to {last - 1} is taken; set {by} to a free one")


def _reached_at(host: str) -> str:
    """A name by which this machine reaches what listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)


def _listens(path: Path) -> bool:
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
