"""One MySQL or MariaDB server, connected to with settings that make values exact.

Laws: strings end where they end (no backslash escapes), double quotes mean names, times
are UTC, and what does not fit is an error. A server may never ask us for a file: LOAD
DATA LOCAL stays off, for the server is the tenant's and the files are ours.
"""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.sql.config import DatabaseConfig
from connectors.sql.mysql import statements, types
from connectors.sql.names import TableName
from connectors.sql.tables import Column, Table

try:
    import pymysql
    from pymysql.constants import CR, FIELD_TYPE
    from pymysql.cursors import SSCursor
except ImportError as error:  # an extra, because few need it
    raise ConfigError(
        "MySQL and MariaDB need the package pymysql; install sync-pipelines[mysql]"
    ) from error

if TYPE_CHECKING:
    from pymysql.connections import Connection

LOCK_SECONDS = 10
_INTEGERS = (
    FIELD_TYPE.TINY,
    FIELD_TYPE.SHORT,
    FIELD_TYPE.LONG,
    FIELD_TYPE.LONGLONG,
    FIELD_TYPE.INT24,
)
_MODES = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"


@dataclass(slots=True)
class MysqlSession:
    """A connection in autocommit for statements, and others for results that are streamed."""

    config: DatabaseConfig
    read_only: bool = False
    _connection: "Connection[Any] | None" = None
    _idle: "list[Connection[Any]]" = field(default_factory=list)
    _streaming: list[Any] = field(default_factory=list)
    _is_mariadb: bool = False

    @property
    def connection(self) -> "Connection[Any]":
        """The connection for statements; a lost one is opened anew."""
        if self._connection is None or not self._connection.open:
            self._connection = connect(self.config, read_only=self.read_only, numbers=True)
            self._is_mariadb = _is_mariadb(self._connection)
        return self._connection

    @property
    def is_mariadb(self) -> bool:
        """Which of the two kinds of server this is."""
        assert self.connection is not None
        return self._is_mariadb

    @property
    def database(self) -> str:
        """The database that names without one mean."""
        return self.config.address.database

    def version(self) -> str:
        """Which server this is, in one line."""
        kind = "MariaDB" if self.is_mariadb else "MySQL"
        [[number]] = self.rows("SELECT version()", "asking for the version")
        return f"{kind} {str(number).partition('-')[0]} at {self.config.redacted}"

    def execute(self, statement: str, action: str) -> int:
        """Run one statement; how many rows it touched."""
        with translated(action), self.connection.cursor() as cursor:
            return int(cursor.execute(statement))

    def rows(self, query: str, action: str) -> list[tuple[Any, ...]]:
        """A small result: integers, and everything else as text."""
        with translated(action), self.connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def stream(self, query: str, rows: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        """A result in pieces of at most ``rows`` rows, as texts, never held as a whole.

        Each has a connection to itself, because a server sends one result at a time; one
        that is not read to its end is given up with its connection.
        """
        connection = self._idle.pop() if self._idle else connect(self.config, read_only=True)
        self._streaming.append(connection)
        ended = False
        try:
            with translated("reading"):
                cursor = connection.cursor(SSCursor)
                cursor.execute(query)
            while True:
                with translated("reading"):
                    found = cursor.fetchmany(rows)
                if not found:
                    break
                yield found
            with translated("reading"):
                cursor.close()
            ended = True
        finally:
            if connection in self._streaming:
                self._streaming.remove(connection)
                if ended:
                    self._idle.append(connection)
                else:
                    _give_up(connection)

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        found = self._catalog(TableName(schema=name.schema or self.database, table=name.table))
        return found[0] if found else None

    def describe_all(self) -> Sequence[Table]:
        """Every table and view that may be seen, ordered by name."""
        return self._catalog(None)

    def _catalog(self, name: TableName | None) -> list[Table]:
        asked = "reading the catalog"
        columns = self.rows(statements.columns(name), asked)
        indexes = self.rows(statements.indexes(name), asked) if columns else []
        checks = columns and self.is_mariadb
        checked = self.rows(statements.json_checks(name), asked) if checks else []
        indexed = {(row[0], row[1], row[3]) for row in indexes}
        tables: dict[tuple[str, str], list[Column]] = {}
        views = set()
        for schema, table, kind, column, declared, collation, nullable, comment in columns:
            if kind == "VIEW":
                views.add((schema, table))
            is_json = (schema, table, column) in checked
            made = types.column(
                column,
                types.native(declared, collation, "sync:json" if is_json else comment),
                nullable=nullable == "YES",
                indexed=(schema, table, column) in indexed,
            )
            tables.setdefault((schema, table), []).append(made)
        return [
            _table(
                TableName(schema=where[0], table=where[1]), made, indexes, is_view=where in views
            )
            for where, made in sorted(tables.items())
        ]

    def interrupt(self) -> None:
        """End the statements that run, by another connection."""
        for waiting in [*self._streaming, *([self._connection] if self._connection else [])]:
            killer = connect(self.config, read_only=True)
            try:
                with translated("ending a statement"), killer.cursor() as cursor:
                    cursor.execute(f"KILL QUERY {waiting.thread_id()}")
            finally:
                _give_up(killer)

    def close(self) -> None:
        """Close every connection; safe to call twice."""
        for connection in [*self._idle, *self._streaming]:
            _give_up(connection)
        self._idle.clear()
        self._streaming.clear()
        if self._connection is not None:
            _give_up(self._connection)
        self._connection = None


def _table(
    name: TableName, columns: Sequence[Column], indexes: Sequence[Sequence[Any]], *, is_view: bool
) -> Table:
    mine = [row[2:] for row in indexes if row[:2] == (name.schema, name.table)]
    return Table(
        name=name,
        columns=tuple(columns),
        primary_key=tuple(column for index, column, _, _ in mine if index == "PRIMARY"),
        leading=frozenset(
            column for _, column, place, part in mine if int(place) == 1 and part is None
        ),
        is_view=is_view,
    )


def connect(
    config: DatabaseConfig, *, read_only: bool = False, numbers: bool = False
) -> "Connection[Any]":
    """A connection in autocommit whose results are texts, as the server spells them.

    With ``numbers``, integers are integers.
    """
    address = config.address
    with _connecting(config):
        connection = pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            charset="utf8mb4",
            conv=dict.fromkeys(_INTEGERS, int) if numbers else {},
            autocommit=True,
            local_infile=False,
            connect_timeout=config.connect_timeout_seconds,
            program_name="sync-pipelines",
            ssl=ssl.create_default_context() if address.verified else None,
        )
    settings = [
        f"sql_mode = '{_MODES}'",
        "time_zone = '+00:00'",
        f"lock_wait_timeout = {LOCK_SECONDS}",
        f"innodb_lock_wait_timeout = {LOCK_SECONDS}",
        *_timeout(config, connection),
    ]
    with translated("preparing the connection"), connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {', SESSION '.join(settings)}")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if read_only:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
    return connection


