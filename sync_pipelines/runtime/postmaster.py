"""Starting and stopping one PostgreSQL server process, by its pid.

Law: a server is what its ``postmaster.pid`` names, if that process still is a
PostgreSQL of the same data directory. A pid that now belongs to somebody else
is never signalled.
"""

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from sync_pipelines.runtime.errors import PostgresError
from sync_pipelines.runtime.places import Place, major_version
from sync_pipelines.runtime.waiting import wait_until

START_SECONDS = 120
STOP_SECONDS = 60.0
LEFTOVER_SECONDS = 20.0
LARGEST_LOG_BYTES = 10_000_000
LOG_LINES_SHOWN = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """A live server process; ``status`` is its own word, such as ``starting`` or ``ready``."""

    pid: int
    socket_directory: Path
    status: str


def ensure_running(place: Place) -> Path:
    """Adopt the server of ``place`` or start one; the directory of its socket."""
    wait_until(lambda: _settled(find(place)), seconds=START_SECONDS)
    running = find(place)
    if running is None:
        _initialise(place)
        _clear_leftovers(place)
        _start(place)
        running = find(place)
    if running is None or running.status != "ready":
        raise PostgresError(_with_log("PostgreSQL does not become ready", place))
    return running.socket_directory


def stop(place: Place) -> None:
    """Stop the server, if there is one: fast first, and at the worst without a checkpoint.

    Nothing committed is lost either way.
    """
    running = find(place)
    if running is None:
        return
    pid = running.pid
    for urgency in (signal.SIGINT, signal.SIGQUIT):
        with suppress(ProcessLookupError):
            os.kill(pid, urgency)
        if wait_until(lambda: not _serves(pid, place.data), seconds=STOP_SECONDS):
            return
    raise PostgresError(_with_log("PostgreSQL does not stop", place))


def find(place: Place) -> Postmaster | None:
    """The live server of ``place``, if there is one."""
    try:
        lines = (place.data / "postmaster.pid").read_text().splitlines()
        pid, socket_directory, status = int(lines[0]), lines[4], lines[7].strip()
    except FileNotFoundError:
        return None
    except (IndexError, ValueError):  # The server is just writing it.
        pid, socket_directory, status = _first_number(lines), "", "starting"
    if not _serves(pid, place.data):
        return None
    return Postmaster(pid=pid, socket_directory=Path(socket_directory), status=status)


def _settled(postmaster: Postmaster | None) -> bool:
    return postmaster is None or postmaster.status == "ready"


def _first_number(lines: list[str]) -> int:
    return int(lines[0]) if lines and lines[0].isdigit() else 0


def _serves(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _initialise(place: Place) -> None:
    """Make the data directory, complete or not at all."""
    if place.data.exists():
        found = (place.data / "PG_VERSION").read_text().strip()
        if found != major_version():
            raise PostgresError(
                f"{place.data} was made by PostgreSQL {found}, and this is {major_version()}; "
                "dump it with the version that made it, or set SYNC_HOME to a new home"
            )
        return
    unfinished = place.base / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    command = ["initdb", "--pgdata", str(unfinished), "--username=postgres", "--auth=trust"]
    command += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += ["--locale=C", *(f"--set={setting}" for setting in _settings())]
    done = _run(command, place)
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise PostgresError(_because("PostgreSQL cannot make its data directory", done.stderr))
    unfinished.rename(place.data)


def _settings() -> list[str]:
    """Written into a new server's postgresql.conf, where a person may change them."""
    roomy = psutil.virtual_memory().total >= 4 * 1024**3
    return [
        "max_connections=200",
        f"shared_buffers={'256MB' if roomy else '128MB'}",
        "max_wal_size=2GB",
        "timezone=UTC",
        "log_timezone=UTC",
        "jit=off",
        "fsync=on",
    ]


def _clear_leftovers(place: Place) -> None:
    """Remove the lock files of a server that died, once none of its children lives.

    PostgreSQL does so itself, but takes any process that has got the dead one's pid
    for a live server, which in a container is common.
    """
    if not wait_until(lambda: not _children_alive(place.data), seconds=LEFTOVER_SECONDS):
        raise PostgresError(
            f"processes of a PostgreSQL that died still use {place.data}; end them by hand"
        )
    for leftover in (place.data / "postmaster.pid", *place.socket_directory.glob(".s.PGSQL.*")):
        leftover.unlink(missing_ok=True)


def _children_alive(data: Path) -> bool:
    """Every process of a server works in its data directory."""
    if not (data / "postmaster.pid").exists():
        return False
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == str(data):
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return False


def _start(place: Place) -> None:
    if place.log.exists() and place.log.stat().st_size > LARGEST_LOG_BYTES:
        place.log.replace(place.log.with_suffix(".log.1"))
    options = ["-c", "listen_addresses=", "-k", str(place.socket_directory)]
    options += ["-c", "logging_collector=off", "-c", "log_destination=stderr"]
    command = ["pg_ctl", "start", "--wait", f"--timeout={START_SECONDS}", "--silent"]
    command += ["--pgdata", str(place.data), "--log", str(place.log)]
    done = _run([*command, f"--options={shlex.join(options)}"], place)
    if done.returncode != 0:
        raise PostgresError(_with_log("PostgreSQL does not start", place))


def _run(command: list[str], place: Place) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    as_whom = place.account
    return subprocess.run(
        [str(place.binaries / command[0]), *command[1:]],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=place.base,
        env=environment,
        umask=0o077,
        user=None if as_whom is None else as_whom.uid,
        group=None if as_whom is None else as_whom.gid,
        extra_groups=None if as_whom is None else [],
    )


def _with_log(what: str, place: Place) -> str:
    try:
        lines = place.log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    shown = "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:])
    return _because(what, f"its log {place.log} ends:\n{shown}")


def _because(what: str, details: str) -> str:
    full = "No space left on device" in details
    return f"{what}{' because the disk is full' if full else ''}; {details.strip()}"
