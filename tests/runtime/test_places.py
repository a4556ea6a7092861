"""As whom the server runs, and what it leaves alone. Some of it only root can see."""

import multiprocessing
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from sync_pipelines.runtime import places
from sync_pipelines.runtime.errors import PostgresError, StartError
from sync_pipelines.runtime.places import settle
from sync_pipelines.runtime.postgres import discard, embedded
from sync_pipelines.runtime.postmaster import find

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")


@as_root
def test_root_changes_the_mode_of_no_directory_it_did_not_make(home: Path):
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    watched = [closed, *closed.parents, Path.home(), Path(os.__file__).parent]
    before = {path: path.stat().st_mode for path in watched}

    with embedded(closed / "sync"):
        during = {path: path.stat().st_mode for path in watched}
    discard(closed / "sync")

    assert during == before


@as_root
def test_roots_server_runs_as_a_system_user_behind_closed_doors(home: Path):
    with embedded(home) as server:
        running = find(settle(home.resolve()))
        assert running is not None
        owner = psutil.Process(running.pid).username()
        doors = [server.socket_directory, (home / "postgres").resolve()]
        modes = [stat.S_IMODE(door.stat().st_mode) for door in doors]

    assert owner == "sync-pipelines"
    assert modes == [0o700, 0o700]


@as_root
def test_a_home_that_was_deleted_is_a_new_start_and_its_old_data_is_kept_aside(home: Path):
    deleted = home / "deleted"
    with embedded(deleted) as server:
        server.ensure_database("old")
    base = (deleted / "postgres").resolve()
    for file in deleted.iterdir():
        file.unlink()
    deleted.rmdir()

    with embedded(deleted) as server, psycopg.connect(server.url("postgres")) as connection:
        databases = connection.execute("SELECT datname FROM pg_database").fetchall()
    discard(deleted)
    aside = list(base.parent.glob(f"{base.name}.deleted-home-*"))
    for tree in aside:
        shutil.rmtree(tree)

    assert ("old",) not in databases
    assert len(aside) == 1


@as_root
def test_an_ordinary_user_runs_the_server_as_itself_inside_its_home(nobodys_home: Path):
    outcome = as_nobody(lambda: use_a_server(nobodys_home))

    assert outcome == ("nobody", nobodys_home / "postgres/socket")


@as_root
def test_an_ordinary_user_is_served_in_a_home_with_a_long_path(nobodys_home: Path):
    long_home = nobodys_home / ("x" * 100)

    owner, socket_directory = as_nobody(lambda: use_a_server(long_home))

    assert owner == "nobody"
    assert len(os.fsencode(socket_directory)) <= places.LONGEST_SOCKET_DIRECTORY


@as_root
def test_a_socket_directory_that_another_user_laid_is_refused(nobodys_home: Path):
    (nobodys_home / "postgres").mkdir(mode=0o777)

    with pytest.raises(PostgresError, match="not a directory of user"):
        as_nobody(lambda: use_a_server(nobodys_home))


@as_root
def test_a_home_that_may_not_be_written_to_is_refused_with_a_remedy(nobodys_home: Path):
    os.chown(nobodys_home, 0, 0)
    nobodys_home.chmod(0o755)

    with pytest.raises(StartError, match="may not be written to; set SYNC_HOME to a directory"):
        as_nobody(lambda: use_a_server(nobodys_home))


@as_root
def test_a_directory_that_others_may_enter_is_refused_with_a_remedy(nobodys_home: Path):
    laid = nobodys_home / "postgres"
    laid.mkdir()
    os.chown(laid, nobody().pw_uid, nobody().pw_gid)
    laid.chmod(0o755)

    with pytest.raises(PostgresError, match=f"chmod 700 {laid}"):
        as_nobody(lambda: use_a_server(nobodys_home))


@pytest.fixture
def nobodys_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sync-nobody-") as directory:
        os.chown(directory, nobody().pw_uid, nobody().pw_gid)
        yield Path(directory)


def nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def use_a_server(home: Path) -> tuple[str, Path]:
    with embedded(home) as server:
        running = find(settle(home))
        assert running is not None
        outcome = psutil.Process(running.pid).username(), server.socket_directory
    discard(home)
    return outcome


def as_nobody(act: Callable[[], tuple[str, Path]]) -> tuple[str, Path]:
    """Do it in a forked process: nobody need not be able to read this interpreter."""
    if not readable_by_all(places._installed()):
        pytest.skip("the installed PostgreSQL lies in a directory that only root can read")
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def child() -> None:
        os.setgroups([])
        os.setgid(nobody().pw_gid)
        os.setuid(nobody().pw_uid)
        try:
            sender.send(act())
        except StartError as error:
            sender.send(error)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    sender.close()
    outcome: tuple[str, Path] | StartError = receiver.recv()
    process.join(timeout=60)
    receiver.close()
    if isinstance(outcome, StartError):
        raise outcome
    return outcome


def readable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))
