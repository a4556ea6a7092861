"""Opening the catalog: one pooled engine, its migrations, its secrets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from uuid import UUID

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import configure_mappers

from connectors.errors import ConfigError, TransientError
from sync_pipelines.catalog.isolation import enter
from sync_pipelines.catalog.pinging import ping_after_idleness
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.tables import SCHEMA

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7_283_551_906
"""Key of the advisory lock under which one process at a time migrates."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog of one installation. Queries take a connection from `begin`.

    With a ``tenant_id`` it is that tenant's view of it: see `as_tenant`. ``within`` is the
    transaction that all of its own are parts of: see `joined`.
    """

    engine: Engine
    secrets: SecretBox
    tenant_id: UUID | None = None
    within: Connection | None = None

    def as_tenant(self, tenant_id: UUID) -> "Catalog":
        """The catalog as the gateway sees it on behalf of a tenant: no row of another's.

        It shares the connections of this one, and is not to be closed.
        """
        return replace(self, tenant_id=tenant_id)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back by an exception."""
        if self.within is not None:
            with self.within.begin_nested():
                yield self.within
            return
        with self.engine.begin() as connection:
            if self.tenant_id is not None:
                enter(connection, self.tenant_id)
            yield connection

    @contextmanager
    def joined(self) -> Iterator["Catalog"]:
        """The same, but all that is done by it is committed at the end, or nothing of it."""
        with self.begin() as connection:
            yield replace(self, within=connection)

    def apart(self) -> "Catalog":
        """The same as others see it, where transactions are not joined."""
        return replace(self, within=None)

    def close(self) -> None:
        """Close pooled connections; safe to call twice."""
        self.engine.dispose()


def open_catalog(url: str, secrets: SecretBox) -> Catalog:
    """Connect to the catalog at a ``postgresql://`` URL, and bring its tables up to date."""
    return Catalog(engine=current_engine(url), secrets=secrets)


def current_engine(url: str) -> Engine:
    """The engine of the catalog at a ``postgresql://`` URL, whose tables are up to date."""
    configure_mappers()
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=5,
        max_overflow=15,
        connect_args={"application_name": "sync-pipelines", "options": "-c timezone=UTC"},
    )
    ping_after_idleness(engine)
    try:
        migrate(engine)
    except OperationalError as error:
        engine.dispose()
        raise TransientError(f"the catalog does not answer: {error.orig}") from error
    except BaseException:  # nobody else has the engine to close
        engine.dispose()
        raise
    return engine


def migrate(engine: Engine) -> None:
    """Create or upgrade the catalog's tables; of several processes one does it."""
    with engine.connect() as connection:
        if is_current(connection):
            return
    config = _alembic()
    script = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        found = _revision(connection)
        known = {revision.revision for revision in script.walk_revisions()}
        if found is not None and found not in known:
            raise ConfigError(
                f"the catalog is at revision {found!r}, which this version does not know; "
                "it was upgraded by a newer one: use that"
            )
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(connection: Connection) -> bool:
    """Whether the catalog's tables are those that this version knows."""
    return _revision(connection) == _newest_revision()


@cache
def _newest_revision() -> str | None:
    """That of the tables this version knows."""
    return ScriptDirectory.from_config(_alembic()).get_current_head()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    return context.get_current_revision()
