"""One SQLite file, opened.

Law: a source opens its file read-only; only a destination may create one.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.sql.config import DatabaseConfig
from connectors.sql.names import TableName, quoted
from connectors.sql.sqlite import types
from connectors.sql.tables import Column, Table

DEFAULT_SCHEMA = "main"
BUSY_SECONDS = 10.0
_TYPE_OF_VALUE = {"integer": "INTEGER", "real": "REAL", "text": "TEXT", "blob": "BLOB"}


@dataclass(slots=True)
class SqliteSession:
    """A connection in autocommit, opened when first needed and kept until `close`.

    ``reading`` are the cursors that have rows to come: the file stays locked until they
    are closed, and a connection that is closed before them closes none.
    """

    config: DatabaseConfig
    read_only: bool = False
    reading: set[sqlite3.Cursor] = field(default_factory=set)
    _connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection; transactions are begun by statements."""
        if self._connection is None:
            self._connection = connect(self.config, read_only=self.read_only)
        return self._connection

    def version(self) -> str:
        """Which library this is, in one line; reads the file, so that a wrong one is seen."""
        with translated("opening the file"):
            self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return f"SQLite {sqlite3.sqlite_version} at {self.config.redacted}"

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        if name.schema not in (None, DEFAULT_SCHEMA):
            return None
        with translated("reading the catalog"):
            query = "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"
            row = self.connection.execute(f"{query} AND name = ?", (name.table,)).fetchone()
            return None if row is None else self._table(*row)

    def describe_all(self) -> Sequence[Table]:
        """Every table and view, ordered by name."""
        query = """SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')
                   AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"""
        with translated("reading the catalog"):
            return [self._table(*row) for row in self.connection.execute(query).fetchall()]

    def _table(self, name: str, kind: str) -> Table:
        rows = self.connection.execute(
            'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1',
            (name,),
        ).fetchall()
        key = tuple(row[0] for row in sorted(rows, key=lambda row: row[3]) if row[3])
        rowid = len(key) == 1 and any(r[3] and r[1].upper() == "INTEGER" for r in rows)
        columns = tuple(
            self._column(name, column, declared, nullable=not (notnull or (rowid and pk)))
            for column, declared, notnull, pk in rows
        )
        return Table(
            name=TableName(schema=DEFAULT_SCHEMA, table=name),
            columns=columns,
            primary_key=key,
            leading=self._leading(name) | frozenset(key[:1]),
            is_view=kind == "view",
        )

    def _column(self, table: str, name: str, declared: str, *, nullable: bool) -> Column:
        if not declared:
            # An expression in a view, or a column without a type: its first value tells.
            query = f"SELECT typeof({quoted(name)}) FROM {quoted(table)}"
            found = self.connection.execute(f"{query} WHERE {quoted(name)} IS NOT NULL LIMIT 1")
            declared = _TYPE_OF_VALUE[(found.fetchone() or ("text",))[0]]
        return types.column(name, declared, nullable=nullable)

    def _leading(self, table: str) -> frozenset[str]:
        query = """SELECT x.name FROM pragma_index_list(?) AS i, pragma_index_xinfo(i.name) AS x
                   WHERE NOT i.partial AND x.seqno = 0 AND x.coll = 'BINARY'
                   AND x.name IS NOT NULL"""
        return frozenset(row[0] for row in self.connection.execute(query, (table,)))

    def interrupt(self) -> None:
        """End the statement that runs."""
        if self._connection is not None:
            self._connection.interrupt()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        while self.reading:
            self.reading.pop().close()
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def connect(config: DatabaseConfig, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit that waits `BUSY_SECONDS` for another one's lock."""
    path = Path(config.path)
    missing = path if read_only else path.parent
    if not missing.exists():
        kind = "file" if read_only else "directory"
        raise ConfigError(f"there is no {kind} {str(missing)!r}; check the URL {config.redacted}")
    address = f"file:{quote(config.path)}?mode={'ro' if read_only else 'rwc'}"
    with translated(f"opening {config.redacted}"):
        return sqlite3.connect(
            address,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )


_TRANSIENT = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_INTERRUPT")
_DENIED = ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_CANTOPEN")


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, by their name; ``action`` says what was tried."""
    try:
        yield
    except sqlite3.Error as error:
        raise _told(action, getattr(error, "sqlite_errorname", "") or "", str(error)) from error


def _told(action: str, name: str, message: str) -> ConnectorError:
    if name.startswith(_TRANSIENT):
        return TransientError(f"SQLite failed while {action}: {message}")
    if name.startswith(_DENIED):
        return AuthError(f"SQLite refused {action}: {message}; check the file's permissions")
    return ConfigError(f"SQLite refused {action}: {message}")
