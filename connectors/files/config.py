"""The configuration of a place with files: where it is, who may enter, which streams it has.

Law: credentials are never part of what is shown; a path never leads out of its root.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.files.kinds import Kind, kind_called


class Scheme(StrEnum):
    """The stores we speak to."""

    FILE = "file"
    S3 = "s3"
    GS = "gs"
    AZ = "az"
    SFTP = "sftp"


class FormatName(StrEnum):
    """How records are written in an object."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    EXCEL = "excel"


class Compression(StrEnum):
    """How an object is packed as a whole."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class Misfits(StrEnum):
    """What becomes of a value that its column's type cannot hold.

    ``variant`` keeps its text in a column ``<name>__text`` beside the empty one; ``reject``
    leaves its record out and counts it; ``fail`` ends the execution.
    """

    VARIANT = "variant"
    REJECT = "reject"
    FAIL = "fail"


class Tracking(StrEnum):
    """How it is known which objects have been read.

    ``each`` remembers every object there is; ``time`` only the latest, and takes whatever
    lies further back than ``late_hours`` as read: for stores of very many objects.
    """

    EACH = "each"
    TIME = "time"


_SUFFIXES = {
    ".csv": FormatName.CSV,
    ".tsv": FormatName.CSV,
    ".txt": FormatName.CSV,
    ".json": FormatName.JSONL,
    ".jsonl": FormatName.JSONL,
    ".ndjson": FormatName.JSONL,
    ".parquet": FormatName.PARQUET,
    ".xlsx": FormatName.EXCEL,
}
_PACKED = {".gz": Compression.GZIP, ".zst": Compression.ZSTD}

_FORBID = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

_Symbol = Annotated[str, Field(min_length=1, max_length=1)]


class CsvOptions(BaseModel):
    """How a CSV file is to be read.

    ``empty_lines``: whether an empty line is a record, as it is in a file with one column.
    """

    model_config = _FORBID

    delimiter: _Symbol | None = None
    quote: _Symbol = '"'
    header: bool = True
    encoding: str = "utf-8"
    null_words: tuple[str, ...] = ("",)
    empty_lines: bool = False

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(f"{encoding!r} is no encoding; try 'utf-8' or 'latin-1'") from None
        return encoding


class StreamConfig(BaseModel):
    """One stream: which objects it is made of, and how they are read.

    ``path`` is a pattern below the URL: ``*`` and ``?`` stay within one directory, ``**``
    does not. ``columns`` gives types to columns by name; others are inferred.
    """

    model_config = _FORBID

    path: str = Field(min_length=1)
    format: FormatName | None = None
    compression: Compression | None = None
    csv: CsvOptions = CsvOptions()
    sheet: str | None = None
    columns: Mapping[str, str] = Field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    misfits: Misfits = Misfits.VARIANT
    append_only: bool = False
    tracking: Tracking = Tracking.EACH
    late_hours: float = Field(default=24, gt=0)

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{path!r} must lie below the connection's URL, without '..'")
        return path

    @field_validator("columns")
    @classmethod
    def _known_types(cls, columns: Mapping[str, str]) -> Mapping[str, str]:
        for name, word in columns.items():
            try:
                kind_called(word)
            except ValueError as error:
                raise ValueError(f"column {name!r}: {error}") from None
        return columns

    @model_validator(mode="after")
    def _can_be_continued(self) -> Self:
        lines = self.format in (None, FormatName.CSV, FormatName.JSONL)
        if self.append_only and (not lines or self.compression not in (None, Compression.NONE)):
            raise ValueError("append_only needs unpacked CSV or JSON lines, which can be continued")
        return self

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The declared types."""
        return {name: kind_called(word) for name, word in self.columns.items()}

    @property
    def late(self) -> timedelta:
        """How long an object may take to appear with an older time."""
        return timedelta(hours=self.late_hours)

    def format_of(self, name: str) -> FormatName | None:
        """How an object of this name is read; None if nothing says so."""
        return self.format or format_of(name)

    def compression_of(self, name: str) -> Compression:
        """How an object of this name is packed."""
        return self.compression or compression_of(name)


def format_of(name: str) -> FormatName | None:
    """What an object's name says of its format."""
    path = PurePosixPath(name)
    unpacked = path.with_suffix("") if path.suffix.lower() in _PACKED else path
    return _SUFFIXES.get(unpacked.suffix.lower())


