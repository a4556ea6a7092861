"""Commands as people give them, a shop that is synced, and a tenant with a nightly sync."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest
import structlog
from sqlalchemy import text
from typer.testing import CliRunner

from connectors.testing.fake_api import FakeApi
from sync_pipelines.catalog.secrets import SecretBox, load_keys
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.cli import app
from tests.cli.bookkeeping import Flow
from tests.providers.quickbooks import QuickBooks
from tests.world import FakeClock, World


class Cli:
    """Gives commands as a person would, in this process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *arguments: str, fails: int = 0):
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == fails, result.output
        return result

    def apply(self, written: str, *options: str, fails: int = 0):
        """Apply a file of this text; ``{here}`` is the test's directory."""
        file = self.directory / "tenant.yaml"
        file.write_text(dedent(written).replace("{here}", str(self.directory)))
        return self("apply", "-f", str(file), *options, fails=fails)


@pytest.fixture
def cli(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    for name in [name for name in os.environ if name.startswith("SYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SYNC_DATABASE_URL", postgres_url)
    monkeypatch.setenv("SYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    yield Cli(tmp_path)
    structlog.reset_defaults()


@pytest.fixture
def catalog(cli: Cli, postgres_url: str) -> Iterator[Catalog]:
    """The catalog behind the commands, with nothing in it yet."""
    opened = open_catalog(postgres_url, SecretBox(load_keys(cli.directory / "home", None)))
    with opened.begin() as db:
        db.execute(text("DELETE FROM sync.syncs"))
        db.execute(text("DELETE FROM sync.tenants"))
        db.execute(text("DELETE FROM sync.audit_log"))
        db.execute(text("DELETE FROM sync.audit_heads"))
    yield opened
    opened.close()


SHOP = """\
tenant: acme
connections:
  shop: {connector: database, config: {url: "sqlite:///{here}/shop.db"}}
  house: {connector: database, config: {url: "sqlite:///{here}/house.db"}}
syncs:
  orders:
    source: shop
    destination: house
    dataset: main
    streams:
      - {name: orders, sync_mode: incremental, cursor_field: updated_at, write_mode: upsert}
      - countries
    schedules:
      nightly: {type: daily}
"""


@pytest.fixture
def shop(cli: Cli, catalog: Catalog) -> Path:
    """A SQLite shop of three orders and two countries, and an applied sync of it to another."""
    path = cli.directory / "shop.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at DATETIME NOT NULL, note TEXT);
            CREATE INDEX orders_updated_at ON orders (updated_at);
            INSERT INTO orders VALUES
                (1, '2026-01-01 10:00:00', 'a'),
                (2, '2026-01-01 11:00:00', 'b'),
                (3, '2026-01-02 12:00:00', 'c');
            CREATE TABLE countries (code TEXT PRIMARY KEY, name TEXT);
            INSERT INTO countries VALUES ('CA', 'Canada'), ('DE', 'Germany');
            """
        )
    cli.apply(SHOP)
    return path


NIGHTLY = "acme/orders/nightly"
EDMONTON = "America/Edmonton"


@pytest.fixture
def world(catalog: Catalog) -> World:
    """A tenant whose sync runs nightly in Edmonton; its schedule is two days old."""
    made = World(catalog, FakeClock(datetime.now(UTC) - timedelta(days=2)))
    made.schedule(made.sync(), {"type": "daily"}, name="nightly", timezone=EDMONTON)
    return made


def only(cli: Cli, *arguments: str):
    return json.loads(cli(*arguments, "--json").stdout)


@pytest.fixture
def company() -> Iterator[QuickBooks]:
    company = QuickBooks(lambda: datetime.now(UTC))
    with company.api:
        yield company


@pytest.fixture
def flow(cli: Cli, catalog: Catalog, company: QuickBooks) -> Iterator[Flow]:
    with FakeApi() as api:
        yield Flow(cli, api, company)
