"""What every room of tests may lean on: a real PostgreSQL, and an empty database in it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql
from sqlalchemy import URL, make_url

from sync_pipelines.runtime.postgres import discard, embedded
from tests.orphans import cleared_if_killed
from tests.world import make_catalog

# The shipped suites explain their failures as any other test does.
pytest.register_assert_rewrite("connectors.testing")

# What turns red turned so by a change, and does it again. `make explore` draws other examples.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def postgres_server(worker_home: Path) -> Iterator[str]:
    """URL of a server's ``postgres`` database, with the right to create databases.

    ``SYNC_TEST_POSTGRES_URL`` names a running one; else an embedded one is started
    in a temporary home, and removed with all its data at the end.
    """
    given = os.environ.get("SYNC_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    try:
        with embedded(worker_home) as server:
            _forget_power_cuts(server.url("postgres"))
            yield server.url("postgres")
    finally:
        discard(worker_home)


@pytest.fixture(scope="session")
def worker_home() -> Iterator[Path]:
    """A home of this test process's own; a short path, as people have.

    What lies in it is gone after the tests, even if they are killed.
    """
    made = tempfile.TemporaryDirectory(prefix="sync-tests-")
    with made as directory, cleared_if_killed(Path(directory)):
        yield Path(directory)


@pytest.fixture(scope="module")
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A ``postgresql://`` URL of a fresh, empty database, dropped after the module."""
    yield from _fresh_database(postgres_server)


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """Like ``postgres_url``, but one for each test."""
    yield from _fresh_database(postgres_server)


@pytest.fixture
def catalog_url(postgres_server: str, _catalog_template: str) -> Iterator[str]:
    """Like ``empty_postgres_url``, with the catalog's empty tables in it."""
    yield from _fresh_database(postgres_server, template=_catalog_template)


@pytest.fixture(scope="session")
def _catalog_template(postgres_server: str) -> Iterator[str]:
    """The name of a database whose tables are copied: that is far quicker than making them."""
    for url in _fresh_database(postgres_server):
        make_catalog(url).close()
        yield make_url(url).database or ""


def _forget_power_cuts(server: str) -> None:
    """Waiting for the disk protects from nothing that a test does."""
    with psycopg.connect(server, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute("SELECT pg_reload_conf()")


def _fresh_database(server: str, *, template: str = "template1") -> Iterator[str]:
    name = f"sync_test_{uuid4().hex[:16]}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _administer(server, made.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield _with_database(make_url(server), name)
    finally:
        dropped = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        _administer(server, dropped)


def _with_database(url: URL, name: str) -> str:
    return url.set(database=name).render_as_string(hide_password=False)


def _administer(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


LONG_TESTS = "SYNC_LONG_TESTS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Outages and chaos in real time take minutes each: they run where somebody asks."""
    if os.environ.get(LONG_TESTS):
        return
    skipped = pytest.mark.skip(reason=f"takes minutes; set {LONG_TESTS}=1 (make test-long)")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skipped)