def compression_of(name: str) -> Compression:
    """What an object's name says of its packing."""
    return _PACKED.get(PurePosixPath(name).suffix.lower(), Compression.NONE)


class Writing(BaseModel):
    """How a destination writes; CSV and JSON lines are packed by gzip unless it says otherwise."""

    model_config = _FORBID

    format: FormatName = FormatName.PARQUET
    compression: Compression | None = None

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        if self.format is FormatName.EXCEL:
            raise ValueError("excel is read, not written; write parquet, csv or jsonl")
        if self.format is FormatName.PARQUET and self.packed is not Compression.NONE:
            raise ValueError("parquet is packed by itself; leave compression out")
        return self

    @property
    def packed(self) -> Compression:
        """How objects are packed as a whole."""
        usual = Compression.NONE if self.format is FormatName.PARQUET else Compression.GZIP
        return self.compression or usual


_PART_OF_HOST = r"^[A-Za-z0-9_-]+$"
"""A store's host is made of it; with any other character it could name another host."""


class FilesConfig(BaseModel):
    """A place with files by its URL.

    ``file:///data/in``, ``s3://bucket/prefix``, ``gs://bucket/prefix``,
    ``az://container/prefix``, ``sftp://user@host:22/directory``. ``endpoint`` leads to a
    server other than the provider's own; ``allow_http`` lets it be without TLS.
    """

    model_config = _FORBID

    url: str
    streams: Mapping[str, StreamConfig] = Field(default_factory=dict)
    writing: Writing = Writing()
    endpoint: str | None = None
    allow_http: bool = False
    region: str | None = Field(default=None, pattern=_PART_OF_HOST)
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    service_account: SecretStr | None = None
    account: str | None = Field(default=None, pattern=_PART_OF_HOST)
    account_key: SecretStr | None = None
    sas_token: SecretStr | None = None
    password: SecretStr | None = None
    private_key: SecretStr | None = None
    host_key: str | None = None
    connect_timeout_seconds: int = Field(default=10, ge=1, le=300)
    settle_seconds: float | None = Field(default=None, ge=0)
    unfinished_suffixes: tuple[str, ...] = (".tmp", ".part", ".partial", ".filepart", ".crdownload")
    most_unpacked_mb: int = Field(default=65_536, ge=1)
    fetch_ahead: int = Field(default=4, ge=1, le=32)

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in Scheme.__members__.values():
            known = ", ".join(f"{scheme}://" for scheme in Scheme)
            raise ValueError(f"a URL must start with one of {known}")
        if parts.password is not None:
            raise ValueError("the password belongs in the field password, not in the URL")
        if ".." in PurePosixPath(unquote(parts.path)).parts:
            raise ValueError("the URL's path must not contain '..'")
        if parts.query or parts.fragment:
            raise ValueError("write ? as %3F and # as %23 in the URL's path")
        return _checked_authority(url, parts)

    @property
    def scheme(self) -> Scheme:
        """Which store this is."""
        return Scheme(urlsplit(self.url).scheme)

    @property
    def bucket(self) -> str:
        """The bucket or container."""
        return urlsplit(self.url).netloc

    @property
    def root(self) -> str:
        """The directory or prefix that everything lies below, as the store spells it."""
        path = unquote(urlsplit(self.url).path)
        return path if self.scheme in (Scheme.FILE, Scheme.SFTP) else path.strip("/")

    @property
    def redacted(self) -> str:
        """The URL without the user, for people and logs."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def settles(self) -> timedelta:
        """How long an object must have been left alone; whole uploads need no waiting."""
        if self.settle_seconds is not None:
            return timedelta(seconds=self.settle_seconds)
        in_place = self.scheme in (Scheme.FILE, Scheme.SFTP)
        return timedelta(seconds=10 if in_place else 0)

    @property
    def most_unpacked_bytes(self) -> int:
        """What one object may unpack to."""
        return self.most_unpacked_mb * 1024 * 1024


def _checked_authority(url: str, parts: SplitResult) -> str:
    if parts.scheme == Scheme.FILE:
        if parts.netloc or not parts.path.startswith("/") or parts.path.strip("/") == "":
            raise ValueError("write an absolute directory after file://, as file:///data/in")
    elif not parts.hostname:
        what = "a host" if parts.scheme == Scheme.SFTP else "a bucket or container"
        raise ValueError(f"{parts.scheme}:// must be followed by {what}")
    return url
