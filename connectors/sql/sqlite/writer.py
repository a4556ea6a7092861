"""Writing to SQLite: records wait in a temporary table, which locks nobody.

Law: the file's one write lock is taken for the commit only. A reader sees the table as
it was until then, and a killed process leaves its temporary table to nobody.
"""

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow import Field, Logical, digits_of, logical_of, native_of
from connectors.contract import Counts, Greatest, PgCopy, State
from connectors.described import AnyField, arrow_field
from connectors.errors import ConfigError, ConnectorError, ContractError
from connectors.sql import merge
from connectors.sql.arriving import cast, plain_array
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.names import TableName, listed, literal, quoted
from connectors.sql.sqlite import types
from connectors.sql.sqlite.session import SqliteSession, translated
from connectors.sql.store import (
    STATE_TABLE,
    Kind,
    Match,
    Merged,
    Plan,
    Spelling,
    Staging,
    changes,
    key_index,
    refuse_other_key,
    repeated_keys,
)
from connectors.sql.tables import Table

_ROWS_AT_ONCE = 10_000

# A type with TEXT in it keeps text as it is; SQLite would make a number of '1.10' otherwise.
_MEANINGS = {
    Logical.JSON: "JSON TEXT",
    Logical.UUID: "UUID TEXT",
    Logical.TIME_TZ: "TIMETZ TEXT",
    Logical.INTERVAL: "INTERVAL TEXT",
}
_TYPES: tuple[tuple[pa.DataType, str], ...] = (
    (pa.bool_(), "BOOLEAN"),
    (pa.uint64(), "DECIMAL TEXT(20,0)"),
    (pa.float32(), "REAL"),
    (pa.float64(), "REAL"),
    (pa.string(), "TEXT"),
    (pa.binary(), "BLOB"),
    (pa.date32(), "DATE"),
    (pa.time64("us"), "TIME"),
    (pa.timestamp("us"), "TIMESTAMP"),
    (pa.timestamp("us", "UTC"), "TIMESTAMPTZ"),
)
_RULES = re.compile(r"\b(CHECK|REFERENCES|GENERATED|DEFAULT|UNIQUE|COLLATE)\b", re.IGNORECASE)


def _differs(columns: Sequence[str], old: str, new: str) -> str:
    return " OR ".join(f"{old}.{quoted(c)} IS NOT {new}.{quoted(c)}" for c in columns)