def _timeout(config: DatabaseConfig, connection: "Connection[Any]") -> list[str]:
    seconds = config.statement_timeout_seconds
    if seconds is None:
        return []
    if _is_mariadb(connection):
        return [f"max_statement_time = {seconds}"]
    return [f"max_execution_time = {seconds * 1000}"]


def _is_mariadb(connection: Any) -> bool:
    return "mariadb" in str(connection.get_server_info()).lower()


def _give_up(connection: Any) -> None:
    """Close the socket without reading what is still to come."""
    result: Any = connection._result
    if result is not None:
        result.unbuffered_active = False  # or it would want the rest when it is collected
    connection._force_close()


@contextmanager
def _connecting(config: DatabaseConfig) -> Iterator[None]:
    where = config.redacted
    try:
        yield
    except pymysql.MySQLError as error:
        code, said = _code(error), _said(error)
        if code in (1044, 1045, 1698, 1130, 1251, 2059, 1862, 1820):
            raise AuthError(f"{where} refused us: {said}; check user, password and host") from error
        if code == 1049:
            raise ConfigError(f"{where} has no such database; check the URL's end") from error
        raise TransientError(f"{where} cannot be reached: {said}") from error
    except RuntimeError as error:
        # pymysql names the package that an authentication method needs.
        raise ConfigError(f"{where} cannot be signed in to: {error}") from error


_TRANSIENT = frozenset(
    {1040, 1043, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226}
    | {1290, 1317, 1836, 1927, 1969, 3024, 1021, 1037, 1038, 1041, 1114, 4031}
    | {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, 0}
)
_DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1370})
_QUOTING = frozenset({1062, 1292, 1366, 1264, 1265, 1411, 1525, 4025, 3819, 3140, 1526})
"""Errors whose sentence quotes the value."""


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn pymysql's errors into ours, by their number; ``action`` says what was tried."""
    try:
        yield
    except pymysql.MySQLError as error:
        raise _told(action, _code(error), _said(error)) from error


def _told(action: str, code: int, said: str) -> ConnectorError:
    if code in _TRANSIENT:
        return TransientError(f"MySQL failed while {action} ({code}): {said}")
    if code in _DENIED:
        return AuthError(f"MySQL refused {action}: {said}; grant the privilege")
    if code in _QUOTING:
        column = said.rpartition(" for column ")[2].partition(" at row")[0]
        where = f"column {column}: " if " for column " in said else ""
        said = f"{where}a value does not fit its type, key or constraint"
    return ConfigError(f"MySQL refused {action} ({code}): {said}")


def code_of(error: BaseException | None) -> int | None:
    """The server's number of an error."""
    return _code(error) if isinstance(error, pymysql.MySQLError) else None


def _code(error: BaseException) -> int:
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def _said(error: BaseException) -> str:
    return " ".join(str(error.args[-1] if error.args else error).split())
