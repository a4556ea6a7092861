"""One database of a MongoDB deployment, connected to, and its errors as ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient, errors

from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.mongodb.config import MongoConfig

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

HISTORY_LOST = frozenset({286, 280, 136, 260, 222})
"""A change stream that cannot be gone on with: its events, or its token, are gone."""

NO_TOKEN = frozenset({2, 9, 14, 40647, 40649, 50811})
"""What servers say to a token that they cannot even read."""

NO_CHANGE_STREAMS = frozenset({40573, 115})
Document = dict[str, Any]


@dataclass(slots=True)
class MongoSession:
    """A client, made when first needed and kept until `close`."""

    config: MongoConfig
    _client: "MongoClient[Document] | None" = None

    @property
    def client(self) -> "MongoClient[Document]":
        """The client; it connects with its first question."""
        if self._client is None:
            milliseconds = self.config.connect_timeout_seconds * 1000
            limit = self.config.statement_timeout_seconds
            with translated(f"opening {self.config.redacted}"):
                self._client = MongoClient(
                    self.config.url.get_secret_value(),
                    appname="sync-pipelines",
                    serverSelectionTimeoutMS=milliseconds,
                    connectTimeoutMS=milliseconds,
                    timeoutMS=None if limit is None else limit * 1000,
                )
        return self._client

    @property
    def database(self) -> "Database[Document]":
        """The database, whose values come as they are: instants with UTC, UUIDs as UUIDs."""
        options: CodecOptions[Document] = CodecOptions(
            tz_aware=True,
            tzinfo=UTC,
            uuid_representation=UuidRepresentation.STANDARD,
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )
        return self.client.get_database(self.config.database, codec_options=options)

    def collection(self, name: str) -> "Collection[Document]":
        """A collection by its name."""
        return self.database[name]

    def names(self) -> list[str]:
        """Every collection and view but the server's own."""
        with translated("listing the collections"):
            found = self.database.list_collection_names()
        return sorted(name for name in found if not name.startswith("system."))

    def hello(self) -> Mapping[str, Any]:
        """What the server says of itself."""
        with translated("asking the server"):
            return self.client.admin.command("hello")

    def version(self) -> str:
        """Which server this is, in one line."""
        with translated("asking for the version"):
            number = self.client.server_info()["version"]
        return f"MongoDB {number} at {self.config.redacted}"

    @property
    def has_transactions(self) -> bool:
        """Whether this is a replica set or a sharded cluster, as transactions need."""
        said = self.hello()
        return "setName" in said or said.get("msg") == "isdbgrid"

    def now(self) -> datetime:
        """The server's clock."""
        found: datetime = self.hello()["localTime"]
        return found.replace(tzinfo=UTC)

    def close(self) -> None:
        """Close every connection; safe to call twice."""
        if self._client is not None:
            self._client.close()
        self._client = None


_AUTH = frozenset({13, 18, 8000, 11})
_TRANSIENT = frozenset(
    {6, 7, 24, 43, 46, 50, 63, 64, 89, 91, 112, 150, 175, 189, 202, 234, 237, 251, 262, 317, 358}
    | {9001, 10107, 11600, 11602, 13388, 13435, 13436, 16500}
)
_LABELS = ("TransientTransactionError", "RetryableWriteError", "ResumableChangeStreamError")


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn pymongo's errors into ours; ``action`` says what was tried."""
    try:
        yield
    except errors.PyMongoError as error:
        raise _told(action, error) from error


def code_of(error: BaseException | None) -> int | None:
    """The server's number of an error."""
    return error.code if isinstance(error, errors.OperationFailure) else None


def _told(action: str, error: errors.PyMongoError) -> ConnectorError:
    if isinstance(error, errors.InvalidURI | errors.ConfigurationError):
        # These may quote the part they stumbled over, which may be the password.
        return ConfigError(
            "the URL is not one that MongoDB understands; percent-encode special characters "
            "in user and password"
        )
    said = _said(error)
    code = code_of(error)
    if code in _AUTH:
        return AuthError(f"MongoDB refused {action}: {said}; check user, password and roles")
    waits = error.timeout or isinstance(error, errors.ConnectionFailure)
    if waits or code in _TRANSIENT or any(error.has_error_label(one) for one in _LABELS):
        return TransientError(f"MongoDB failed while {action}: {said}")
    return ConfigError(f"MongoDB refused {action} ({code}): {said}")


def _said(error: errors.PyMongoError) -> str:
    """One line, without what a duplicate's or a write's message quotes of a document."""
    if isinstance(error, errors.DuplicateKeyError | errors.BulkWriteError):
        return "a document does not fit the collection's unique index or validator"
    if isinstance(error, errors.OperationFailure):
        text = str((error.details or {}).get("errmsg") or error).split(", full error:")[0]
    else:
        text = str(error).split(", Timeout:")[0]
    return " ".join(text.split())[:300]
