"""The three databases as the suites see them: ours through the contract, theirs through a driver.

Law: what is stored is put there and looked at by the database's own driver, never by
the connector under test.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from connectors import registry
from connectors.contract import Destination, Source
from connectors.testing.rows import Row

COLUMNS = '"id" BIGINT PRIMARY KEY, "changed_at" TIMESTAMPTZ, "note" TEXT'
INDEX = "CREATE INDEX orders_changed_at ON orders (changed_at)"
PUT = """INSERT INTO orders (id, changed_at, note) VALUES ({}, {}, {}) ON CONFLICT (id)
         DO UPDATE SET changed_at = excluded.changed_at, note = excluded.note"""


class Postgres:
    """A database whose schemas are the test's own."""

    stream = "orders"

    def __init__(self, url: str, *, fresh: bool = True) -> None:
        self.url = url
        if not fresh:
            return
        with self.connect() as connection:
            connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
            connection.execute("DROP TABLE IF EXISTS orders CASCADE")

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name in ("json", "jsonb"):
                connection.adapters.register_loader(name, TextLoader)
            yield connection

    def make_orders(self, *, indexed: bool) -> None:
        with self.connect() as connection:
            connection.execute(f"CREATE TABLE orders ({COLUMNS})".encode())
            if indexed:
                connection.execute(INDEX.encode())

    def source(self) -> Source:
        return registry.get("database").open_source({"url": self.url})

    def destination(self) -> Destination:
        return registry.get("database").open_destination({"url": self.url})

    def put(self, rows: Sequence[Row]) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            statement = PUT.format(*["%s"] * 3)
            cursor.executemany(statement.encode(), [(r.id, r.changed_at, r.note) for r in rows])

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        with self.connect() as connection:
            try:
                query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(dataset, table))
                return list(connection.execute(query).fetchall())
            except psycopg.errors.UndefinedTable:
                return None

    def tables(self) -> list[str]:
        query = """SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
                   WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY name"""
        with self.connect() as connection:
            return [record["name"] for record in connection.execute(query)]

    def drop(self, dataset: str, table: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(dataset, table)))


class Sqlite:
    """A file; a dataset is a prefix of its tables' names."""

    stream = "orders"

    def __init__(self, directory: Path) -> None:
        self.path = directory / "data.db"
        self.url = f"sqlite:///{self.path}"

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection

    def make_orders(self, *, indexed: bool) -> None:
        with self.connect() as connection:
            connection.execute(f"CREATE TABLE orders ({COLUMNS})")
            if indexed:
                connection.execute(INDEX)

    def source(self) -> Source:
        return registry.get("database").open_source({"url": self.url})

    def destination(self) -> Destination:
        return registry.get("database").open_destination({"url": self.url})

    def put(self, rows: Sequence[Row]) -> None:
        values = [
            (r.id, None if r.changed_at is None else r.changed_at.isoformat(sep=" "), r.note)
            for r in rows
        ]
        with self.connect() as connection:
            connection.executemany(PUT.format(*"???"), values)

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        if f"{dataset}__{table}" not in self.tables():
            return None
        with self.connect() as connection:
            found = connection.execute(f'SELECT * FROM "{dataset}__{table}"')
            return [dict(record) for record in found]

    def tables(self) -> list[str]:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        with self.connect() as connection:
            return [record["name"] for record in connection.execute(query)]

    def drop(self, dataset: str, table: str) -> None:
        with self.connect() as connection:
            connection.execute(f'DROP TABLE "{dataset}__{table}"')


class Duckdb:
    """A file that one process writes, or several read."""

    stream = "orders"

    def __init__(self, directory: Path) -> None:
        self.path = directory / "data.duckdb"
        self.url = f"duckdb:///{self.path}"
        self.reading: list[Source] = []

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        # Within one process all connections to a file must be configured alike.
        settings: dict[str, Any] = {"enable_external_access": "false"}
        with duckdb.connect(str(self.path), config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    def make_orders(self, *, indexed: bool) -> None:
        with self.connect() as connection:
            connection.execute(f"CREATE TABLE orders ({COLUMNS})")
            if indexed:
                connection.execute(INDEX)

    def source(self) -> Source:
        source = registry.get("database").open_source({"url": self.url})
        self.reading.append(source)
        return source

    def destination(self) -> Destination:
        return registry.get("database").open_destination({"url": self.url})

    def put(self, rows: Sequence[Row]) -> None:
        # Nobody can write a file while it is open for reading; a source opens it again.
        for source in self.reading:
            source.close()
        with self.connect() as connection:
            for row in rows:
                connection.execute(PUT.format(*"???"), [row.id, row.changed_at, row.note])

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        with self.connect() as connection:
            try:
                found = connection.sql(f'SELECT * FROM "{dataset}"."{table}"')
            except duckdb.CatalogException:
                return None
            return list(found.to_arrow_table().to_pylist())

    def tables(self) -> list[str]:
        query = "SELECT schema_name || '.' || table_name FROM duckdb_tables() ORDER BY 1"
        with self.connect() as connection:
            return [str(name) for (name,) in connection.execute(query).fetchall()]

    def drop(self, dataset: str, table: str) -> None:
        with self.connect() as connection:
            connection.execute(f'DROP TABLE "{dataset}"."{table}"')
