"""New code without a stop: processes that import it anew, beside the old ones and then instead.

::

    sync-pipelines reload ──socket──► up ── 1. a new code server, a new warm host: do they load it?
                                          ├ 2. they take the old ones' places
                                          └ 3. the old host ends with its last run

Law: nothing old is let go before all that is new answers. Code that does not load changes
nothing; a run that is under way goes on to its end, with the code that it began with.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import httpx

from sync_pipelines.runtime.errors import StartError
from sync_pipelines.runtime.launching import LOCATION
from sync_pipelines.runtime.places import private_socket_directory
from sync_pipelines.runtime.processes import Running, Say, Service, Supervisor
from sync_pipelines.runtime.services import START_SECONDS, Services

ANSWER_SECONDS = 300.0
"""How long whoever asks waits for the next word: two processes start meanwhile."""

_RELOAD = """
mutation Reload($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) {
    __typename
    ... on WorkspaceLocationEntry {
      locationOrLoadError { __typename ... on PythonError { message } }
    }
  }
}
"""


class Door:
    """Where an `up` is asked for a reload: whoever connects asks."""

    def __init__(self, home: Path) -> None:
        path = _door_path(home)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._listener.setblocking(False)

    def asked(self) -> socket.socket | None:
        """The next who asks, if there is one."""
        try:
            line, _ = self._listener.accept()
        except BlockingIOError:
            return None
        line.settimeout(1.0)
        return line

    def close(self) -> None:
        """Ask no more."""
        self._listener.close()


class Reloader:
    """Does in `up` what is asked for at its door."""

    def __init__(
        self, supervisor: Supervisor, services: Services, door: Door, say: Say, stopping: Event
    ) -> None:
        self._supervisor = supervisor
        self._services = services
        self._door = door
        self._say = say
        self._stopping = stopping

    def tend(self) -> None:
        """Reload if somebody has asked, and tell them what happens."""
        line = self._door.asked()
        if line is None:
            return
        with line:

            def tell(what: str) -> None:
                self._say(f"reload: {what}")
                _send(line, said=what)

            try:
                self._reload(tell)
            except StartError as error:
                self._say(f"reload: {error}; everything goes on as before")
                _send(line, error=f"{error}\nnothing was changed: the old code goes on")
            else:
                _send(line, done=True)

    def _reload(self, tell: Callable[[str], None]) -> None:
        tell("loading the code in a new code server and a new host of runs")
        path = self._services.new_code_socket()
        code = self._tried(self._services.code(path))
        try:
            runs = self._tried(self._services.runs())
        except StartError:
            self._supervisor.discard(code)
            raise
        self._supervisor.put_in_place(runs, end_old=False)
        tell("runs that start from now on use the new code; those under way go on in the old host")
        self._services.serve_code_at(path)
        self._supervisor.put_in_place(code, end_old=True)
        tell(_read_again(self._services.dagster_url))

    def _tried(self, service: Service) -> Running:
        return self._supervisor.try_out(
            service, seconds=START_SECONDS, give_up=self._stopping.is_set
        )


def ask_to_reload(home: Path) -> Iterator[str]:
    """Ask the `up` of a home for a reload; each line as it is said.

    Raises `StartError` when there is none, or when the new code does not load.
    """
    nothing_runs = (
        f"nothing runs in {home} that could reload; start it with 'sync-pipelines up', "
        "or set SYNC_HOME to the home of what runs"
    )
    if not os.access(home, os.W_OK | os.X_OK):
        raise StartError(f"SYNC_HOME {home} is no directory that you may use: {nothing_runs}")
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_SECONDS)
        try:
            line.connect(str(_door_path(home)))
        except OSError as error:
            raise StartError(nothing_runs) from error
        with line.makefile() as answers:
            for answer in answers:
                told = json.loads(answer)
                if "done" in told:
                    return
                if "error" in told:
                    raise StartError(told["error"])
                yield told["said"]
    raise StartError("`up` ended in the middle of the reload; see its console")


def _door_path(home: Path) -> Path:
    return private_socket_directory(home, "run") / "up.sock"


def _send(line: socket.socket, **values: object) -> None:
    with suppress(OSError):  # whoever asked may be gone; what was asked for is done all the same
        line.sendall(json.dumps(values).encode() + b"\n")


def _read_again(url: str) -> str:
    """Let the webserver read the definitions again; what came of it, in words."""
    asked = {"query": _RELOAD, "variables": {"location": LOCATION}}
    late = "Dagster's pages will show the new definitions within a minute"
    try:
        answer = httpx.post(f"{url}/graphql", json=asked, timeout=60.0).json()
        entry = answer["data"]["reloadRepositoryLocation"]["locationOrLoadError"]
    except (httpx.TransportError, ValueError, LookupError, TypeError):
        return late
    if entry["__typename"] == "PythonError":
        return f"Dagster's pages do not show the new definitions: {entry['message']}"
    return "Dagster's pages show the new definitions"
