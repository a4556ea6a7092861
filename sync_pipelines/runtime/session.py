"""How a command gets at the catalog, for as long as it runs.

``SYNC_DATABASE_URL`` names it, else it is in the embedded PostgreSQL of ``SYNC_HOME``,
which is started for the command unless it runs already.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from connectors.errors import ConfigError
from sync_pipelines.catalog.secrets import KEY_FILE, SecretBox, load_keys
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.runtime.places import make_home
from sync_pipelines.runtime.postgres import embedded
from sync_pipelines.settings import Settings

DATABASE = "sync_pipelines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open catalog. ``is_embedded`` says that the server is the home's own."""

    settings: Settings
    catalog: Catalog
    is_embedded: bool


@contextmanager
def open_session(settings: Settings) -> Iterator[Session]:
    """The catalog that the settings name, its tables up to date, its secrets readable."""
    with _database_url(settings) as url:
        catalog = open_catalog(url, secret_box(settings))
        try:
            yield Session(
                settings=settings, catalog=catalog, is_embedded=settings.database_url is None
            )
        finally:
            catalog.close()


def secret_box(settings: Settings) -> SecretBox:
    """The keys that the settings or the key file hold."""
    configured = settings.secret_key.get_secret_value() if settings.secret_key else None
    home = settings.home_path
    if configured is None and not (home / KEY_FILE).exists():
        make_home(home)
    return SecretBox(load_keys(home, configured))


@contextmanager
def _database_url(settings: Settings) -> Iterator[str]:
    if settings.database_url is None:
        with embedded(settings.home_path) as server:
            yield server.ensure_database(DATABASE)
        return
    yield _checked(settings.database_url.get_secret_value())


def _checked(url: str) -> str:
    """The URL, if it is one of a PostgreSQL; a message never repeats it: it holds a password."""
    right = "write it as postgresql://user:password@host:5432/database"
    try:
        dialect = make_url(url).get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"SYNC_DATABASE_URL is not a URL; {right}") from error
    if dialect not in ("postgresql", "postgres"):
        raise ConfigError(f"SYNC_DATABASE_URL names a {dialect} database; {right}")
    return url
