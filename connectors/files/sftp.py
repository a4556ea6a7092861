"""Files of another machine, by SFTP.

Laws: a server is known by its host key, or not spoken to; a changed file shows only in its
time, to the second, and its size.
"""

from __future__ import annotations

import asyncio
import posixpath
import stat
import tempfile
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from threading import Lock, Thread
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import asyncssh

from connectors.errors import AuthError, ConfigError, TransientError
from connectors.files.config import FilesConfig
from connectors.files.stores import ChangedError, Held, Object

T = TypeVar("T")

CHUNK_BYTES = 1024 * 1024
IN_MEMORY_BYTES = 8 * 1024 * 1024
CALL_SECONDS = 600.0
LOCK_MINUTES = 10
"""After which a writer that holds the lock of a name is taken for dead."""


class SftpStore:
    """See `Store`; one connection, spoken to from any thread."""

    def __init__(self, config: FilesConfig) -> None:
        self._config = config
        self._root = config.root.rstrip("/") or "/"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None
        self._thread: Thread | None = None
        self._opening = Lock()

    # One event loop, in a thread of its own

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise TransientError(f"{self._config.redacted}: the connection is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    @property
    def _sftp(self) -> asyncssh.SFTPClient:
        with self._opening:
            if self._client is None:
                if self._loop is None:
                    self._loop = asyncio.new_event_loop()
                    run = self._loop.run_forever
                    self._thread = Thread(target=run, name="sftp", daemon=True)
                    self._thread.start()
                with self._translated(""):
                    self._connection, self._client = self._call(self._connected())
            return self._client

    async def _connected(self) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
        config, parts = self._config, urlsplit(self._config.url)
        if config.host_key is None:
            raise ConfigError(
                f"{config.redacted} has no host_key; run `ssh-keyscan {parts.hostname}` and copy "
                "one of its keys, as 'ssh-ed25519 AAAA...', into host_key"
            )
        trusted = [asyncssh.import_public_key(config.host_key)]
        keys = []
        if config.private_key is not None:
            keys = [asyncssh.import_private_key(config.private_key.get_secret_value())]
        password = config.password.get_secret_value() if config.password else None
        connection = await asyncssh.connect(
            parts.hostname or "",
            port=parts.port or 22,
            username=unquote(parts.username) if parts.username else (),
            password=password,
            client_keys=keys,
            known_hosts=(trusted, [], []),
            agent_path=None,
            config=[],
            connect_timeout=config.connect_timeout_seconds,
        )
        return connection, await connection.start_sftp_client()

    # The protocol

    def check(self) -> str:
        """Whether the directory is there."""
        sftp = self._sftp
        with self._translated(""):
            if not self._call(sftp.isdir(self._root)):
                raise ConfigError(f"there is no directory {self._config.redacted}")
        return self._config.redacted

    def list(self, prefix: str) -> Iterator[Object]:
        """Every file below; links are not followed."""
        self.check()
        sftp, top = self._sftp, self._path(prefix)
        with self._translated(prefix):
            if self._call(sftp.isdir(top)):
                yield from self._call(self._walked(sftp, top))

    async def _walked(self, sftp: asyncssh.SFTPClient, top: str) -> tuple[Object, ...]:
        found: deque[Object] = deque()
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            async for entry in sftp.scandir(directory):
                name = (
                    entry.filename.decode() if isinstance(entry.filename, bytes) else entry.filename
                )
                if name in (".", ".."):
                    continue
                path, mode = posixpath.join(directory, name), entry.attrs.permissions or 0
                if stat.S_ISDIR(mode):
                    waiting.append(path)
                elif stat.S_ISREG(mode):
                    found.append(self._object(path, entry.attrs))
        return tuple(found)

    def _object(self, path: str, attributes: asyncssh.SFTPAttrs) -> Object:
        return Object(
            name=posixpath.relpath(path, self._root),
            size=attributes.size or 0,
            modified_at=datetime.fromtimestamp(attributes.mtime or 0, UTC),
            version=f"{attributes.mtime}-{attributes.size}",
        )

    def open(
        self, found: Object, start: int = 0, end: int | None = None, *, exact: bool = True
    ) -> BinaryIO:
        """Fetched into memory or a temporary file."""
        file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (the caller's)
        sftp = self._sftp
        try:
            with self._translated(found.name):
                self._call(self._fetched(sftp, found, file, (start, end)))
            if exact:
                self.verify(found)
        except BaseException:  # whatever ends it, nobody else has the file to close
            file.close()
            raise
        file.seek(0)
        return file  # type: ignore[return-value]

    async def _fetched(
        self,
        sftp: asyncssh.SFTPClient,
        found: Object,
        into: Any,
        bounds: tuple[int, int | None],
    ) -> None:
        start, end = bounds
        size = (found.size if end is None else min(end, found.size)) - start
        got = 0
        async with sftp.open(self._path(found.name), "rb") as remote:
            await remote.seek(start)
            while got < size:
                chunk = await remote.read(min(CHUNK_BYTES, size - got))
                if not chunk:
                    raise ChangedError(f"{found.name!r} became shorter while it was fetched")
                into.write(chunk)
                got += len(chunk)

    def verify(self, found: Object) -> None:
        """Look at it again."""
        sftp, path = self._sftp, self._path(found.name)
        with self._translated(found.name):
            now = self._object(path, self._call(sftp.stat(path)))
        if now.version != found.version:
            raise ChangedError(f"{found.name!r} was changed while it was read")

    def get(self, name: str) -> Held | None:
        """Its content; the version is a digest of that."""
        try:
            sftp = self._sftp
            with self._translated(name):
                content = self._call(self._content(sftp, self._path(name)))
        except ChangedError:
            return None
        return Held(content=content, version=_digest(content))

    async def _content(self, sftp: asyncssh.SFTPClient, path: str) -> bytes:
        async with sftp.open(path, "rb") as remote:
            content: bytes = await remote.read()
            return content

    def put(self, name: str, path: Path) -> None:
        """Sent aside, then renamed."""
        sftp = self._sftp
        with self._translated(name):
            self._call(self._sent(sftp, path, self._path(name)))

    async def _sent(self, sftp: asyncssh.SFTPClient, path: Path, target: str) -> None:
        await sftp.makedirs(posixpath.dirname(target), exist_ok=True)
        aside = posixpath.join(posixpath.dirname(target), f".{uuid4().hex}.tmp")
        try:
            await sftp.put(str(path), aside)
            await sftp.posix_rename(aside, target)
        except BaseException:  # a cancelled upload leaves nothing behind either
            with suppress(asyncssh.SFTPError):
                await sftp.remove(aside)
            raise

    def swap(self, name: str, content: bytes, version: str | None) -> str:
        """Under a lock file beside it, because SFTP itself has no conditional rename."""
        sftp, target = self._sftp, self._path(name)
        with self._translated(name), tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            lock = f"{target}.lock"
            self._call(self._locked(sftp, lock))
            try:
                there = self.get(name)
                if (there and there.version) != version:
                    raise ChangedError(f"{name!r} was changed by another writer")
                self._call(self._sent(sftp, Path(file.name), target))
            finally:
                self._call(_removed(sftp, lock))
        return _digest(content)

    async def _locked(self, sftp: asyncssh.SFTPClient, lock: str) -> None:
        await sftp.makedirs(posixpath.dirname(lock), exist_ok=True)
        with suppress(asyncssh.SFTPNoSuchFile):
            held = (await sftp.stat(lock)).mtime or 0
            age = datetime.now(UTC) - datetime.fromtimestamp(held, UTC)
            if age > timedelta(minutes=LOCK_MINUTES):
                await _removed(sftp, lock)
        try:
            async with sftp.open(lock, "xb"):
                pass
        except asyncssh.SFTPError as error:
            raise ChangedError(f"another writer holds {lock!r}") from error

    def delete(self, name: str) -> None:
        """Removed."""
        sftp = self._sftp
        with self._translated(name):
            self._call(_removed(sftp, self._path(name)))

    def close(self) -> None:
        """End the connection and its thread."""
        with self._opening:
            loop, self._loop = self._loop, None
            connection, self._connection = self._connection, None
            self._client = None
        if loop is None:
            return
        with suppress(TimeoutError):
            ending = asyncio.run_coroutine_threadsafe(_ended(connection), loop)
            ending.result(self._config.connect_timeout_seconds)
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(self._config.connect_timeout_seconds)
        if not loop.is_running():
            loop.close()

    def _path(self, name: str) -> str:
        path = posixpath.normpath(posixpath.join(self._root, name))
        if path != self._root and not path.startswith(f"{self._root.rstrip('/')}/"):
            raise ConfigError(f"{name!r} leads out of {self._root!r}")
        return path

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        what = f"{self._config.redacted}/{name}".rstrip("/")
        try:
            yield
        except asyncssh.SFTPNoSuchFile as error:
            raise ChangedError(f"{what} is no longer there") from error
        except (asyncssh.SFTPPermissionDenied, asyncssh.PermissionDenied) as error:
            raise AuthError(f"{what}: the server refused the credentials") from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise AuthError(
                f"{what}: the server's host key is not the one in host_key; if it was changed on "
                "purpose, correct host_key"
            ) from error
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise ConfigError(
                f"{what}: host_key or private_key is no key in OpenSSH's format"
            ) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            self._forget()
            raise TransientError(f"{what}: {type(error).__name__}: {error}") from error

    def _forget(self) -> None:
        """A broken connection is not used again."""
        if self._connection is not None and self._connection.is_closed():
            self._connection = self._client = None


async def _ended(connection: asyncssh.SSHClientConnection | None) -> None:
    """Whatever still runs is given up, so that nothing is left behind."""
    if connection is not None:
        connection.abort()
        with suppress(asyncssh.Error, OSError):
            await connection.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _removed(sftp: asyncssh.SFTPClient, path: str) -> None:
    with suppress(asyncssh.SFTPNoSuchFile):
        await sftp.remove(path)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
