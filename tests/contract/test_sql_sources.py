"""PostgreSQL, SQLite and DuckDB as sources keep the contract, with and without an index."""

from pathlib import Path

import pytest

from connectors.contract import Source
from connectors.testing.source_suite import SourceContract
from tests.contract.systems import COLUMNS, INDEX, Duckdb, Postgres, Sqlite


class PostgresSource(Postgres):
    def __init__(self, url: str, *, indexed: bool) -> None:
        super().__init__(url)
        with self.connect() as connection:
            connection.execute(f"CREATE TABLE orders ({COLUMNS})".encode())
            if indexed:
                connection.execute(INDEX.encode())

    def open(self) -> Source:
        return self.source()


class SqliteSource(Sqlite):
    def __init__(self, directory: Path, *, indexed: bool) -> None:
        super().__init__(directory)
        with self.connect() as connection:
            connection.execute(f"CREATE TABLE orders ({COLUMNS})")
            if indexed:
                connection.execute(INDEX)

    def open(self) -> Source:
        return self.source()


class DuckdbSource(Duckdb):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        with self.connect() as connection:
            connection.execute(f"CREATE TABLE orders ({COLUMNS})")

    def open(self) -> Source:
        return self.source()


class TestAPostgresTableWithAnIndex(SourceContract):
    @pytest.fixture
    def system(self, postgres_url: str) -> PostgresSource:
        return PostgresSource(postgres_url, indexed=True)


class TestAPostgresTableWithoutAnIndex(SourceContract):
    @pytest.fixture
    def system(self, postgres_url: str) -> PostgresSource:
        return PostgresSource(postgres_url, indexed=False)


class TestASqliteTableWithAnIndex(SourceContract):
    @pytest.fixture
    def system(self, tmp_path: Path) -> SqliteSource:
        return SqliteSource(tmp_path, indexed=True)


class TestASqliteTableWithoutAnIndex(SourceContract):
    @pytest.fixture
    def system(self, tmp_path: Path) -> SqliteSource:
        return SqliteSource(tmp_path, indexed=False)


class TestADuckdbTable(SourceContract):
    @pytest.fixture
    def system(self, tmp_path: Path) -> DuckdbSource:
        return DuckdbSource(tmp_path)
