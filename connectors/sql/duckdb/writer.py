"""Writing to DuckDB: set operations on the whole batch, and no index to keep.

Laws: DuckDB lets two transactions go on until they touch one row, and then ends the
second; a state that another writer has moved is found in this way too. What waits to be
inserted is inserted before any other statement runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow import Logical, digits_of, logical_of, native_of
from connectors.contract import Counts, Greatest, PgCopy, State
from connectors.described import AnyField
from connectors.errors import ConfigError, ConnectorError, ContractError, TransientError
from connectors.sql import merge
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.duckdb import types
from connectors.sql.duckdb.session import DEFAULT_SCHEMA, DuckdbSession, translated
from connectors.sql.names import TableName, listed, literal, quoted
from connectors.sql.store import (
    STATE_TABLE,
    Kind,
    Match,
    Merged,
    Plan,
    Spelling,
    Staging,
    changes,
    refuse_other_key,
)
from connectors.sql.tables import Table

_MEANINGS = {
    Logical.JSON: "JSON",
    Logical.UUID: "UUID",
    Logical.TIME_TZ: "TIME WITH TIME ZONE",
}
_MOST_DIGITS = 38
_ARRIVING = "_arriving"
_NO_NUMBER = "[^-+.0-9eE]"
"""What no number is spelled with, but NaN and Infinity are."""

GROUP_ROWS = 50_000
"""Inserted by one statement, of which each takes some milliseconds beside its rows."""

GROUP_BYTES = 64 * 1024 * 1024
"""Wide rows do not wait for so many."""

ONE_THREAD = "SET threads = 1"
"""One behind the other, rows fill DuckDB's row groups, which are compressed and written while
others are read. Several threads break them up: twice the CPU, and they are written anew at last.
"""


def _differs(columns: Sequence[str], old: str, new: str) -> str:
    return " OR ".join(f"{old}.{quoted(c)} IS DISTINCT FROM {new}.{quoted(c)}" for c in columns)


class DuckdbStore:
    """See `connectors.sql.store.Store`."""

    spelling = Spelling(
        arrivals=("rowid",), differs=_differs, identity=lambda column: quoted(column.name)
    )

    def __init__(self, config: DatabaseConfig) -> None:
        self._session = DuckdbSession(config)
        self._begun = False
        self._staged: list[TableName] = []
        self._waiting: list[pa.Table] = []
        self._waits_for: Staging | None = None

    def version(self) -> str:
        """Which library this is, in one line."""
        return self._session.version()

    def table_name(self, dataset: str, table: str) -> TableName:
        """A dataset is a schema."""
        return self._session.full_name(TableName(schema=dataset or DEFAULT_SCHEMA, table=table))

    def describe(self, name: TableName) -> Table | None:
        """The table as this transaction sees it."""
        return self._session.describe(name)

    def storable(self, field: AnyField) -> AnyField:
        """The field as its column will be described."""
        native = self.column_type(field)
        return types.column(field.name, native, nullable=field.nullable).field

    def column_type(self, field: AnyField) -> str:
        """The native type if it is DuckDB's own, else one from what the field means."""
        native, logical = native_of(field), logical_of(field)
        if native is not None and native.dialect == Dialect.DUCKDB:
            return native.type
        if logical is Logical.DECIMAL:
            digits = digits_of(field)
            if digits is None or digits.precision > _MOST_DIGITS or digits.scale < 0:
                return "VARCHAR"
            return f"DECIMAL({digits.precision},{digits.scale})"
        if logical is not None:
            return _MEANINGS.get(logical, "VARCHAR")
        return _plain_type(field.name, field.type)

    def ensure_dataset(self, dataset: str) -> None:
        """Create the schema."""
        schema = f"{quoted(self._session.catalog)}.{quoted(dataset or DEFAULT_SCHEMA)}"
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")

    # The transaction

    def begin(self, *, arrow: bool) -> None:
        """Start the transaction in which records are staged and merged."""
        if not self._begun:
            self.execute("BEGIN TRANSACTION")
            self._begun = True

    def lock(self, names: Sequence[str]) -> None:
        """No lock: of two transactions that change one state, DuckDB ends the second."""

    def commit(self) -> None:
        """Commit, without the staging tables."""
        while self._staged:
            self.execute(f"DROP TABLE {self._staged.pop().sql}")
        self.execute("COMMIT")
        self._begun = False

    def rollback(self) -> None:
        """Undo; a failed COMMIT has done so already."""
        if not self._begun:
            return
        self._begun = False
        self._staged.clear()
        self._waiting.clear()
        try:
            self.execute("ROLLBACK")
        except ConnectorError:
            self._session.close()

    def execute(self, statement: str) -> int:
        """Run one statement; the number of rows it touched."""
        self._insert_waiting()
        try:
            with translated("writing"):
                found = self._session.connection.execute(statement).fetchall()
        except ConfigError as error:
            if isinstance(error.__cause__, duckdb.ConstraintException):
                raise TransientError(f"another writer was first: {error}") from error.__cause__
            raise
        return int(found[0][0]) if found and found[0] and isinstance(found[0][0], int) else 0

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The result of a query."""
        self._insert_waiting()
        with translated("writing"):
            return self._session.connection.execute(query).fetchall()

    # Loading

    def create(self, name: TableName, plan: Plan, key: Sequence[str], *, kind: Kind) -> None:
        """Create a table; only the state's has its key in an index, for `lock`'s sake."""
        prefix = "" if kind is Kind.REAL else "TEMPORARY "
        indexed = key if name.table == STATE_TABLE else ()
        self.execute(merge.create_table(name, plan, indexed, prefix=prefix))
        if kind is Kind.STAGED:
            self._staged.append(name)

    def stage(self, staging: Staging, data: pa.Table | PgCopy) -> Counts:
        """Insert the records, soon."""
        if isinstance(data, PgCopy):
            raise ContractError("DuckDB takes Arrow only")
        if self._waits_for != staging or not self._fits_behind(data):
            self._insert_waiting()
        self._waits_for = staging
        self._waiting.append(data)
        rows = sum(one.num_rows for one in self._waiting)
        if rows >= GROUP_ROWS or sum(one.nbytes for one in self._waiting) >= GROUP_BYTES:
            self._insert_waiting()
        return Counts(processed=data.num_rows, bytes=data.nbytes)

    def _fits_behind(self, data: pa.Table) -> bool:
        return not self._waiting or self._waiting[0].schema.equals(data.schema)

    def sound(self, staging: Staging, data: pa.Table) -> Any:
        """The records whose decimals are numbers: DuckDB's have no NaN."""
        kinds = {column.name: column.type for column in staging.plan}
        decimals = [
            quoted(name)
            for name in data.column_names
            if kinds[name].startswith("DECIMAL") and not _is_numbers(data.column(name))
        ]
        if not decimals:
            return None
        fits = " AND ".join(
            f"({name} IS NULL OR coalesce(isfinite(TRY_CAST({name} AS DOUBLE)), FALSE))"
            for name in decimals
        )
        with self._arriving(data) as connection:
            query = f"SELECT 1 FROM {_ARRIVING} WHERE NOT ({fits}) LIMIT 1"
            if not connection.execute(query).fetchall():
                return None
            found = connection.execute(f"SELECT {fits} FROM {_ARRIVING}").fetchall()
        return pa.array([fit for (fit,) in found])

    def _insert_waiting(self) -> None:
        """Insert the rows that wait."""
        if not self._waiting or self._waits_for is None:
            return
        data = pa.concat_tables(self._waiting)
        self._waiting = []
        kinds = {column.name: column.type for column in self._waits_for.plan}
        names = data.column_names
        values = ", ".join(f"CAST({quoted(name)} AS {kinds[name]})" for name in names)
        with self._arriving(data.to_reader()) as connection:
            connection.execute(ONE_THREAD)
            try:
                connection.execute(
                    f"INSERT INTO {self._waits_for.name.sql} ({listed(names)}) "
                    f"SELECT {values} FROM {_ARRIVING}"
                ).fetchall()
            finally:
                connection.execute("RESET threads")

    @contextmanager
    def _arriving(
        self, data: pa.Table | pa.RecordBatchReader
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection, on which the data is a table for as long as this block runs."""
        with translated("loading"):
            connection = self._session.connection
            connection.register(_ARRIVING, data)
            try:
                yield connection
            finally:
                connection.unregister(_ARRIVING)

    # The target

    def evolve(self, name: TableName, before: Plan, after: Plan) -> None:
        """Add and widen columns."""
        added, wider = changes(before, after)
        for column in added:
            self.execute(f"ALTER TABLE {name.sql} ADD COLUMN {quoted(column.name)} {column.type}")
        for column in wider:
            self.execute(
                f"ALTER TABLE {name.sql} ALTER COLUMN {quoted(column.name)} TYPE {column.type}"
            )

    def loads_directly(self, present: Table | None) -> bool:
        """Whether the present table has no index, constraint, default or comment of its own."""
        if present is None:
            return True
        schema = present.name.schema or DEFAULT_SCHEMA
        mine = f"schema_name = {literal(schema)} AND table_name = {literal(present.name.table)}"
        return not self.rows(
            f"SELECT 1 FROM duckdb_indexes() WHERE {mine} "
            f"UNION ALL SELECT 1 FROM duckdb_constraints() WHERE {mine} "
            f"UNION ALL SELECT 1 FROM duckdb_tables() WHERE {mine} AND comment IS NOT NULL "
            f"UNION ALL SELECT 1 FROM duckdb_columns() WHERE {mine} "
            "AND (column_default IS NOT NULL OR comment IS NOT NULL)"
        )

    def add_key(self, name: TableName, key: Sequence[str]) -> bool:
        """Only look: an index would slow every write, and merges need none."""
        nulls = "".join(f" OR {quoted(part)} IS NULL" for part in key)
        return not self.rows(
            f"SELECT 1 FROM {name.sql} GROUP BY {listed(key)} HAVING count(*) > 1{nulls} LIMIT 1"
        )

    def adopt(self, staging: Staging, name: TableName, *, replacing: bool) -> None:
        """Rename, after the present table is gone; views find the new one by its name."""
        if replacing:
            self.execute(f"DROP TABLE {name.sql}")
        self.execute(f"ALTER TABLE {staging.name.sql} RENAME TO {quoted(name.table)}")

    def require_key(self, present: Table, key: Sequence[str]) -> None:
        """Only a table that somebody gave another key is refused."""
        refuse_other_key(present, key)

    def upsert(self, name: TableName, staging: Staging, match: Match) -> Merged:
        """Update what has changed, then insert what is missing."""
        update = merge.update_changed(self.spelling, name, staging, match=match)
        updated = self.execute(update) if update else 0
        created = self.execute(merge.insert_missing(name, staging, match=match))
        return Merged(created=created, updated=updated)

    def greatest(self, staging: Staging, wanted: Greatest, known: State | None) -> State | None:
        """Only PostgreSQL takes batches that nobody has decoded."""
        raise ContractError("DuckDB takes Arrow only, whose batches carry their state")

    def close(self) -> None:
        """Close the connection; what was not committed is gone."""
        self._begun = False
        self._waiting.clear()
        self._session.close()


def _plain_type(column: str, kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_plain_type(column, kind.value_type)}[]"
    for native, arrow in types.EXACT.items():
        if arrow.equals(kind):
            return native
    raise ConfigError(f"column {column!r} holds {kind}, which DuckDB has no type for")


def _is_numbers(column: "pa.ChunkedArray[Any]") -> bool:
    """Whether that is plain to see: a query for each batch takes ten times as long."""
    if pa.types.is_decimal(column.type):
        return True
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    return not pc.any(pc.match_substring_regex(column, _NO_NUMBER)).as_py()
