"""The process's settings, read from the environment once, at the door, and passed down."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, HttpUrl, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sync_pipelines.logs import LogFormat
from sync_pipelines.model.retention import RetentionPolicy


class Settings(BaseSettings):
    """Every setting has the prefix ``SYNC_``; README.md has them in a table.

    With no ``database_url`` the embedded PostgreSQL under ``home`` is used. With no
    ``secret_key`` a key file is made under ``home`` on first use. With no ``dagster_url``
    Dagster is where `up` has left word of it. ``trusted_proxies`` are the addresses,
    comma-separated, whose word for who asks is taken. ``public_url`` is where people and
    programs reach the gateway, if that is another place than it listens on. With an
    ``oidc_issuer`` people may sign in there; of ``oidc_domains``, comma-separated, also
    those who are no users yet. ``otel_endpoint`` is where spans go: see `tracing`.
    ``smtp_url`` is the mail server. A tenant's connections may
    name files under ``tenant_files``/TENANT only, and none where it is None; they and webhooks
    of notifications reach addresses inside this network only with
    ``allow_private_addresses``: see `may_reach_private` for what is so unasked.
    """

    model_config = SettingsConfigDict(
        env_prefix="SYNC_", frozen=True, extra="ignore", populate_by_name=True
    )

    home: Path = Path(".sync")
    database_url: SecretStr | None = None
    secret_key: SecretStr | None = None
    dagster_port: int = Field(default=3000, ge=1, le=65535)
    dagster_url: HttpUrl | None = None
    log_format: LogFormat = "console"
    otel_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        validation_alias=AliasChoices("SYNC_OTEL_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8000, ge=1, le=65535)
    trusted_proxies: str = ""
    public_url: HttpUrl | None = None
    body_limit_bytes: int = Field(default=1_000_000, ge=1_000)
    session_hours: int = Field(default=12, ge=1)
    token_requests_per_second: int = Field(default=20, ge=1)
    tenant_requests_per_second: int = Field(default=100, ge=1)
    manual_triggers_per_hour: int = Field(default=600, ge=1)
    oidc_issuer: HttpUrl | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_domains: str = ""
    smtp_url: SecretStr | None = None
    mail_from: str = "Sync Pipelines <sync-pipelines@localhost>"
    tenant_files: Path | None = None
    allow_private_addresses: bool | None = None
    retention_days: int = Field(default=30, ge=1)
    run_retention_days: int = Field(default=2, ge=1)
    transform_modules: str = ""

    @model_validator(mode="after")
    def _has_a_client(self) -> Self:
        if self.oidc_issuer is not None and not self.oidc_client_id:
            raise ValueError("SYNC_OIDC_ISSUER needs SYNC_OIDC_CLIENT_ID too")
        return self

    @property
    def may_reach_private(self) -> bool:
        """Whether what tenants configure may lead into this network: unasked, on one machine only.

        An installation with a database of its own is taken for one that others use.
        """
        if self.allow_private_addresses is None:
            return self.database_url is None
        return self.allow_private_addresses

    @property
    def retention(self) -> RetentionPolicy:
        """How long history is kept: ours, and Dagster's; failed runs no shorter than others."""
        runs_for = timedelta(days=self.run_retention_days)
        usual = RetentionPolicy()
        return RetentionPolicy(
            executions_for=timedelta(days=self.retention_days),
            runs_for=runs_for,
            failed_runs_for=max(runs_for, usual.failed_runs_for),
        )

    @property
    def allowed_transforms(self) -> tuple[str, ...]:
        """The modules that transforms may be taken from."""
        return tuple(name.strip() for name in self.transform_modules.split(",") if name.strip())

    @property
    def home_path(self) -> Path:
        """``home`` as an absolute path."""
        return self.home.expanduser().resolve()
