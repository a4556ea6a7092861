"""Secrets at rest: one Fernet token a connection, under the newest of several keys.

Law: plaintext leaves this room only as the configuration of a connection about to
be opened. Rotation adds a key in front, re-encrypts every row, then the old keys
may go.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from connectors.errors import ConfigError

KEY_FILE = "secret.key"


class KeyMissingError(ConfigError):
    """Secrets were encrypted under a key that is not here."""


class SecretBox:
    """Encrypts under the first key, decrypts under any.

    ``reload`` reads the keys again: a process that lives through a rotation meets
    secrets under a key that it has not seen yet.
    """

    def __init__(
        self, keys: tuple[str, ...], *, reload: Callable[[], tuple[str, ...]] | None = None
    ) -> None:
        """``keys`` are Fernet keys, newest first."""
        self._reload = reload
        self._use(keys)

    def _use(self, keys: tuple[str, ...]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise ConfigError(
                "SYNC_SECRET_KEY must hold Fernet keys (32 url-safe base64 bytes each), "
                "comma-separated, newest first; `sync-pipelines secrets new-key` prints one"
            ) from error
        self.key_id = key_id(keys[0])

    def seal(self, secrets: Mapping[str, object]) -> str:
        """Encrypt a JSON object."""
        return self._fernet.encrypt(json.dumps(secrets, sort_keys=True).encode()).decode()

    def open(self, token: str) -> Mapping[str, object]:
        """Decrypt what `seal` made; `KeyMissingError` when none of the keys fits."""
        try:
            opened: dict[str, object] = json.loads(self._decrypted(token.encode()))
        except InvalidToken as error:
            raise KeyMissingError(
                "a connection's secrets were encrypted under a key that is not here; "
                "add the old key to SYNC_SECRET_KEY (newest first) or to the key file, "
                "or apply the connection again"
            ) from error
        return opened

    def forgiving(self) -> "SecretBox":
        """A box that opens what it has no key for as nothing: for those who will replace it."""
        return _ForgivingBox(self)

    def _decrypted(self, token: bytes) -> bytes:
        try:
            return self._fernet.decrypt(token)
        except InvalidToken:
            if self._reload is None:
                raise
            self._use(self._reload())
            return self._fernet.decrypt(token)


class _ForgivingBox(SecretBox):
    def __init__(self, box: SecretBox) -> None:
        self._box = box
        self.key_id = box.key_id

    def seal(self, secrets: Mapping[str, object]) -> str:
        return self._box.seal(secrets)

    def open(self, token: str) -> Mapping[str, object]:
        try:
            return self._box.open(token)
        except KeyMissingError:
            return {}


def key_id(key: str) -> str:
    """A short name for a key that tells nothing about it."""
    return sha256(key.encode()).hexdigest()[:12]


def new_key() -> str:
    """A fresh Fernet key."""
    return Fernet.generate_key().decode()


def load_keys(home: Path, configured: str | None) -> tuple[str, ...]:
    """The keys, newest first: ``configured`` (comma-separated), else the key file's lines.

    The file is made, readable by its owner only, when there is neither.
    """
    if configured:
        return tuple(key.strip() for key in configured.split(",") if key.strip())
    path = home / KEY_FILE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = _draft(home, new_key())
        # A link never overwrites: of two first starts, one makes the key.
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    keys = tuple(path.read_text().split())
    if not keys:
        raise ConfigError(f"the key file {path} is empty; restore it from a backup")
    return keys


def add_key(home: Path) -> tuple[str, ...]:
    """Put a fresh key in front of the key file's others; the file changes in one step."""
    keys = (new_key(), *load_keys(home, None))
    _draft(home, "\n".join(keys)).replace(home / KEY_FILE)
    return keys


def drop_old_keys(home: Path) -> int:
    """Keep the key file's first key alone; how many others there were.

    Only when nothing is encrypted under them any more.
    """
    newest, *others = load_keys(home, None)
    if others:
        _draft(home, newest).replace(home / KEY_FILE)
    return len(others)


def _draft(home: Path, text: str) -> Path:
    """A durable file beside the key file, for its owner's eyes only."""
    handle, name = mkstemp(prefix=KEY_FILE, dir=home)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(handle)
    return Path(name)
