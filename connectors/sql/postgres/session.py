"""One PostgreSQL database, connected to: by psycopg for statements and COPY, by ADBC for Arrow.

Law: what the server answers with an error is told as one of ours, without the password
and without a record's content.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.conninfo import make_conninfo

from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.sql.config import DatabaseConfig
from connectors.sql.names import TableName
from connectors.sql.postgres import idle, types
from connectors.sql.postgres.refusals import adbc_translated as adbc_translated
from connectors.sql.postgres.refusals import translated as translated
from connectors.sql.tables import Column, Table

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcDatabase
    from adbc_driver_manager.dbapi import Connection as AdbcConnection

DEFAULT_SCHEMA = "public"
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
CANCEL_SECONDS = 5.0
"""How long a server may take to accept that we cancel."""

# A third of a sync that finds nothing new is spent here, most of it on planning: so few
# joins, and 403, the number that every server has for btree.
_CATALOG: LiteralString = """
SELECT n.nspname, c.relname, c.relkind IN ('v', 'm'),
  (SELECT json_agg(json_build_array(
            a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), t.typname, t.typtype,
            t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm')
              AND t.typsend <> 0 AND t.typname !~ '^_?reg',
            NOT a.attnotnull) ORDER BY a.attnum)::text
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT json_agg(json_build_array(
            i.indkey::int2[], i.indnkeyatts, i.indisprimary,
            i.indisvalid AND i.indpred IS NULL AND x.relam = 403))::text
     FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_ONE: LiteralString = " AND c.relname = %(table)s AND n.nspname = %(schema)s"
_VISIBLE: LiteralString = " AND c.relname = %(table)s AND pg_table_is_visible(c.oid)"
_ALL: LiteralString = """
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
   AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
 ORDER BY n.nspname, c.relname
"""


@dataclass(slots=True)
class PostgresSession:
    """Connections to one database, opened when first needed and kept until `close`."""

    config: DatabaseConfig
    read_only: bool = False
    _connection: Connection | None = None
    _adbc: "AdbcConnection | None" = None
    _interrupted: bool = False
    _pouring: str = ""
    _inflow: "Generator[None, Buffer | None, None] | None" = None

    @property
    def connection(self) -> Connection:
        """The psycopg connection, in autocommit, ready; a lost one is opened anew."""
        self._end_inflow()
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.config, read_only=self.read_only)
        return self._connection

    @property
    def adbc(self) -> "AdbcConnection":
        """The ADBC connection, in autocommit."""
        if self._adbc is None:
            self._adbc = connect_adbc(self.config, read_only=self.read_only)
        return self._adbc

    def pour(self, statement: str, chunks: Iterable[Buffer]) -> None:
        """Send rows to a COPY BINARY; the same statement's goes on from one call to the next.

        The server still takes them in while more are made: the COPY ends, and what was wrong
        with it is raised, when the connection is asked for something else.
        """
        if self._inflow is None or self._pouring != statement:
            inflow = _inflow(self.connection, statement)
            next(inflow)
            self._inflow, self._pouring = inflow, statement
        for chunk in chunks:
            self._inflow.send(chunk)
        if self.config.statement_timeout_seconds is not None:
            self._end_inflow()  # that long it may take, and not until the source has no more

    def _end_inflow(self) -> None:
        inflow, self._inflow = self._inflow, None
        if inflow is not None:
            with suppress(StopIteration):
                inflow.send(None)

    def version(self) -> str:
        """Which server this is, in one line."""
        with translated("asking for the version"):
            row = self.connection.execute("SELECT current_setting('server_version')").fetchone()
        number = str(row[0]).partition(" ")[0] if row else "?"
        return f"PostgreSQL {number} at {self.config.redacted}"

    def describe(self, name: TableName) -> Table | None:
        """One table or view; without a schema, the one that ``search_path`` finds."""
        query = _CATALOG + (_VISIBLE if name.schema is None else _ONE)
        found = self._catalog(query, {"table": name.table, "schema": name.schema})
        return found[0] if found else None

    def describe_all(self) -> Sequence[Table]:
        """Every table and view that may be read, ordered by name."""
        return self._catalog(_CATALOG + _ALL, {})

    def _catalog(self, query: LiteralString, names: dict[str, str | None]) -> Sequence[Table]:
        with translated("reading the catalog"):
            rows = self.connection.execute(query, names).fetchall()
        return [_table(*row) for row in rows]

    def interrupt(self) -> None:
        """Ask the server to cancel what it is doing for us.

        That may reach it late, so nobody else is given the connection afterwards.
        """
        self._interrupted = True
        if self._connection is not None:
            self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        if self._adbc is not None:
            self._adbc.adbc_cancel()

    def close(self) -> None:
        """Close both connections, or keep one for the next session; safe to call twice."""
        if self._inflow is not None:
            self._inflow.close()
            self._inflow = None
        if self._connection is not None and self._interrupted:
            self._connection.close()
        elif self._connection is not None:
            idle.connections().keep(self.config, self._connection)
        if self._adbc is not None:
            self._adbc.close()
        self._connection = self._adbc = None


def _inflow(connection: Connection, statement: str) -> Generator[None, Buffer | None, None]:
    """A COPY that takes what it is sent, until that is None; closed, it is undone."""
    with (
        translated("copying"),
        connection.cursor() as cursor,
        cursor.copy(statement.encode()) as copy,
    ):
        copy.write(COPY_HEADER)
        while (chunk := (yield)) is not None:
            copy.write(chunk)
        copy.write(COPY_TRAILER)


