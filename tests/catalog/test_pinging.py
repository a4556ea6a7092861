import pytest
from sqlalchemy import text

from sync_pipelines.catalog import pinging
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import open_catalog


@pytest.fixture
def catalog(catalog_url):
    catalog = open_catalog(catalog_url, SecretBox((new_key(),)))
    yield catalog
    catalog.close()


@pytest.fixture
def other(catalog_url):
    """Somebody else's catalog, who can end connections."""
    catalog = open_catalog(catalog_url, SecretBox((new_key(),)))
    yield catalog
    catalog.close()


def backend(catalog):
    with catalog.begin() as db:
        return db.scalar(text("SELECT pg_backend_pid()"))


def end(other, pid):
    with other.begin() as db:
        db.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def test_a_connection_that_was_lost_while_it_was_idle_is_replaced(catalog, other, monkeypatch):
    monkeypatch.setattr(pinging, "IDLE_SECONDS", 0.0)
    before = backend(catalog)
    end(other, before)

    assert backend(catalog) != before


def test_one_that_lives_is_used_again(catalog, monkeypatch):
    monkeypatch.setattr(pinging, "IDLE_SECONDS", 0.0)

    assert backend(catalog) == backend(catalog)


@pytest.mark.parametrize(("idle_seconds", "pings"), [(0.0, 1), (60.0, 0)])
def test_a_connection_is_asked_only_after_it_was_idle(catalog, monkeypatch, idle_seconds, pings):
    asked = []
    dialect = catalog.engine.dialect
    ping = dialect.do_ping
    monkeypatch.setattr(dialect, "do_ping", lambda found: asked.append(1) or ping(found))
    monkeypatch.setattr(pinging, "IDLE_SECONDS", idle_seconds)

    backend(catalog)

    assert len(asked) == pings
