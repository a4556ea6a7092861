"""One destination database, written in one encoding, and looked into from outside."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from pydantic import SecretStr

from connectors.arrow import Native, field, native_of
from connectors.contract import (
    Batch,
    Counts,
    Encoding,
    PgCopy,
    Rejection,
    State,
    Target,
    WriteMode,
    Writer,
)
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.destination import open_destination

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ID = field("id", pa.int64(), native=Native(dialect="postgresql", type="bigint"))
NOTE = field("note", pa.string(), native=Native(dialect="postgresql", type="text"))
AT = field(
    "at",
    pa.timestamp("us", "UTC"),
    native=Native(dialect="postgresql", type="timestamp with time zone"),
)

SCHEMA = pa.schema([ID, NOTE, AT])
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """One destination database, written in one encoding, and looked into from outside."""

    url: str
    dataset: str
    encoding: Encoding

    @property
    def config(self) -> DatabaseConfig:
        return DatabaseConfig(url=SecretStr(self.url))

    def target(self, **changes: Any) -> Target:
        base = Target(
            owner="acme/orders",
            stream="orders",
            execution="first",
            dataset=self.dataset,
            table="orders",
            schema=SCHEMA,
            write_mode=WriteMode.UPSERT,
            primary_key=("id",),
            cursor_field="at",
        )
        return replace(base, **changes)

    def table(self, name: str = "orders") -> str:
        sqlite = self.config.dialect is Dialect.SQLITE
        return f'"{self.dataset}__{name}"' if sqlite else f'"{self.dataset}"."{name}"'

    def query(self, sql: str) -> list[Row]:
        """Ask the database itself, in a connection of its own."""
        if self.config.dialect is Dialect.POSTGRESQL:
            with psycopg.connect(self.config.conninfo, autocommit=True) as connection:
                cursor = connection.execute(sql.encode())
                return cursor.fetchall() if cursor.description else []
        if self.config.dialect is Dialect.SQLITE:
            with closing(sqlite3.connect(self.config.path, isolation_level=None)) as connection:
                return connection.execute(sql).fetchall()
        with duckdb.connect(self.config.path, config={"enable_external_access": "false"}) as duck:
            return duck.execute(sql).fetchall()

    def rows(self, columns: str = "id, note") -> list[Row]:
        return self.query(f"SELECT {columns} FROM {self.table()} ORDER BY 1, 2")

    def open(self, target: Target) -> Writer:
        return open_destination(self.config).open(target, self.encoding)

    def batch(
        self,
        rows: Sequence[Row],
        *,
        schema: pa.Schema = SCHEMA,
        state: State | None = None,
        rejected: tuple[Rejection, ...] = (),
    ) -> Batch:
        data = pa.Table.from_pylist(
            [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
        )
        if self.encoding is Encoding.ARROW:
            return Batch(data=data, state=state, rejected=rejected)
        return Batch(data=_copied(self.config, data), state=state, rejected=rejected)

    def sync(self, target: Target, *rows: Row, schema: pa.Schema = SCHEMA) -> Counts:
        """One whole execution that brings these rows."""
        with closing(self.open(target)) as writer:
            if rows:
                writer.write(self.batch(rows, schema=schema))
            return writer.commit(None, finished=True).counts


def _copied(config: DatabaseConfig, data: pa.Table) -> PgCopy:
    """The rows as the binary COPY of a table that holds them."""
    natives = [native_of(one) for one in data.schema]
    kinds = [native.type for native in natives if native is not None]
    columns = ", ".join(f'"{n}" {k}' for n, k in zip(data.column_names, kinds, strict=True))
    marks = ", ".join("%s" for _ in kinds)
    with psycopg.connect(config.conninfo) as connection:
        connection.execute(f"CREATE TEMPORARY TABLE made ({columns})".encode())
        rows = [tuple(row.values()) for row in data.to_pylist()]
        connection.cursor().executemany(f"INSERT INTO made VALUES ({marks})".encode(), rows)
        with connection.cursor().copy("COPY made TO STDOUT (FORMAT binary)") as copy:
            chunks = [bytes(chunk) for chunk in copy]
    return PgCopy(columns=tuple(data.column_names), chunks=iter(chunks))


def row(id: int | None, note: str | None, day: int | None = 0) -> Row:
    return id, note, None if day is None else NOW + day * DAY


def states(house: House) -> str:
    sqlite = house.config.dialect is Dialect.SQLITE
    return '"_sync_state"' if sqlite else house.table("_sync_state")
