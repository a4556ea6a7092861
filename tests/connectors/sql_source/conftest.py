"""The same test on every dialect."""

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import psycopg
import pytest

from tests.connectors.sql_source.database import Database


@pytest.fixture
def postgres(postgres_url: str) -> Database:
    def run(sql: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql.encode())

    run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return Database(postgres_url, run)


def _sqlite(path: Path) -> Database:
    def run(sql: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(sql)

    return Database(f"sqlite:///{path}", run)


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return _sqlite(tmp_path / "shop.db")


def _duckdb(path: Path) -> Database:
    def run(sql: str) -> None:
        with duckdb.connect(str(path)) as connection:
            connection.execute(sql)

    return Database(f"duckdb:///{path}", run)


@pytest.fixture
def duck(tmp_path: Path) -> Database:
    return _duckdb(tmp_path / "shop.duckdb")


@pytest.fixture(params=["postgres", "sqlite", "duck"])
def database(request: pytest.FixtureRequest) -> Database:
    """The same test on every dialect."""
    found: Database = request.getfixturevalue(request.param)
    return found