@lru_cache(maxsize=1024)
def _table(
    schema: str, table: str, is_view: bool, columns: str | None, indexes: str | None
) -> Table:
    """A table from what the catalog says of it; the same words make the same table."""
    words = json.loads(columns or "[]")
    names = {number: name for number, name, *_ in words}
    key: tuple[str, ...] = ()
    leading = set()
    for numbers, length, primary, ordered in json.loads(indexes or "[]"):
        if primary:
            key = tuple(names[number] for number in numbers[:length])
        if ordered and numbers[0] in names:  # an expression has no number
            leading.add(names[numbers[0]])
    return Table(
        name=TableName(schema=schema, table=table),
        columns=tuple(_column(*rest) for _, *rest in words),
        primary_key=key,
        leading=frozenset(leading),
        is_view=is_view,
    )


def _column(name: str, native: str, base: str, kind: str, built_in: bool, null: bool) -> Column:
    return types.column(name, native, base=base, kind=kind, built_in=built_in, null=null)


def _settings(config: DatabaseConfig, *, read_only: bool) -> str:
    """One statement; ``options`` in the URL would be simpler, but poolers refuse them."""
    timeout = config.statement_timeout_seconds
    chosen = {
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",
        "application_name": "sync-pipelines",
        **({"default_transaction_read_only": "on"} if read_only else {}),
    }
    if timeout is not None or not read_only:
        # What is written takes as long as its source has more; a source keeps its own limit.
        chosen["statement_timeout"] = f"{timeout or 0}s"
    return "SELECT " + ", ".join(f"set_config('{k}', '{v}', false)" for k, v in chosen.items())


def connect(config: DatabaseConfig, *, read_only: bool = False) -> Connection:
    """A psycopg connection in autocommit, with settings that make values exact."""
    settings = _settings(config, read_only=read_only).encode()
    while (kept := idle.connections().take(config)) is not None:
        try:
            kept.execute(settings)
        except psycopg.Error:
            kept.close()  # it was lost while it waited
        else:
            return kept
    with _connecting(config):
        timeout = config.connect_timeout_seconds
        # What psycopg believes to have prepared would not outlive `idle`.
        connection = psycopg.connect(
            config.conninfo, autocommit=True, connect_timeout=timeout, prepare_threshold=None
        )
    with translated("preparing the connection"):
        connection.execute(settings)
    return connection


def connect_adbc(
    config: DatabaseConfig, *, read_only: bool = False, autocommit: bool = True
) -> "AdbcConnection":
    """An ADBC connection with the same settings."""
    # Slow to import, and not every sync needs it.
    from adbc_driver_manager import AdbcConnection as Handle
    from adbc_driver_manager import dbapi

    with _connecting(config):
        timeout = config.connect_timeout_seconds
        info = make_conninfo(config.conninfo, connect_timeout=timeout)
    with adbc_translated("connecting"):
        database = _database(info)
        lent: Any = _Lent(database)
        connection = dbapi.Connection(lent, Handle(database), autocommit=True)
        # One row is not worth a COPY.
        plainly = {"adbc.postgresql.use_copy": "false"}
        with connection.cursor(adbc_stmt_kwargs=plainly) as cursor:
            cursor.execute(_settings(config, read_only=read_only))
            cursor.fetchall()
        if not autocommit:
            connection.adbc_connection.set_autocommit(False)
    return connection


@lru_cache(maxsize=64)
def _database(info: str) -> "AdbcDatabase":
    """What ADBC asks a server once, before any connection: its version.

    It holds no connection, so it may be kept for the life of the process. Only built-in
    types are read, and those ADBC knows by itself; to ask for all would take 35 ms.
    """
    import adbc_driver_postgresql as driver  # type: ignore[import-untyped]

    known = {"adbc.postgresql.type_resolver_mode": "builtin"}
    database: AdbcDatabase = driver.connect(info, db_kwargs=known)
    return database


@dataclass(frozen=True, slots=True)
class _Lent:
    """A kept database, lent to a connection that would close it with itself."""

    database: "AdbcDatabase"

    def close(self) -> None:
        """Nothing: the next connection needs it."""


@contextmanager
def _connecting(config: DatabaseConfig) -> Iterator[None]:
    try:
        yield
    except psycopg.ProgrammingError:
        # libpq quotes the part it stumbled over, which may be the password.
        raise ConfigError(
            f"PostgreSQL does not understand the URL {config.redacted}; "
            "percent-encode special characters in user and password"
        ) from None
    except psycopg.Error as error:
        raise _refused(str(error), config) from error


_AUTH_WORDS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "permission denied",
)


def _refused(text: str, config: DatabaseConfig) -> ConnectorError:
    """A refused connection, which libpq tells only in words."""
    reason = " ".join(text.split())
    where = config.redacted
    unknown_role = "role" in text and "does not exist" in text
    if unknown_role or any(word in text for word in _AUTH_WORDS):
        return AuthError(f"{where} refused us: {reason}; check user, password and privileges")
    if "does not exist" in text:
        return ConfigError(f"{where} cannot be opened: {reason}; check the URL's last part")
    return TransientError(f"{where} cannot be reached: {reason}")
