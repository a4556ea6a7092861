"""PostgreSQL, SQLite and DuckDB as sources keep the contract, with and without an index."""

from pathlib import Path

import pytest

from connectors.contract import Source
from connectors.testing.source_suite import SourceContract
from tests.contract.systems import Duckdb, Postgres, Sqlite

INDEXED = pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "not indexed"])


class PostgresSource(Postgres):
    def open(self) -> Source:
        return self.source()


class SqliteSource(Sqlite):
    def open(self) -> Source:
        return self.source()


class DuckdbSource(Duckdb):
    def open(self) -> Source:
        return self.source()


@INDEXED
class TestAPostgresSource(SourceContract):
    @pytest.fixture
    def system(self, postgres_url: str, indexed: bool) -> PostgresSource:
        system = PostgresSource(postgres_url)
        system.make_orders(indexed=indexed)
        return system


@INDEXED
class TestASqliteSource(SourceContract):
    @pytest.fixture
    def system(self, tmp_path: Path, indexed: bool) -> SqliteSource:
        system = SqliteSource(tmp_path)
        system.make_orders(indexed=indexed)
        return system


@INDEXED
class TestADuckdbSource(SourceContract):
    @pytest.fixture
    def system(self, tmp_path: Path, indexed: bool) -> DuckdbSource:
        system = DuckdbSource(tmp_path)
        system.make_orders(indexed=indexed)
        return system
