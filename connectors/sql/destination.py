"""A database as a destination: which dialect, which encodings, and a writer for each stream.

Law: every writer has a connection of its own, so that streams written side by side do
not wait for one another before they commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime

from connectors.arrow import Logical, logical_of, native_of
from connectors.contract import Destination, Encoding, Selection, SyncMode, Target, Writer
from connectors.described import Schema, arrow_schema
from connectors.errors import ConfigError
from connectors.late import pa
from connectors.schema_policy import SchemaPolicy, variants
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.names import TableName
from connectors.sql.source import open_source
from connectors.sql.store import Store
from connectors.sql.tables import Table
from connectors.sql.writer import SqlWriter

_DEFAULT_SCHEMAS = {
    Dialect.POSTGRESQL: "public",
    Dialect.SQLITE: "main",
    Dialect.DUCKDB: "main",
}


def open_destination(config: DatabaseConfig) -> Destination:
    """A destination on this database; connects when first used."""
    return SqlDestination(config)


class SqlDestination:
    """One database to write to; see `connectors.contract.Destination`."""

    def __init__(
        self, config: DatabaseConfig, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._config = config
        self._clock = clock
        self._idle: list[Store] = []
        self._seen: dict[TableName, Table | None] = {}

    def check(self) -> str:
        """Connect, and say in one line to what."""
        store = self._store()
        self._idle.append(store)
        return store.version()

    def encodings(self, target: Target) -> Sequence[Encoding]:
        """Arrow always; before it ``pgcopy``, where no column would need a cast."""
        if not self._copies(target):
            return (Encoding.ARROW,)
        store = self._store()
        self._idle.append(store)
        name = store.table_name(target.dataset, target.table)
        present = self._seen[name] = store.describe(name)
        if present is not None and not _same_types(present, target.schema):
            return (Encoding.ARROW,)
        if present is not None and target.shapes and _is_shaped(present, target):
            return (Encoding.ARROW,)
        return (Encoding.PGCOPY, Encoding.ARROW)

    def open(self, target: Target, encoding: Encoding) -> Writer:
        """Start writing; creates and widens the table as the first commit needs it."""
        if encoding is Encoding.PGCOPY and not self._copies(target):
            raise ConfigError(f"{target.table!r} cannot be written as {encoding}; use arrow")
        store = self._store()
        opened = False
        try:
            writer = SqlWriter(store, target, self._clock, self._present(store, target))
            opened = True
        finally:
            if not opened:
                store.close()
        return writer

    def _present(self, store: Store, target: Target) -> Table | None:
        """The table as it is, or was when `encodings` looked: each commit looks again."""
        name = store.table_name(target.dataset, target.table)
        return self._seen.pop(name) if name in self._seen else store.describe(name)

    def _copies(self, target: Target) -> bool:
        return self._config.dialect is Dialect.POSTGRESQL and _all_native(target.schema)

    def read_table(self, dataset: str, table: str) -> pa.Table:
        """A whole table as Arrow, for transforms and reports downstream."""
        store = self._store()
        self._idle.append(store)
        name = store.table_name(dataset, table)
        with closing(open_source(self._config)) as source:
            stream = source.stream(name.spelled(_DEFAULT_SCHEMAS.get(self._config.dialect, "")))
            selection = Selection(stream=stream, mode=SyncMode.FULL)
            batches = source.read(selection, None, Encoding.ARROW)
            tables = [batch.data for batch in batches if isinstance(batch.data, pa.Table)]
        return pa.concat_tables([arrow_schema(stream.schema).empty_table(), *tables])

    def close(self) -> None:
        """Release connections; safe to call twice."""
        while self._idle:
            self._idle.pop().close()

    def _store(self) -> Store:
        return self._idle.pop() if self._idle else open_store(self._config)


def open_store(config: DatabaseConfig) -> Store:
    """One connection to write by; `ConfigError` for a database that is only read."""
    if config.dialect in (Dialect.MSSQL, Dialect.ORACLE):
        raise ConfigError(
            f"{config.redacted}: {config.dialect} is read from and not written to; write to "
            "PostgreSQL, MySQL, SQLite or DuckDB"
        )
    if config.dialect is Dialect.POSTGRESQL:
        from connectors.sql.postgres.writer import PostgresStore

        return PostgresStore(config)
    if config.dialect is Dialect.SQLITE:
        from connectors.sql.sqlite.writer import SqliteStore

        return SqliteStore(config)
    if config.dialect is Dialect.MYSQL:
        from connectors.sql.mysql.writer import MysqlStore

        return MysqlStore(config)
    from connectors.sql.duckdb.writer import DuckdbStore

    return DuckdbStore(config)


def _all_native(schema: Schema) -> bool:
    """Whether every column has a type that any PostgreSQL knows."""
    for field in schema:
        native = native_of(field)
        if native is None or native.dialect != Dialect.POSTGRESQL:
            return False
        if logical_of(field) in (Logical.ENUM, Logical.USER):
            return False
    return True


def _is_shaped(present: Table, target: Target) -> bool:
    """Whether columns become others on the way, which nobody does to raw bytes."""
    known = present.schema.names
    new = any(name not in known for name in target.schema.names)
    leaves_out = new and target.schema_policy is SchemaPolicy.IGNORE_NEW
    return leaves_out or any(variants(name, known) for name in target.schema.names)


def _same_types(present: Table, schema: Schema) -> bool:
    for field in schema:
        column, native = present.column(field.name), native_of(field)
        if column is not None and (native is None or column.native != native.type):
            return False
    return True
