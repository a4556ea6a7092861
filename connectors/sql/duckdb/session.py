"""One DuckDB file, opened.

Law: a source opens its file read-only, so that several processes may read it at once;
only a destination may create one. Nothing but the file itself is within reach.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from connectors.errors import ConfigError, ConnectorError, TransientError
from connectors.sql.config import DatabaseConfig
from connectors.sql.duckdb import types
from connectors.sql.names import TableName, quoted
from connectors.sql.tables import Table

DEFAULT_SCHEMA = "main"

_CATALOG = """
SELECT t.schema_name, t.name, t.is_view,
  (SELECT list([c.column_name, c.data_type, c.is_nullable::VARCHAR] ORDER BY c.column_index)
     FROM duckdb_columns() c WHERE c.table_oid = t.oid AND c.database_oid = t.database_oid
      AND c.schema_oid = t.schema_oid),
  (SELECT any_value(k.constraint_column_names) FROM duckdb_constraints() k
    WHERE k.table_oid = t.oid AND k.database_oid = t.database_oid
      AND k.constraint_type = 'PRIMARY KEY')
  FROM (SELECT database_name, database_oid, schema_oid, schema_name, table_name AS name,
               table_oid AS oid, false AS is_view, internal FROM duckdb_tables()
        UNION ALL
        SELECT database_name, database_oid, schema_oid, schema_name, view_name,
               view_oid, true, internal FROM duckdb_views()) t
 WHERE t.database_name = current_database() AND NOT t.internal
"""
_ONE = " AND t.schema_name = $schema AND t.name = $table"
_ALL = " ORDER BY t.schema_name, t.name"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FullName(TableName):
    """With the catalog, or a schema that is called like the file would be ambiguous."""

    catalog: str

    @property
    def sql(self) -> str:
        """Quoted."""
        return ".".join(quoted(part) for part in (self.catalog, self.schema or "", self.table))


@dataclass(slots=True)
class DuckdbSession:
    """A connection in autocommit, opened when first needed and kept until `close`."""

    config: DatabaseConfig
    read_only: bool = False
    _connection: DuckDBPyConnection | None = None
    _catalog: str | None = None

    @property
    def catalog(self) -> str:
        """What DuckDB calls the file, after its stem."""
        if self._catalog is None:
            with translated("opening the file"):
                row = self.connection.execute("SELECT current_database()").fetchone()
            assert row is not None
            self._catalog = str(row[0])
        return self._catalog

    def full_name(self, name: TableName) -> FullName:
        """A table's name that is never ambiguous."""
        return FullName(catalog=self.catalog, schema=name.schema, table=name.table)

    @property
    def connection(self) -> DuckDBPyConnection:
        """The connection; transactions are begun by statements."""
        if self._connection is None:
            self._connection = connect(self.config, read_only=self.read_only)
        return self._connection

    def version(self) -> str:
        """Which library this is, in one line."""
        with translated("opening the file"):
            self.connection.execute("SELECT 1").fetchone()
        return f"DuckDB {duckdb.__version__} at {self.config.redacted}"

    def describe(self, name: TableName) -> Table | None:
        """One table or view; without a schema, the one in ``main``."""
        names = {"schema": name.schema or DEFAULT_SCHEMA, "table": name.table}
        with translated("reading the catalog"):
            row = self.connection.execute(_CATALOG + _ONE, names).fetchone()
        return None if row is None else self._table(*row)

    def describe_all(self) -> Sequence[Table]:
        """Every table and view, ordered by name."""
        with translated("reading the catalog"):
            rows = self.connection.execute(_CATALOG + _ALL).fetchall()
        return [self._table(*row) for row in rows]

    def interrupt(self) -> None:
        """End the statement that runs."""
        if self._connection is not None:
            self._connection.interrupt()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _table(
        self,
        schema: str,
        name: str,
        is_view: bool,
        columns: Sequence[Sequence[str]] | None,
        key: Sequence[str] | None,
    ) -> Table:
        return Table(
            name=self.full_name(TableName(schema=schema, table=name)),
            columns=tuple(
                types.column(column, native, nullable=nullable == "true")
                for column, native, nullable in columns or ()
            ),
            primary_key=tuple(key or ()),
            is_view=is_view,
        )


def connect(config: DatabaseConfig, *, read_only: bool = False) -> DuckDBPyConnection:
    """A connection in autocommit, with settings that make values exact."""
    path = Path(config.path)
    missing = path if read_only else path.parent
    if not missing.exists():
        kind = "file" if read_only else "directory"
        raise ConfigError(f"there is no {kind} {str(missing)!r}; check the URL {config.redacted}")
    with translated(f"opening {config.redacted}"):
        connection = _open(config.path, read_only=read_only)
        connection.execute("SET TimeZone = 'UTC'")
    return connection


def _open(path: str, *, read_only: bool) -> DuckDBPyConnection:
    """A condition written by a tenant must not read other files: no external access."""
    settings: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": "false"}
    try:
        return duckdb.connect(path, read_only=read_only, config=settings)
    except duckdb.ConnectionException:
        if not read_only:
            raise
        # This process has the file open for writing already: share that.
        return duckdb.connect(path, config=settings)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn DuckDB's errors into ours; ``action`` says what was tried."""
    try:
        yield
    except duckdb.Error as error:
        raise _told(action, error) from error


def _told(action: str, error: duckdb.Error) -> ConnectorError:
    reason = str(error).strip().partition("\n")[0]
    if isinstance(error, duckdb.ConnectionException):
        return ConfigError(
            f"DuckDB refused {action}: this file is being read by the same process; "
            "a sync's source and destination must be different files"
        )
    if isinstance(error, duckdb.IOException) and "not a valid DuckDB" in reason:
        return ConfigError(f"DuckDB refused {action}: the file is not a DuckDB database")
    waits = duckdb.IOException, duckdb.TransactionException, duckdb.InterruptException
    if isinstance(error, waits):
        return TransientError(f"DuckDB failed while {action}: {reason}")
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return ConfigError(f"DuckDB refused {action}: a value does not fit its type")
    return ConfigError(f"DuckDB refused {action}: {reason}")
