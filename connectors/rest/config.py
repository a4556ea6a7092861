"""The configuration of ``rest_api``: a REST source's spec, as a tenant writes it.

Law: whatever a spec can say, a tenant can say; what is wrong is told by its field's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.http.oauth import Credentials
from connectors.rest.columns import Kind
from connectors.rest.incremental import Spelling


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# Who calls


class NoAuthConfig(_Model):
    """Everybody may call."""

    kind: Literal["none"] = "none"


class BasicConfig(_Model):
    """HTTP Basic."""

    kind: Literal["basic"]
    user: str
    password: SecretStr


class BearerConfig(_Model):
    """A token in the ``Authorization`` header."""

    kind: Literal["bearer"]
    token: SecretStr


class HeaderKeyConfig(_Model):
    """A key in a header."""

    kind: Literal["header"]
    header: str
    key: SecretStr


class QueryKeyConfig(_Model):
    """A key in the query."""

    kind: Literal["query"]
    param: str
    key: SecretStr


class OAuth1Config(_Model):
    """One-legged OAuth 1.0a."""

    kind: Literal["oauth1"]
    key: str
    secret: SecretStr


class OAuth2Config(_Model):
    """OAuth 2. ``grant`` client_credentials needs no person; else a refresh token is needed.

    It is given here, or comes from authorizing the connection at ``authorize_url``.
    """

    kind: Literal["oauth2"]
    grant: Literal["refresh_token", "client_credentials"] = "refresh_token"
    token_url: str
    authorize_url: str | None = None
    client_id: str
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    scopes: tuple[str, ...] = ()
    credentials: Credentials = Credentials.BASIC


AuthConfig: TypeAlias = Annotated[
    NoAuthConfig
    | BasicConfig
    | BearerConfig
    | HeaderKeyConfig
    | QueryKeyConfig
    | OAuth1Config
    | OAuth2Config,
    Field(discriminator="kind"),
]


# How lists go on


class _Counted(_Model):
    total_header: str | None = None
    total_path: str | None = None
    total_is_pages: bool = False


class OnePageConfig(_Model):
    """The answer is the whole list."""

    kind: Literal["none"] = "none"


class NumberConfig(_Counted):
    """Page numbers."""

    kind: Literal["number"]
    size: int = Field(ge=1)
    page_param: str = "page"
    size_param: str | None = "per_page"
    start: int = 1
    short_ends: bool = True


class OffsetConfig(_Counted):
    """Offsets."""

    kind: Literal["offset"]
    size: int = Field(ge=1)
    offset_param: str = "offset"
    size_param: str = "limit"
    start: int = 0
    short_ends: bool = True


class CursorConfig(_Model):
    """A cursor in the answer."""

    kind: Literal["cursor"]
    param: str
    cursor: str
    in_header: bool = False
    more: str | None = None
    size: int | None = Field(default=None, ge=1)
    size_param: str = "limit"


class LinkConfig(_Model):
    """The ``Link`` header, or with ``path`` the next URL in the answer.

    ``shifts`` says that those links are page numbers in truth.
    """

    kind: Literal["link"]
    path: str | None = None
    size: int | None = Field(default=None, ge=1)
    size_param: str = "per_page"
    shifts: bool = False


class KeysetConfig(_Model):
    """The last record's key."""

    kind: Literal["keyset"]
    param: str
    key: str
    size: int = Field(ge=1)
    size_param: str = "limit"
    more: str | None = None
    short_ends: bool = True


PagesConfig: TypeAlias = Annotated[
    OnePageConfig | NumberConfig | OffsetConfig | CursorConfig | LinkConfig | KeysetConfig,
    Field(discriminator="kind"),
]


# Streams


class IncrementalConfig(_Model):
    """What changed since; see `connectors.rest.incremental.Incremental`."""

    field: str
    param: str | None = None
    until_param: str | None = None
    spelling: Spelling = Spelling.ISO
    pattern: str = "{}"
    until_pattern: str = "{}"
    exclusive: bool = False
    resolution_seconds: float = Field(default=1.0, ge=0)
    ordered: bool = False
    lag_seconds: float = Field(default=0.0, ge=0)
    params: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("pattern", "until_pattern")
    @classmethod
    def _has_a_place(cls, pattern: str) -> str:
        if pattern.count("{}") != 1 or pattern.replace("{}", "").count("{"):
            raise ValueError("write {} where the bound goes, once, as gte.{}")
        return pattern

    @property
    def resolution(self) -> timedelta:
        """As a duration."""
        return timedelta(seconds=self.resolution_seconds)


class ParentConfig(_Model):
    """Where a nested stream hangs; see `connectors.rest.spec.Parent`."""

    stream: str
    copied: Mapping[str, str] = Field(default_factory=dict, alias="copy")
    inside: str | None = None
    cursor: str | None = None
    having: str | None = None


class ColumnConfig(_Model):
    """One column; written short as its kind alone."""

    kind: Kind = Kind.TEXT
    path: str | None = None


class StreamConfig(_Model):
    """One list."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")
    path: str
    records: str = ""
    primary_key: tuple[str, ...] = ()
    columns: Mapping[str, Kind | ColumnConfig] | None = None
    pages: PagesConfig = Field(default_factory=OnePageConfig)
    incremental: IncrementalConfig | None = None
    params: Mapping[str, str] = Field(default_factory=dict)
    headers: Mapping[str, str] = Field(default_factory=dict)
    parent: ParentConfig | None = None

    @model_validator(mode="after")
    def _agrees(self) -> StreamConfig:
        if self.parent is not None and self.incremental is not None:
            raise ValueError("a nested stream goes by its parent's cursor: set parent.cursor")
        if self.columns is not None:
            cursor = self.incremental.field if self.incremental else None
            for name in (*self.primary_key, *((cursor,) if cursor else ())):
                if name not in self.columns:
                    raise ValueError(f"columns has no {name!r}, which is the key or the cursor")
        return self


class RateConfig(_Model):
    """At most so many calls in any span of so many seconds."""

    calls: int = Field(ge=1)
    per_seconds: float = Field(default=1.0, gt=0)


class RestApiConfig(_Model):
    """Any JSON API, without code."""

    base_url: str
    auth: AuthConfig = Field(default_factory=NoAuthConfig)
    streams: tuple[StreamConfig, ...] = Field(min_length=1)
    headers: Mapping[str, str] = Field(default_factory=dict)
    check_path: str | None = None
    rate: RateConfig | None = None
    concurrency: int = Field(default=4, ge=1, le=64)
    tries: int = Field(default=5, ge=1, le=20)
    connect_seconds: float = Field(default=10.0, gt=0, le=300)
    read_seconds: float = Field(default=30.0, gt=0, le=600)
    max_answer_mb: int = Field(default=64, ge=1, le=1024)
    max_pages: int = Field(default=100_000, ge=1)
    allow_private_addresses: bool = False

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a whole URL, as https://api.example.com/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a base URL has no user, query or fragment; credentials go into auth")
        return text

    @model_validator(mode="after")
    def _streams_agree(self) -> RestApiConfig:
        names = [stream.name for stream in self.streams]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"streams: the name {name!r} is there twice")
        parents = {s.name: s.parent.stream for s in self.streams if s.parent is not None}
        for name, above in parents.items():
            if above not in names:
                raise ValueError(f"streams: {name!r} hangs from {above!r}, which is no stream")
            seen = {name}
            while above in parents:
                if above in seen:
                    raise ValueError(f"streams: {name!r} hangs from itself")
                seen.add(above)
                above = parents[above]
        return self
