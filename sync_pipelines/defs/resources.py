"""What Dagster hands to assets, schedules and sensors: the engine, opened once a process."""

from contextlib import suppress
from functools import cache
from random import Random

import dagster as dg
import sqlalchemy
from sqlalchemy.exc import DBAPIError

from connectors.errors import ConfigError, TransientError
from sync_pipelines.catalog.secrets import SecretBox, load_keys
from sync_pipelines.catalog.store import Catalog, current_engine
from sync_pipelines.engine.rehearsing import rehearse
from sync_pipelines.engine.run import Engine
from sync_pipelines.logs import configure_logging
from sync_pipelines.settings import Settings
from sync_pipelines.tracing import configure_tracing


class EngineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The engine on the catalog that ``SYNC_DATABASE_URL`` names."""

    def open(self) -> Engine:
        """The process's engine."""
        return _engine()


def prepare() -> None:
    """Have all of the engine that can be had without keeping a connection; a fork has it, too.

    Not the keys: they are read when the engine is opened, so that nothing is encrypted
    under one that was replaced meanwhile.
    """
    with suppress(ConfigError, TransientError, DBAPIError):  # whoever runs something is told
        database = _database()
        try:
            rehearse(database)
        finally:
            database.dispose()


@cache
def _engine() -> Engine:
    settings = _settings()
    configure_logging(settings.log_format)
    configure_tracing(settings.otel_endpoint, process="dagster")
    database = _database()
    key = settings.secret_key.get_secret_value() if settings.secret_key else None

    def keys() -> tuple[str, ...]:
        return load_keys(settings.home_path, key)

    catalog = Catalog(engine=database, secrets=SecretBox(keys(), reload=keys))
    return Engine(catalog=catalog, rng=Random(), transform_modules=settings.allowed_transforms)


@cache
def _settings() -> Settings:
    return Settings()


@cache
def _database() -> sqlalchemy.Engine:
    url = _settings().database_url
    if url is None:
        raise ConfigError(
            "SYNC_DATABASE_URL is not set; set it to a postgresql:// URL, or start everything "
            "with `sync-pipelines up`, which brings its own PostgreSQL"
        )
    return current_engine(url.get_secret_value())
