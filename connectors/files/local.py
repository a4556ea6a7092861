"""Files of this machine below one directory.

Law: nothing outside of the root is read or written, whatever links there are.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from connectors.errors import AuthError, ConfigError, TransientError
from connectors.files.stores import ChangedError, Held, Object

UNFINISHED = ".tmp"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalStore:
    """See `Store`."""

    def __init__(self, root: Path) -> None:
        self._given = root
        self._root = root.resolve()

    def check(self) -> str:
        """Whether the directory is there."""
        if not self._root.is_dir():
            raise ConfigError(
                f"there is no directory {str(self._given)!r}; create it, or correct url"
            )
        return f"directory {self._given}"

    def list(self, prefix: str) -> Iterator[Object]:
        """Every file below; links that lead out of the root are passed over."""
        self.check()
        with _translated(prefix):
            top = self._inside(prefix)
            if not top.is_dir():
                return
            for directory, _, names in os.walk(top, onerror=_raise):
                for name in names:
                    found = self._object(Path(directory) / name)
                    if found is not None:
                        yield found

    def open(
        self, found: Object, start: int = 0, end: int | None = None, *, exact: bool = True
    ) -> BinaryIO:
        """The file itself."""
        with _translated(found.name):
            file = self._inside(found.name).open("rb")
            if exact and _version(os.fstat(file.fileno())) != found.version:
                file.close()
                raise ChangedError(f"{found.name!r} was changed after it was listed")
            file.seek(start)
            return file

    def verify(self, found: Object) -> None:
        """Look at it again."""
        with _translated(found.name):
            if _version(self._inside(found.name).stat()) != found.version:
                raise ChangedError(f"{found.name!r} was changed while it was read")

    def get(self, name: str) -> Held | None:
        """Its content; the version is a digest of that."""
        with _translated(name):
            try:
                content = self._inside(name).read_bytes()
            except FileNotFoundError:
                return None
        return Held(content=content, version=_digest(content))

    def put(self, name: str, path: Path) -> None:
        """Copied aside, then renamed."""
        with _translated(name), self._aside(name) as aside:
            shutil.copyfile(path, aside)

    def swap(self, name: str, content: bytes, version: str | None) -> str:
        """Under a lock that every writer of this machine takes."""
        with _translated(name):
            target = self._inside(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with (target.parent / f".{target.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                there = self.get(name)
                if (there and there.version) != version:
                    raise ChangedError(f"{name!r} was changed by another writer")
                with self._aside(name) as aside:
                    aside.write_bytes(content)
        return _digest(content)

    def delete(self, name: str) -> None:
        """Unlinked."""
        with _translated(name):
            self._inside(name).unlink(missing_ok=True)

    def close(self) -> None:
        """There is nothing to release."""

    @contextmanager
    def _aside(self, name: str) -> Iterator[Path]:
        target = self._inside(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.parent / f".{uuid4().hex}{UNFINISHED}"
        try:
            yield aside
            with aside.open("rb") as written:
                os.fsync(written.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    def _inside(self, name: str) -> Path:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise ConfigError(f"{name!r} leads out of {str(self._given)!r}")
        return path

    def _object(self, path: Path) -> Object | None:
        with suppress(FileNotFoundError, UnicodeEncodeError):
            path.name.encode()  # a name that is no text can be neither written nor shown
            if not path.resolve().is_relative_to(self._root):
                return None
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                return Object(
                    name=path.relative_to(self._root).as_posix(),
                    size=status.st_size,
                    modified_at=_EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000),
                    version=_version(status),
                )
        return None


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ChangedError(f"{name!r} is no longer there") from error
    except PermissionError as error:
        raise AuthError(f"{name!r} may not be read or written by this user") from error
    except OSError as error:
        raise TransientError(f"{name!r}: {error.strerror or error}") from error
