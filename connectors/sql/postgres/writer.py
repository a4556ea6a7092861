"""Writing to PostgreSQL: COPY in, merge by ON CONFLICT, all of it in one transaction.

Laws: what waits to be merged is a temporary table, which writes no log; what becomes a
table is loaded as that table and renamed. A server that ends our connection undoes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from connectors.arrow import Logical, digits_of, length_of, logical_of, native_of
from connectors.contract import Counts, Greatest, PgCopy, State
from connectors.described import AnyField
from connectors.errors import ConfigError, ConnectorError
from connectors.late import late, pa
from connectors.sql import merge
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.names import TableName, listed, literal, quoted
from connectors.sql.postgres import present, statements
from connectors.sql.postgres.session import DEFAULT_SCHEMA, PostgresSession, translated
from connectors.sql.postgres.types import type_for
from connectors.sql.store import (
    Kind,
    Match,
    Merged,
    Plan,
    Planned,
    Spelling,
    Staging,
    changes,
    key_index,
    refuse_other_key,
    repeated_keys,
)
from connectors.sql.tables import Table

if TYPE_CHECKING:
    from connectors.sql.postgres import encode, ingest
else:
    encode = late("connectors.sql.postgres.encode")
    ingest = late("connectors.sql.postgres.ingest")

LOCK_SECONDS = 10
_PATIENCE = (
    "SELECT set_config('idle_in_transaction_session_timeout', '0', true), "
    f"set_config('lock_timeout', '{LOCK_SECONDS}s', true)"
)
_GROUPED = frozenset(
    {"smallint", "integer", "bigint", "boolean", "date", "uuid", "text", "bytea"}
    | {"timestamp without time zone", "timestamp with time zone"}
)
"""Types whose equal values are the same to the last byte; others are grouped by their text."""
_COUNTED = _GROUPED - {"boolean", "text", "bytea"}
"""Types that are sorted by a comparison of numbers."""


def _image(columns: Sequence[str], alias: str) -> str:
    return f"ROW({', '.join(f'{alias}.{quoted(column)}' for column in columns)})::record"


def _differs(columns: Sequence[str], old: str, new: str) -> str:
    # Compares the stored bytes, so it needs no equality of the types, and 1.0 is not 1.00.
    return f"{_image(columns, old)} OPERATOR(pg_catalog.*<>) {_image(columns, new)}"


def _identity(column: Planned) -> str:
    name = quoted(column.name)
    return name if column.type in _GROUPED else f"{name}::text"


class PostgresStore:
    """See `connectors.sql.store.Store`."""

    spelling = Spelling(arrivals=("ctid",), differs=_differs, identity=_identity, counted=_COUNTED)

    def __init__(self, config: DatabaseConfig) -> None:
        self._session = PostgresSession(config)
        self._begun = False

    def version(self) -> str:
        """Which server this is, in one line."""
        return self._session.version()

    def table_name(self, dataset: str, table: str) -> TableName:
        """A dataset is a schema."""
        return TableName(schema=dataset or DEFAULT_SCHEMA, table=table)

    def describe(self, name: TableName) -> Table | None:
        """The table as it is committed now."""
        return self._session.describe(name)

    def storable(self, field: AnyField) -> AnyField:
        """Every field keeps its meaning here."""
        return field

    def column_type(self, field: AnyField) -> str:
        """The native type if it is PostgreSQL's own, else one from what the field means."""
        native, logical = native_of(field), logical_of(field)
        ours = native is not None and native.dialect == Dialect.POSTGRESQL
        if native is not None and ours and logical not in (Logical.ENUM, Logical.USER):
            return native.type
        return type_for(field, logical, digits_of(field), length_of(field))

    def ensure_dataset(self, dataset: str) -> None:
        """Create the schema; asks first, because CREATE needs a right even where it is there."""
        schema = dataset or DEFAULT_SCHEMA
        if not self.rows(f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(schema)}"):
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")

    # The transaction

    def begin(self, *, arrow: bool) -> None:
        """Start the transaction."""
        if self._begun:
            return
        self.execute(f"BEGIN; {_PATIENCE}")
        self._begun = True

    def lock(self, names: Sequence[str]) -> None:
        """Advisory locks, held to the transaction's end."""
        numbers = (
            int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
            for name in names
        )
        taken = ", ".join(f"pg_advisory_xact_lock({number})::text" for number in numbers)
        self.rows(f"SELECT {taken}")

    def commit(self) -> None:
        """Commit; temporary tables go with it."""
        self.execute("COMMIT")
        self._begun = False

    def rollback(self) -> None:
        """Give the connection up if it cannot be told to."""
        if not self._begun:
            return
        self._begun = False
        try:
            self.execute("ROLLBACK")
        except ConnectorError:
            self._session.close()

    def execute(self, statement: str) -> int:
        """Run one statement; the number of rows it touched."""
        with translated("writing"):
            return self._session.connection.execute(statement.encode()).rowcount

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The result of a query."""
        with translated("writing"):
            return self._session.connection.execute(query.encode()).fetchall()

    # Loading

    def create(self, name: TableName, plan: Plan, key: Sequence[str], *, kind: Kind) -> None:
        """Create a table, temporary ones in the session's own schema."""
        if kind is Kind.REAL:
            self.execute(merge.create_table(name, plan, key))
            return
        ends = " ON COMMIT DROP" if kind is Kind.STAGED else ""
        self.execute(merge.create_table(name, plan, key, prefix="TEMPORARY ") + ends)

    def sound(self, staging: Staging, data: pa.Table) -> Any:
        """Every value that Arrow has, PostgreSQL has too."""
        return None

    def stage(self, staging: Staging, data: pa.Table | PgCopy) -> Counts:
        """COPY the records in."""
        if isinstance(data, PgCopy):
            rows, size = self._copy(staging.name, data.columns, data.chunks)
            return Counts(processed=rows, bytes=size)
        types = {column.name: column.type for column in staging.plan}
        ready, texts = ingest.prepared(data, types)
        if not texts:
            self._load(staging.name, ready, types)
        else:
            self._load_aside(staging.name, ready, types, texts)
        return Counts(processed=data.num_rows, bytes=data.nbytes)

    def _load(self, name: TableName, data: pa.Table, types: Mapping[str, str]) -> None:
        bases = [ingest.unbounded(types[column]) for column in data.column_names]
        self._copy(name, data.column_names, encode.copied(data, bases))

    def _load_aside(
        self, name: TableName, data: pa.Table, types: Mapping[str, str], texts: Set[str]
    ) -> None:
        """What has no binary form here goes as text, and the server reads that."""
        aside = TableName(table="_aside")
        kinds = {one: "text" if one in texts else types[one] for one in data.column_names}
        columns = ", ".join(f"{quoted(one)} {kind}" for one, kind in kinds.items())
        self.execute(f"CREATE TEMPORARY TABLE {aside.sql} ({columns})")
        self._load(aside, data, kinds)
        values = ", ".join(
            f"{quoted(one)}::{types[one]}" if one in texts else quoted(one) for one in kinds
        )
        self.execute(
            f"INSERT INTO {name.sql} ({listed(data.column_names)}) "
            f"SELECT {values} FROM {aside.sql} ORDER BY ctid"
        )
        self.execute(f"DROP TABLE {aside.sql}")

    def _copy(
        self, name: TableName, columns: Sequence[str], chunks: Iterable[bytes | memoryview]
    ) -> tuple[int, int]:
        """How many rows and bytes went in."""
        size = 0
        statement = f"COPY {name.sql} ({listed(columns)}) FROM STDIN (FORMAT binary)"
        with translated("copying"), self._session.connection.cursor() as cursor:
            with cursor.copy(statement.encode()) as copy:
                for chunk in chunks:
                    copy.write(chunk)
                    size += len(chunk)
            return cursor.rowcount, size

    def holding(
        self,
        name: TableName,
        plan: Plan,
        few: pa.Table | bytes,
        *,
        key: Sequence[str],
        until: tuple[str, str] | None,
    ) -> int | None:
        """See `connectors.sql.edge.Recognizing`."""
        types = {column.name: column.type for column in plan}
        stream = few if isinstance(few, bytes) else _encoded(few, types)
        if stream is None:
            return None
        rows = tuple(present.rows_of(stream))
        if not rows:
            return 0
        columns = tuple(types)
        alike = f"{merge.same_key(key, 't', 's')} AND NOT ({_differs(columns, 't', 's')})"
        if until is not None:
            column, mark = until
            alike += f" AND t.{quoted(column)} <= {literal(mark)}::{types[column]}"
        try:
            with translated("comparing"):
                connection = self._session.connection
                found = present.matching(connection, name, rows, plan, condition=alike)
        except ConfigError:  # the mark is of another cursor, say
            return None
        return found if found == len(rows) else None

    # The target

    def evolve(self, name: TableName, before: Plan, after: Plan) -> None:
        """Add and widen columns, in one statement."""
        added, wider = changes(before, after)
        actions = [f"ADD COLUMN {quoted(column.name)} {column.type}" for column in added]
        actions += [
            f"ALTER COLUMN {quoted(c.name)} TYPE {c.type} USING {quoted(c.name)}::{c.type}"
            for c in wider
        ]
        if actions:
            self.execute(f"ALTER TABLE {name.sql} {', '.join(actions)}")

    def loads_directly(self, present: Table | None) -> bool:
        """Whether nothing but its own key hangs on the present table, and it is ours."""
        if present is None:
            return True
        return not self.rows(statements.attached(present.name))

    def add_key(self, name: TableName, key: Sequence[str]) -> bool:
        """Add a primary key; its name is the table's and unique, as the table's is."""
        self.execute("SAVEPOINT keyed")
        try:
            self.execute(f"ALTER TABLE {name.sql} ADD PRIMARY KEY ({listed(key)})")
        except ConfigError as error:
            if getattr(error.__cause__, "sqlstate", None) not in ("23505", "23502"):
                raise
            self.execute("ROLLBACK TO SAVEPOINT keyed")
            return False
        self.execute("RELEASE SAVEPOINT keyed")
        return True

    def adopt(self, staging: Staging, name: TableName, *, replacing: bool) -> None:
        """Rename, after the present table, locked against readers only from here on, is gone."""
        if replacing:
            self.execute(f"DROP TABLE {name.sql}")
        self.execute(f"ALTER TABLE {staging.name.sql} RENAME TO {quoted(name.table)}")

    def require_key(self, present: Table, key: Sequence[str]) -> None:
        """The primary key, or a unique index that we add to a table without one."""
        refuse_other_key(present, key)
        if present.primary_key:
            return
        index = quoted(key_index(present, key))
        try:
            self.execute(
                f"CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {present.name.sql} ({listed(key)})"
            )
        except ConfigError as error:
            if getattr(error.__cause__, "sqlstate", None) != "23505":
                raise
            raise repeated_keys(present, key) from error

    def upsert(self, name: TableName, staging: Staging, match: Match) -> Merged:
        """One INSERT ... ON CONFLICT; a row that it has inserted has no xmax."""
        found = self.rows(statements.upsert(self.spelling, name, staging, match))
        created, updated = found[0]
        return Merged(created=int(created), updated=int(updated))

    def greatest(self, staging: Staging, wanted: Greatest, known: State | None) -> State | None:
        """The greatest staged value, within the ceiling, and never behind what is committed."""
        column = next((one for one in staging.plan if one.name == wanted.column), None)
        if column is None:
            raise ConfigError(f"cursor column {wanted.column!r} is not among the columns written")
        self.execute("SAVEPOINT compared")
        try:
            row = self.rows(statements.greatest(staging, column, wanted, known))[0]
        except ConfigError:
            # A state of another cursor is no state: the source has read from the beginning.
            self.execute("ROLLBACK TO SAVEPOINT compared")
            row = self.rows(statements.greatest(staging, column, wanted, None))[0]
        if row[0] is None:
            return known
        return State(version=wanted.version, value={"watermark": str(row[0])})

    def close(self) -> None:
        """Close the connections; the server undoes what was not committed."""
        self._begun = False
        self._session.close()


def _encoded(data: pa.Table, types: Mapping[str, str]) -> bytes | None:
    """The data as one COPY stream; None if some of it has no binary form here."""
    ready, texts = ingest.prepared(data, types)
    bases = [ingest.unbounded(types[column]) for column in ready.column_names]
    return None if texts else b"".join(encode.copied(ready, bases))