class SqliteStore:
    """See `connectors.sql.store.Store`."""

    spelling = Spelling(
        arrivals=("rowid", "_rowid_", "oid"),
        differs=_differs,
        identity=lambda column: quoted(column.name),
    )

    def __init__(self, config: DatabaseConfig) -> None:
        self._session = SqliteSession(config)
        self._staged: list[TableName] = []

    def version(self) -> str:
        """Which library this is, in one line."""
        return self._session.version()

    def table_name(self, dataset: str, table: str) -> TableName:
        """A dataset is a prefix; the state of all of them is in one table."""
        return TableName(table=table if table == STATE_TABLE else f"{dataset}__{table}")

    def describe(self, name: TableName) -> Table | None:
        """The table as it is now."""
        return self._session.describe(name)

    def storable(self, field: AnyField) -> AnyField:
        """The field as its declaration will be read."""
        declared = self.column_type(field)
        return types.column(field.name, declared, nullable=field.nullable).field

    def column_type(self, field: AnyField) -> str:
        """A declaration whose affinity keeps every value as it is."""
        native, logical = native_of(field), logical_of(field)
        if native is not None and native.dialect == Dialect.SQLITE:
            return native.type
        if logical is Logical.DECIMAL:
            digits = digits_of(field)
            bounds = f"({digits.precision},{digits.scale})" if digits else ""
            return f"DECIMAL TEXT{bounds}"
        if logical is not None:
            return _MEANINGS.get(logical, "TEXT")
        if pa.types.is_list(field.type):
            return "JSON TEXT"
        for kind, declared in _TYPES:
            if kind.equals(field.type):
                return declared
        if pa.types.is_integer(field.type):
            return "INTEGER"
        raise ConfigError(f"column {field.name!r} holds {field.type}, which SQLite cannot keep")

    def ensure_dataset(self, dataset: str) -> None:
        """A prefix needs no place."""

    # The transaction

    def begin(self, *, arrow: bool) -> None:
        """Nothing to begin: what is staged is in a file of this connection's own."""

    def lock(self, names: Sequence[str]) -> None:
        """Take the file's write lock; names are of no use, there is only one."""
        if not self._session.connection.in_transaction:
            self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit, and drop the staging tables."""
        self.execute("COMMIT")
        self._drop_staged()

    def rollback(self) -> None:
        """Undo, and drop the staging tables; they outlive a transaction here."""
        if self._session.connection.in_transaction:
            self.execute("ROLLBACK")
        self._drop_staged()

    def _drop_staged(self) -> None:
        while self._staged:
            self.execute(f"DROP TABLE {self._staged.pop().sql}")

    def execute(self, statement: str) -> int:
        """Run one statement; the number of rows it touched."""
        with translated("writing"):
            return self._session.connection.execute(statement).rowcount

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The result of a query."""
        with translated("writing"):
            return self._session.connection.execute(query).fetchall()

    # Loading

    def create(self, name: TableName, plan: Plan, key: Sequence[str], *, kind: Kind) -> None:
        """Create a table; all but real ones are the connection's own."""
        prefix = "" if kind is Kind.REAL else "TEMPORARY "
        self.execute(merge.create_table(name, plan, key, prefix=prefix))
        if kind is Kind.STAGED:
            self._staged.append(name)

    def sound(self, staging: Staging, data: pa.Table) -> Any:
        """The records without a NaN, which SQLite would make NULL of."""
        return _without_nan(data)

    def stage(self, staging: Staging, data: pa.Table | PgCopy) -> Counts:
        """Insert the records."""
        if isinstance(data, PgCopy):
            raise ContractError("SQLite takes Arrow only")
        fields = {column.name: arrow_field(column.field) for column in staging.plan}
        columns = [_values(data.column(name), fields[name]) for name in data.column_names]
        places = ", ".join("?" for _ in columns)
        insert = f"INSERT INTO {staging.name.sql} ({listed(data.column_names)}) VALUES ({places})"
        connection = self._session.connection
        with translated("loading"):
            connection.execute("BEGIN")
            for start in range(0, data.num_rows, _ROWS_AT_ONCE):
                parts = [column.slice(start, _ROWS_AT_ONCE).to_pylist() for column in columns]
                connection.executemany(insert, zip(*parts, strict=True))
            connection.execute("COMMIT")
        return Counts(processed=data.num_rows, bytes=data.nbytes)

    def evolve(self, name: TableName, before: Plan, after: Plan) -> None:
        """Add columns in place; to change a type, the table is built anew."""
        added, wider = changes(before, after)
        for column in added:
            self.execute(f"ALTER TABLE {name.sql} ADD COLUMN {quoted(column.name)} {column.type}")
        if wider:
            self._rebuild(name, after)

    def _rebuild(self, name: TableName, after: Plan) -> None:
        """SQLite cannot change a declaration: copy, drop, rename, and put the indexes back."""
        temporary = name in self._staged
        catalog = "sqlite_temp_master" if temporary else "sqlite_master"
        mine = f"FROM {catalog} WHERE tbl_name = {literal(name.table)} AND sql IS NOT NULL"
        sql = self.rows(f"SELECT sql {mine} AND type = 'table'")[0][0]
        if _RULES.search(sql):
            raise ConfigError(
                f"table {name.table!r} needs a wider column type, but has rules of its own that "
                "would be lost; change the type yourself, or write to a new table"
            )
        attached = self.rows(f"SELECT sql {mine} AND type IN ('index', 'trigger')")
        present = self._session.describe(name)
        key = present.primary_key if present is not None and not temporary else ()
        new = TableName(table=f"{name.table}__rebuilt")
        prefix = "TEMPORARY " if temporary else ""
        self.execute(merge.create_table(new, after, key, prefix=prefix))
        columns = listed(column.name for column in after)
        self.execute(
            f"INSERT INTO {new.sql} ({columns}) SELECT {columns} FROM {name.sql} ORDER BY rowid"
        )
        self.execute(f"DROP TABLE {name.sql}")
        self.execute("PRAGMA legacy_alter_table = ON")
        self.execute(f"ALTER TABLE {new.sql} RENAME TO {quoted(name.table)}")
        self.execute("PRAGMA legacy_alter_table = OFF")
        for (statement,) in attached:
            self.execute(statement)

    def loads_directly(self, present: Table | None) -> bool:
        """Never: loading a real table would hold the file's write lock."""
        return False

    def add_key(self, name: TableName, key: Sequence[str]) -> bool:
        """Not needed, for nothing is loaded directly."""
        raise ContractError("SQLite loads no table directly")

    def adopt(self, staging: Staging, name: TableName, *, replacing: bool) -> None:
        """Not needed, for nothing is loaded directly."""
        raise ContractError("SQLite loads no table directly")

    def require_key(self, present: Table, key: Sequence[str]) -> None:
        """The primary key, or a unique index that we add to a table without one."""
        refuse_other_key(present, key)
        if present.primary_key:
            return
        index = quoted(key_index(present, key))
        try:
            self.execute(
                f"CREATE UNIQUE INDEX IF NOT EXISTS {index} "
                f"ON {quoted(present.name.table)} ({listed(key)})"
            )
        except ConnectorError as error:
            if "UNIQUE" not in str(error):
                raise
            raise repeated_keys(present, key) from error

    def upsert(self, name: TableName, staging: Staging, match: Match) -> Merged:
        """Update what has changed, then insert what is missing."""
        update = merge.update_changed(self.spelling, name, staging, match=match)
        updated = self.execute(update) if update else 0
        created = self.execute(merge.insert_missing(name, staging, match=match))
        return Merged(created=created, updated=updated)

    def greatest(self, staging: Staging, wanted: Greatest, known: State | None) -> State | None:
        """Only PostgreSQL takes batches that nobody has decoded."""
        raise ContractError("SQLite takes Arrow only, whose batches carry their state")

    def close(self) -> None:
        """Close the file; the temporary tables go with it."""
        self._session.close()


def _without_nan(data: pa.Table) -> Any:
    mask: Any = None
    for column in data.columns:
        if pa.types.is_floating(column.type):
            found: Any = pc.is_nan(column)
            nan: Any = pc.fill_null(found, False)
            mask = nan if mask is None else pc.or_(mask, nan)
    if mask is None or not pc.any(mask).as_py():
        return None
    return pc.invert(mask)


def _values(array: "pa.ChunkedArray[Any]", field: Field) -> "pa.ChunkedArray[Any]":
    """The column as Python values that SQLite keeps: numbers, text, bytes."""
    if pa.types.is_list(array.type):
        return plain_array(array, pa.field(field.name, pa.string()))
    kind = field.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        parts: list[Any] = [cast(array, field).cast(pa.timestamp("us")).cast(pa.string()), "+00:00"]
        joined: pa.ChunkedArray[Any] = pc.binary_join_element_wise(*parts, "")
        return joined
    if pa.types.is_temporal(kind):
        return cast(array, field).cast(pa.string())
    if pa.types.is_boolean(array.type):
        return array.cast(pa.int8())
    return cast(array, field)
