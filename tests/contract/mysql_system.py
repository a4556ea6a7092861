"""MariaDB as the suites see it: ours through the contract, theirs through pymysql."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pymysql
from pymysql.cursors import DictCursor

from connectors import registry
from connectors.contract import Destination, Source
from connectors.sql.config import DatabaseConfig
from connectors.testing.rows import Row

COLUMNS = "`id` BIGINT PRIMARY KEY, `changed_at` TIMESTAMP(6) NULL, `note` TEXT"
FUTURE = datetime(2037, 1, 1, tzinfo=UTC)
"""As far as a TIMESTAMP goes."""


class Mariadb:
    """A database of the test's own on a server, and its datasets' databases."""

    stream = "orders"

    def __init__(self, server: str) -> None:
        self.server = server
        self.database = f"t{uuid4().hex[:12]}"
        self.url = f"{server}/{self.database}"
        with self.connect(None) as cursor:
            cursor.execute("DROP DATABASE IF EXISTS `shop`")
            cursor.execute(f"CREATE DATABASE `{self.database}`")

    @contextmanager
    def connect(self, database: str | None = "") -> Iterator[DictCursor]:
        address = DatabaseConfig.model_validate({"url": f"{self.server}/x"}).address
        connection = pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            database=self.database if database == "" else database,
            charset="utf8mb4",
            autocommit=True,
            ssl_disabled=True,
            init_command="SET SESSION time_zone = '+00:00'",
        )
        with connection, connection.cursor(DictCursor) as cursor:
            yield cursor

    def run(self, statement: str, *values: object) -> list[dict[str, Any]]:
        with self.connect() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def make_orders(self, *, indexed: bool) -> None:
        self.run(f"CREATE TABLE orders ({COLUMNS})")
        if indexed:
            self.run("CREATE INDEX orders_changed_at ON orders (changed_at)")

    def source(self) -> Source:
        return registry.get("database").open_source({"url": self.url})

    def destination(self) -> Destination:
        return registry.get("database").open_destination({"url": self.url})

    def put(self, rows: Sequence[Row]) -> None:
        statement = "REPLACE INTO orders (id, changed_at, note) VALUES (%s, %s, %s)"
        with self.connect() as cursor:
            for row in rows:
                at = row.changed_at and min(row.changed_at, FUTURE).replace(tzinfo=None)
                cursor.execute(statement, (row.id, at, row.note))

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        there = """SELECT 1 FROM information_schema.tables
                   WHERE table_schema = %s AND table_name = %s"""
        if not self.run(there, dataset, table):
            return None
        quoted = table.replace("`", "``")
        with self.connect(dataset) as cursor:
            cursor.execute(f"SHOW FULL COLUMNS FROM `{quoted}`")
            columns = list(cursor.fetchall())
            cursor.execute(f"SELECT * FROM `{quoted}`")
            found = [dict(record) for record in cursor.fetchall()]
        for record in found:
            for column in columns:
                record[column["Field"]] = _seen(record[column["Field"]], column)
        return list(found)

    def tables(self) -> list[str]:
        query = """SELECT concat(table_schema, '.', table_name) AS name
                   FROM information_schema.tables WHERE table_schema IN ('shop', %s)
                   AND table_type = 'BASE TABLE' ORDER BY 1"""
        return [record["name"] for record in self.run(query, self.database)]

    def drop(self, dataset: str, table: str) -> None:
        self.run(f"DROP TABLE `{dataset}`.`{table}`")


def _seen(value: Any, column: Mapping[str, Any]) -> Any:
    """The driver gives intervals for times of day, and what the comment says it does not know."""
    if value is None:
        return None
    if column["Comment"] == "sync:utc":
        return value.replace(tzinfo=UTC)
    if column["Type"].startswith("time("):
        return (datetime.min + value).time()  # noqa: DTZ901
    return value
