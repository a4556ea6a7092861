"""The catalog's tables are made and kept up to date by its migrations."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from connectors.errors import ConfigError
from sync_pipelines.catalog.tables import SCHEMA, Base
from tests.world import make_catalog


def test_the_migrations_make_exactly_the_tables_of_the_code(world):
    """R150."""
    with world.catalog.begin() as db:
        context = MigrationContext.configure(
            db,
            opts={
                "include_schemas": True,
                "version_table_schema": SCHEMA,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "compare_server_default": True,
            },
        )
        found = compare_metadata(context, Base.metadata)

    assert found == []


def test_two_processes_that_start_together_migrate_once(empty_postgres_url):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        catalogs = list(pool.map(lambda _: make_catalog(empty_postgres_url), range(4)))

    for catalog in catalogs:
        catalog.close()


def test_a_catalog_of_a_newer_version_is_refused_with_the_remedy(empty_postgres_url):
    make_catalog(empty_postgres_url).close()
    engine = create_engine(empty_postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as db:
        db.execute(text("UPDATE sync.alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigError, match=r"9999.*newer"):
        make_catalog(empty_postgres_url)
