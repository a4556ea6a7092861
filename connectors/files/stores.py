"""Where objects are: one small protocol for every store.

Laws: what is opened is the very version that was listed, or `ChangedError`; what is put is
there whole or not at all; `Store.swap` of two writers lets one win.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from connectors.errors import TransientError
from connectors.files.config import FilesConfig, Scheme


class ChangedError(TransientError):
    """An object is no longer the one that was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """One object: ``name`` is its path below the root, ``version`` changes with its content."""

    name: str
    size: int
    modified_at: datetime
    version: str

    @property
    def order(self) -> tuple[datetime, str]:
        """Objects are read in the order in which they came."""
        return self.modified_at, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The content of a small object, and its version."""

    content: bytes
    version: str


class Store(Protocol):
    """A root with objects below it."""

    def check(self) -> str:
        """Look at the root, and say in one line what answered."""
        ...

    def list(self, prefix: str) -> Iterator[Object]:
        """Every object below a directory, in any order; complete, or an error."""
        ...

    def open(
        self, found: Object, start: int = 0, end: int | None = None, *, exact: bool = True
    ) -> BinaryIO:
        """The object's bytes in a file that stands at ``start``; `ChangedError` if it is another.

        What lies before ``start`` or after ``end`` need not be in the file. Not ``exact``:
        a later version of it will do.
        """
        ...

    def verify(self, found: Object) -> None:
        """`ChangedError` unless the object is still the one that was opened."""
        ...

    def get(self, name: str) -> Held | None:
        """A small object as a whole, or None if there is none."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Put a file's content there, in place of what may be there."""
        ...

    def swap(self, name: str, content: bytes, version: str | None) -> str:
        """Replace what has this version (None: nothing); `ChangedError` if something else is there.

        Returns the new version.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove an object; it may be gone already."""
        ...

    def close(self) -> None:
        """Release connections; safe to call twice."""
        ...


def open_store(config: FilesConfig) -> Store:
    """The store of that URL; nothing is connected to yet."""
    if config.scheme is Scheme.FILE:
        from connectors.files.local import LocalStore

        return LocalStore(Path(config.root))
    if config.scheme is Scheme.SFTP:
        from connectors.files.sftp import SftpStore

        return SftpStore(config)
    from connectors.files.cloud import CloudStore

    return CloudStore(config)
