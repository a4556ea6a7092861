"""PostgreSQL, SQLite and DuckDB as destinations keep the contract."""

from pathlib import Path
from typing import ClassVar

import pytest

from connectors.contract import Destination
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.features import Feature
from tests.contract.systems import Duckdb, Postgres, Sqlite


class PostgresDestination(Postgres):
    def open(self) -> Destination:
        return self.destination()


class SqliteDestination(Sqlite):
    def open(self) -> Destination:
        return self.destination()


class DuckdbDestination(Duckdb):
    def open(self) -> Destination:
        return self.destination()


class TestAPostgresDestination(DestinationContract):
    @pytest.fixture
    def system(self, postgres_url: str) -> PostgresDestination:
        return PostgresDestination(postgres_url)


class TestASqliteDestination(DestinationContract):
    lacks: ClassVar = {
        Feature.NOT_A_NUMBER: "SQLite stores NaN as NULL, so such a record is rejected"
    }

    @pytest.fixture
    def system(self, tmp_path: Path) -> SqliteDestination:
        return SqliteDestination(tmp_path)


class TestADuckdbDestination(DestinationContract):
    lacks: ClassVar = {
        Feature.ENDLESS_DECIMALS: "DuckDB's decimals end at 38 digits; longer ones are its text"
    }

    @pytest.fixture
    def system(self, tmp_path: Path) -> DuckdbDestination:
        return DuckdbDestination(tmp_path)
