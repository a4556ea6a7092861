"""The embedded PostgreSQL: started by the first who needs it, stopped by the last.

Every user of a home's server holds a shared lock for as long as it uses it; who
leaves and finds no other holder stops the server. The kernel drops the lock of a
process that was killed, so a server left behind is adopted by the next user.

Law: only a process that holds ``postgres.lock`` starts or stops a server.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import psycopg
from psycopg import sql

from sync_pipelines.runtime import postmaster
from sync_pipelines.runtime.errors import PostgresError
from sync_pipelines.runtime.places import Place, make_home, settle
from sync_pipelines.runtime.waiting import wait_until

PATIENCE_SECONDS = 180.0
"""How long another process may take to start or stop the server before we give up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server, reached through a socket that only its owner can open."""

    home: Path
    place: Place
    socket_directory: Path

    @property
    def binaries(self) -> Path:
        """Where ``psql`` and its like are."""
        return self.place.binaries

    def url(self, database: str) -> str:
        """A ``postgresql://`` URL, as libpq, psycopg, ADBC and SQLAlchemy all read it."""
        socket = quote(str(self.socket_directory), safe="/")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={socket}"

    def ensure_database(self, name: str) -> str:
        """Create the database if it is absent; its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            exists = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(exists, [name]).fetchone() is None:
                # Either error says that another process was first.
                with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def is_alive(self) -> bool:
        """Whether its process is there, ready or just starting. Costs next to nothing."""
        return postmaster.find(self.place) is not None

    def revive(self) -> None:
        """Start it again, if it died and no other user has done so yet.

        Nothing committed is lost; connections are. Raises `PostgresError` as `embedded` does.
        """
        with _locked(self.home):
            postmaster.ensure_running(self.place)


@contextmanager
def embedded(home: Path) -> Iterator[Server]:
    """The server of ``home``, running for as long as the context lasts.

    Any number of processes may use one home at once. Raises `PostgresError` with
    the last lines of the server's log if it cannot be started.
    """
    home = home.expanduser().resolve()
    make_home(home)
    with _locked(home):
        place = settle(home)
        users = _join(home)
        try:
            socket_directory = postmaster.ensure_running(place)
        except BaseException:  # who did not get in does not count as a user
            users.close()
            raise
    try:
        yield Server(home=home, place=place, socket_directory=socket_directory)
    finally:
        users.close()
        with _locked(home):
            if _is_unused(home):
                postmaster.stop(place)


def discard(home: Path) -> None:
    """Remove all data of the server of ``home``. Refused while somebody uses it."""
    home = home.expanduser().resolve()
    if not (home / "postgres").exists():
        return
    with _locked(home):
        if not _is_unused(home):
            raise PostgresError(f"the database of {home} is in use; stop what uses it first")
        place = settle(home)
        postmaster.stop(place)
        shutil.rmtree(place.socket_directory)
        shutil.rmtree(place.base)
        (home / "postgres").unlink(missing_ok=True)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "postgres.lock").open("ab") as file:
        if not wait_until(lambda: _try_lock(file), seconds=PATIENCE_SECONDS):
            raise PostgresError(
                f"another process has been starting or stopping the database of {home} for "
                f"{PATIENCE_SECONDS:.0f} seconds; see which one holds {file.name}"
            )
        yield


def _join(home: Path) -> BinaryIO:
    users = (home / "postgres.users").open("ab")
    fcntl.flock(users, fcntl.LOCK_SH)
    return users


def _is_unused(home: Path) -> bool:
    with (home / "postgres.users").open("ab") as users:
        return _try_lock(users)


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
