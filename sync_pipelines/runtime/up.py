"""The one command: the database, Dagster's three processes, and an orderly end.

::

    up ── embedded PostgreSQL (unless SYNC_DATABASE_URL names one), started again if it dies
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
import re
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psycopg
from sqlalchemy import make_url

from sync_pipelines.runtime.errors import HomeInUseError, StartError
from sync_pipelines.runtime.keeper import Keeper
from sync_pipelines.runtime.places import make_home
from sync_pipelines.runtime.postgres import embedded
from sync_pipelines.runtime.processes import Say, Supervisor
from sync_pipelines.runtime.reloading import Door, Reloader
from sync_pipelines.runtime.services import START_SECONDS, At, Services
from sync_pipelines.runtime.session import DATABASE
from sync_pipelines.runtime.watching import watching
from sync_pipelines.runtime.webserver import PATH
from sync_pipelines.settings import Settings

DEFINITIONS = "sync_pipelines.definitions"
PORTS_TRIED = 50

_FULL = re.compile(r"too many (clients|connections)|connection slots are reserved")
"""What a server says that has no connection left (SQLSTATE 53300, which psycopg keeps back)."""

Tend = Callable[[], None]
"""Looks after something once, and puts it right; called a few times a second."""


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
        database_url, keep_database = _database(settings, home, stack, say)
        if stopping.is_set():
            return
        supervisor = Supervisor(
            logs=home / "logs",
            say=say,
            log_format=settings.log_format,
            excuse=lambda: silence(database_url, say),
        )
        stack.callback(supervisor.stop)
        door = stack.enter_context(closing(Door(home)))
        port = _free_port(
            settings.dagster_port, say, of="Dagster's pages are", by="SYNC_DAGSTER_PORT"
        )
        gateway_port = _free_port(
            settings.gateway_port, say, of="the gateway is", by="SYNC_GATEWAY_PORT"
        )
        endpoints = Endpoints(
            dagster_url=f"http://127.0.0.1:{port}{PATH}",
            gateway_url=At(host=settings.gateway_host, port=gateway_port).url,
            database_url=database_url,
            home=home,
            logs=home / "logs",
            stopping=stopping,
        )
        services = _services(
            settings, endpoints, port=port, gateway_port=gateway_port, definitions=definitions
        )
        _start_all(supervisor, services, give_up=stopping.is_set)
        reloader = Reloader(supervisor, services, door, say, stopping)
        if definitions == DEFINITIONS:  # others leave no signs of life
            stack.enter_context(
                watching(settings, endpoints.database_url, say, url=endpoints.dagster_url)
            )
        if not stopping.is_set():
            tending = (keep_database, supervisor.tend, reloader.tend)
            _stay(tending, _Task(on_ready, endpoints), endpoints, once=once)
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


def _stay(tending: Sequence[Tend], task: _Task, endpoints: Endpoints, *, once: bool) -> None:
    task.start()
    try:
        while not endpoints.stopping.wait(0.3):
            for tend in tending:
                tend()
            done = not task.is_alive()
            if task.error is not None:
                raise task.error
            if once and done:
                return
    finally:
        endpoints.stopping.set()
        task.join(timeout=2.0)


def _start_all(supervisor: Supervisor, services: Services, *, give_up: Callable[[], bool]) -> None:
    services.prepare()
    second = [services.web(), services.daemon()]
    if services.definitions == DEFINITIONS:  # others have no catalog to serve
        second.append(services.gateway())
    for wave in ([services.code(), services.runs()], second):
        for one in wave:
            supervisor.start(one)
        for one in wave:
            supervisor.wait_ready(one.name, seconds=START_SECONDS, give_up=give_up)


def _services(
    settings: Settings, endpoints: Endpoints, *, port: int, gateway_port: int, definitions: str
) -> Services:
    # Its processes are told where the database is, and cannot see that it is the embedded one.
    inside = str(settings.may_reach_private).lower()
    return Services(
        home=endpoints.home,
        database_url=endpoints.database_url,
        port=port,
        gateway_at=At(host=settings.gateway_host, port=gateway_port),
        definitions=definitions,
        environment={**os.environ, "SYNC_ALLOW_PRIVATE_ADDRESSES": inside},
    )


def _database(settings: Settings, home: Path, stack: ExitStack, say: Say) -> tuple[str, Tend]:
    """The catalog's URL, and what looks after its server: nothing, if it is somebody else's."""
    if settings.database_url is not None:
        return _answering(settings.database_url.get_secret_value()), lambda: None
    say(f"starting the embedded PostgreSQL of {home}")
    server = stack.enter_context(embedded(home))
    return server.ensure_database(DATABASE), Keeper(server, say).tend


def _answering(url: str) -> str:
    """The URL without a driver's name, if its server lets us in."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        psycopg.connect(plain, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise StartError(f"the database of SYNC_DATABASE_URL does not answer: {error}") from error
    return plain


def silence(url: str, say: Say) -> str | None:
    """That the database does not answer, which its users die of; None if it does.

    One that has no connection left has answered: that passes by nothing but a setting, which
    is said.
    """
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        if not _FULL.search(str(error)):
            return "the database does not answer"
        say(
            "the database has no connection left; raise max_connections of its server, or the "
            "limit of its user or database, or end what else uses it"
        )
    return None


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
    make_home(home)
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
