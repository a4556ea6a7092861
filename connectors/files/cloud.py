"""Objects in S3, Google Cloud Storage and Azure, by obstore."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from connectors.errors import AuthError, ConfigError, TransientError
from connectors.files.config import FilesConfig, Scheme
from connectors.files.stores import ChangedError, Held, Object

IN_MEMORY_BYTES = 8 * 1024 * 1024
"""Of an object, before it goes to a temporary file."""

CHUNK_BYTES = 4 * 1024 * 1024


class CloudStore:
    """See `Store`. The version is the entity tag: the same content put again is no change."""

    def __init__(self, config: FilesConfig) -> None:
        self._config = config
        self._prefix = f"{config.root}/" if config.root else ""

    @cached_property
    def _store(self) -> Any:
        config = self._config
        client: Any = {
            "allow_http": config.allow_http,
            "connect_timeout": timedelta(seconds=config.connect_timeout_seconds),
            "timeout": timedelta(minutes=30),
        }
        shared: Any = {
            "client_options": client,
            "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        }
        try:
            if config.scheme is Scheme.S3:
                return S3Store(config.bucket, config=_s3(config), **shared)
            if config.scheme is Scheme.GS:
                return GCSStore(config.bucket, config=_gcs(config), **shared)
            return AzureStore(config.bucket, config=_azure(config), **shared)
        except (exceptions.BaseError, ValueError) as error:
            raise ConfigError(f"{config.redacted}: {_first_line(error)}") from error

    def check(self) -> str:
        """Ask for one page of the listing."""
        with self._translated(""):
            next(iter(obstore.list(self._store, self._config.root or None, chunk_size=1)), None)
        return self._config.redacted

    def list(self, prefix: str) -> Iterator[Object]:
        """Page by page."""
        with self._translated(prefix):
            top = (self._prefix + prefix).rstrip("/") or None
            for page in obstore.list(self._store, top, chunk_size=1000):
                for meta in page:
                    if meta["path"].startswith(self._prefix):
                        yield Object(
                            name=meta["path"].removeprefix(self._prefix),
                            size=meta["size"],
                            modified_at=meta["last_modified"],
                            version=_version(meta),
                        )

    def open(
        self, found: Object, start: int = 0, end: int | None = None, *, exact: bool = True
    ) -> BinaryIO:
        """Fetched whole into memory or a temporary file, and its version compared."""
        options: Any = {}
        if end is not None:
            options = {"range": (start, end)}
        elif start:
            options = {"range": {"offset": start}}
        file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (the caller's)
        try:
            with self._translated(found.name):
                answer = obstore.get(self._store, self._prefix + found.name, options=options)
                same = (answer.meta["size"], _version(answer.meta)) == (found.size, found.version)
                if exact and not same:
                    raise ChangedError(f"{found.name!r} was changed after it was listed")
                for chunk in answer.stream(CHUNK_BYTES):
                    file.write(chunk)
        except BaseException:  # whatever ends it, nobody else has the file to close
            file.close()
            raise
        file.seek(0)
        return file  # type: ignore[return-value]

    def verify(self, found: Object) -> None:
        """What was fetched was one version, whatever is there by now."""

    def get(self, name: str) -> Held | None:
        """Its content and version."""
        try:
            with self._translated(name):
                answer = obstore.get(self._store, self._prefix + name)
                version = _spelled(answer.meta)
                return Held(content=bytes(answer.bytes()), version=version)
        except ChangedError:
            return None

    def put(self, name: str, path: Path) -> None:
        """Put whole; in parts where it is large."""
        with self._translated(name):
            obstore.put(self._store, self._prefix + name, path)

    def swap(self, name: str, content: bytes, version: str | None) -> str:
        """A conditional put, which the store itself decides."""
        mode: Any = "create"
        if version is not None:
            tag, _, generation = version.partition("\n")
            known = {"e_tag": tag, "version": generation}
            mode = {key: value for key, value in known.items() if value}
        with self._translated(name):
            done = obstore.put(self._store, self._prefix + name, content, mode=mode)
        return _spelled(done)

    def delete(self, name: str) -> None:
        """Removed; that it was gone is no error."""
        try:
            with self._translated(name):
                obstore.delete(self._store, self._prefix + name)
        except ChangedError:
            return

    def close(self) -> None:
        """The client lets go of its connections by itself."""

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        what = f"{self._config.redacted}/{name}".rstrip("/")
        try:
            yield
        except FileNotFoundError as error:
            if name:
                raise ChangedError(f"{what} is no longer there") from error
            raise ConfigError(f"there is no {what}; create it, or correct url") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise AuthError(f"{what}: the store refused the credentials") from error
        except (exceptions.PreconditionError, exceptions.AlreadyExistsError) as error:
            raise ChangedError(f"{what} was changed by another writer") from error
        except (exceptions.InvalidPathError, exceptions.NotSupportedError) as error:
            raise ConfigError(f"{what}: {_first_line(error)}") from error
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise TransientError(f"{what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _version(meta: Any) -> str:
    """Only some stores quote the tag, and only in some of their answers."""
    return str(meta.get("e_tag") or meta["last_modified"].isoformat()).strip('"')


def _spelled(meta: Any) -> str:
    return f"{meta.get('e_tag') or ''}\n{meta.get('version') or ''}"


def _s3(config: FilesConfig) -> Any:
    found: dict[str, Any] = {"region": config.region or "us-east-1"}
    if config.endpoint is not None:
        found["endpoint"] = config.endpoint
    if config.access_key_id is not None:
        found["access_key_id"] = config.access_key_id
    if config.secret_access_key is not None:
        found["secret_access_key"] = config.secret_access_key.get_secret_value()
    if config.session_token is not None:
        found["session_token"] = config.session_token.get_secret_value()
    return found


def _gcs(config: FilesConfig) -> Any:
    if config.service_account is None:
        return {}
    return {"service_account_key": config.service_account.get_secret_value()}


def _azure(config: FilesConfig) -> Any:
    found: dict[str, Any] = {}
    if config.account is not None:
        found["account_name"] = config.account
    if config.account_key is not None:
        found["account_key"] = config.account_key.get_secret_value()
    if config.sas_token is not None:
        found["sas_key"] = config.sas_token.get_secret_value()
    if config.endpoint is not None:
        found["endpoint"] = config.endpoint
    return found
