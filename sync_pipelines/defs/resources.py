"""What Dagster hands to assets, schedules and sensors: the engine, opened once a process."""

from functools import cache
from random import Random

import dagster as dg

from connectors.errors import ConfigError
from sync_pipelines.catalog.secrets import SecretBox, load_keys
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.engine.run import Engine
from sync_pipelines.logs import configure_logging
from sync_pipelines.settings import Settings
from sync_pipelines.tracing import configure_tracing


class EngineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The engine on the catalog that ``SYNC_DATABASE_URL`` names."""

    def open(self) -> Engine:
        """The process's engine."""
        return _engine()


@cache
def _engine() -> Engine:
    settings = Settings()
    configure_logging(settings.log_format)
    configure_tracing(settings.otel_endpoint, process="dagster")
    if settings.database_url is None:
        raise ConfigError(
            "SYNC_DATABASE_URL is not set; set it to a postgresql:// URL, or start everything "
            "with `sync-pipelines up`, which brings its own PostgreSQL"
        )
    key = settings.secret_key.get_secret_value() if settings.secret_key else None

    def keys() -> tuple[str, ...]:
        return load_keys(settings.home_path, key)

    box = SecretBox(keys(), reload=keys)
    catalog = open_catalog(settings.database_url.get_secret_value(), box)
    return Engine(catalog=catalog, rng=Random(), transform_modules=settings.allowed_transforms)
