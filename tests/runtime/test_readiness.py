"""What the host of warm runs has ready before it forks."""

import os

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import CacheStats

from sync_pipelines.defs import resources
from sync_pipelines.runtime import storage
from sync_pipelines.runtime.storage import CatalogStorage, make_ready

NOWHERE = "postgresql://postgres@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(storage, "_READY", {})
    for known in (resources._settings, resources._database):
        known.cache_clear()
    yield
    for known in (resources._settings, resources._database):
        known.cache_clear()


def backends(url):
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name IN ('dagster', 'sync-pipelines')"
        ).fetchone()[0]


def test_a_storage_that_was_made_ready_asks_no_more_than_it_is_asked(empty_postgres_url):
    CatalogStorage(empty_postgres_url).close()
    make_ready(empty_postgres_url)
    sent = []

    opened = CatalogStorage(empty_postgres_url)
    event.listen(opened._pool, "before_cursor_execute", lambda *told: sent.append(told[4]))
    opened.run_storage.has_run("nobody")
    opened.event_log_storage.has_dynamic_partition("syncs", "acme/orders")
    opened.close()

    assert [context.cache_hit for context in sent] == [CacheStats.CACHE_HIT] * 2


def test_no_connection_is_kept_for_those_who_are_forked(catalog_url, monkeypatch):
    monkeypatch.setitem(os.environ, "SYNC_DATABASE_URL", catalog_url)
    CatalogStorage(catalog_url).close()

    resources.prepare()
    make_ready(catalog_url)

    assert backends(catalog_url) == 0


def test_tables_that_are_not_there_are_not_made_by_getting_ready(empty_postgres_url):
    make_ready(empty_postgres_url)

    with psycopg.connect(empty_postgres_url) as connection:
        made = connection.execute("SELECT to_regclass('dagster.runs')").fetchone()[0]
    assert made is None


def test_a_database_that_does_not_answer_keeps_no_host_from_starting(monkeypatch):
    """Its runs are told, each by itself; and once it answers, they go on without this."""
    monkeypatch.setitem(os.environ, "SYNC_DATABASE_URL", NOWHERE)

    resources.prepare()
    make_ready(NOWHERE)

    assert storage._READY == {}
