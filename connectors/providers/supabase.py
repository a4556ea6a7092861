"""The connector ``supabase``: a project's tables, through its API or directly.

With ``database``, a PostgreSQL connection string, everything is done by the connector
``database``: faster, and exactly once. With ``url`` and ``key``, through PostgREST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.contract import Destination, Source
from connectors.errors import ConfigError
from connectors.http.redact import shown_url
from connectors.registry import Connector
from connectors.sql.config import DatabaseConfig

if TYPE_CHECKING:
    from connectors.http.call import Call
    from connectors.http.client import Signer
    from connectors.http.outside import Outside
    from connectors.rest.spec import Api
    from connectors.surroundings import TokenStore

TRANSACTION_POOLER = 6543


class SupabaseConfig(BaseModel):
    """A project by its API, or by its database.

    ``cursor_fields`` are the columns that grow with every change, where a table has one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str | None = None
    key: SecretStr | None = None
    database: SecretStr | None = None
    expose: str = "public"
    cursor_fields: tuple[str, ...] = ("updated_at",)
    page_rows: int = Field(default=1000, ge=1, le=100_000)
    concurrency: int = Field(default=4, ge=1, le=32)
    allow_private_addresses: bool = False

    @field_validator("database")
    @classmethod
    def _session(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            DatabaseConfig(url=url)
            if urlsplit(url.get_secret_value()).port == TRANSACTION_POOLER:
                raise ValueError(
                    f"port {TRANSACTION_POOLER} is the transaction pooler, which keeps no "
                    "session; use the session pooler, port 5432"
                )
        return url

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.database is None and (self.url is None or self.key is None):
            raise ValueError("give url and key, or database")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            raise ValueError("write the project's url as https://<ref>.supabase.co")
        return self

    @property
    def direct(self) -> DatabaseConfig | None:
        """The database, where that is how it is reached."""
        return None if self.database is None else DatabaseConfig(url=self.database)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAuth:
    """A key of the project. New ones are no tokens, and are not to be sent as such."""

    key: str = field(repr=False)

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `connectors.rest.auth.Auth`."""
        return self

    def sign(self, call: Call, url: str) -> Call:
        """See `Signer.sign`."""
        said = [("apikey", self.key)]
        if not self.key.startswith("sb_"):
            said.append(("Authorization", f"Bearer {self.key}"))
        return replace(call, headers=(*call.headers, *said))

    def renew(self, refused: Call) -> bool:
        """A key is good or it is not."""
        return False

    def secrets(self) -> Sequence[str]:
        """See `Signer.secrets`."""
        return (self.key,)


def api_of(config: SupabaseConfig) -> Api:
    """The project's API; its streams are found out by asking."""
    from connectors.http.client import Limits
    from connectors.rest.spec import Api

    if config.url is None or config.key is None:
        raise ConfigError("url and key: both are needed for a project's API")
    return Api(
        title="Supabase",
        base_url=f"{config.url.rstrip('/')}/rest/v1",
        streams=(),
        auth=KeyAuth(key=config.key.get_secret_value()),
        limits=Limits(
            concurrency=config.concurrency,
            together=config.concurrency if "concurrency" in config.model_fields_set else None,
        ),
        allow_private=config.allow_private_addresses,
    )


def _source(config: SupabaseConfig) -> Source:
    if config.direct is not None:
        from connectors.sql.source import open_source

        return open_source(config.direct)
    from connectors.providers.supabase_source import SupabaseSource

    return SupabaseSource(
        api=api_of(config),
        schema=config.expose,
        cursor_fields=config.cursor_fields,
        page_rows=config.page_rows,
    )


def _destination(config: SupabaseConfig) -> Destination:
    if config.direct is not None:
        from connectors.sql.destination import open_destination

        return open_destination(config.direct)
    from connectors.providers.supabase_destination import SupabaseDestination

    return SupabaseDestination(api=api_of(config))


def _place(config: SupabaseConfig) -> str:
    if config.direct is not None:
        return config.direct.redacted
    return shown_url(config.url or "").rstrip("/")


CONNECTOR = Connector(
    name="supabase",
    title="Supabase",
    collection="tables",
    config=SupabaseConfig,
    source=_source,
    destination=_destination,
    place=_place,
)
