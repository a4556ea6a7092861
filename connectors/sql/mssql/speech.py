"""SQL Server's way: what its types are, exact places in an order, and what its errors mean.

Law: a comparison is made in the column's own type, so that no value is rounded on the way;
a time is told with all seven digits where it is a place, and read to the microsecond.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import types as t
from sqlalchemy.dialects import mssql
from sqlalchemy.types import TypeEngine

from connectors.arrow import Digits, Logical, native_of
from connectors.late import pa
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.core.speech import Meaning, Native, plain
from connectors.sql.cursor import Kind, Mark
from connectors.sql.names import literal, quoted
from connectors.sql.tables import Column

_TIMES = ("DATE", "TIME", "SMALLDATETIME")
"""What the names of types begin with that a driver would round."""

_COUNTERS = ("TIMESTAMP", "ROWVERSION")
"""Two names of one type, which has nothing to do with time."""

_CODE = re.compile(r"\((\d{2,6}),|message (\d{5})")


class SqlServer:
    """See `connectors.sql.core.speech.Speech`."""

    dialect = Dialect.MSSQL
    driver = "pymssql"
    begins: tuple[str, ...] = ("SET QUOTED_IDENTIFIER ON", "SET LOCK_TIMEOUT 10000")
    now: sa.Select[Any] = sa.select(sa.literal_column("SYSUTCDATETIME()"))
    # Deadlock, lock timeout, snapshot conflict; Azure's moves and limits; broken connections.
    transient = frozenset(
        {"1205", "1222", "3960", "40197", "40501", "40613", "49918", "10928", "10929"}
        | {"20002", "20003", "20006", "20009", "20017", "20047", "10053", "10054", "10060"}
    )
    denied = frozenset({"18456", "18452", "4060", "229", "230", "916"})

    def engine(self, config: DatabaseConfig) -> tuple[sa.URL, Mapping[str, Any]]:
        """By pymssql, which brings its own FreeTDS."""
        to = config.address
        url = sa.URL.create(
            "mssql+pymssql",
            username=to.user,
            password=to.password,
            host=to.host,
            port=to.port,
            database=to.database,
        )
        return url, {
            "login_timeout": config.connect_timeout_seconds,
            "timeout": config.statement_timeout_seconds or 0,
            "encryption": "require" if to.verified else "request",
            "appname": "sync-pipelines",
        }

    def meaning(self, kind: TypeEngine[Any]) -> Meaning:
        """Everything can be read: what has no type of its own comes as text."""
        if isinstance(kind, mssql.TIMESTAMP):  # rowversion, which counts
            return Meaning(storage=pa.int64())
        if isinstance(kind, mssql.UNIQUEIDENTIFIER):
            return Meaning(storage=pa.string(), logical=Logical.UUID)
        if isinstance(kind, mssql.DATETIMEOFFSET):
            return Meaning(storage=pa.timestamp("us", "UTC"))
        for known, storage in _PLAIN:
            if isinstance(kind, known):
                return Meaning(storage=storage())
        if isinstance(kind, mssql.MONEY | mssql.SMALLMONEY):
            digits = Digits(precision=19 if isinstance(kind, mssql.MONEY) else 10, scale=4)
            return Meaning(storage=pa.string(), logical=Logical.DECIMAL, digits=digits)
        if isinstance(kind, t.Numeric):
            digits = Digits(precision=kind.precision or 18, scale=int(kind.scale or 0))
            return Meaning(storage=pa.string(), logical=Logical.DECIMAL, digits=digits)
        if isinstance(kind, mssql.XML):
            return Meaning(storage=pa.string(), logical=Logical.XML)
        if isinstance(kind, t.String):
            return Meaning(storage=pa.string(), length=kind.length)
        return Meaning(storage=pa.string(), logical=Logical.OTHER)

    def selected(self, column: Column, expression: str) -> sa.ColumnElement[Any]:
        """Instants in UTC, counters as numbers, and what no driver knows as text."""
        native = _native(column)
        made: sa.ColumnElement[Any] = sa.literal_column(expression)
        if native.startswith("DATETIMEOFFSET"):
            utc = sa.func.SWITCHOFFSET(made, sa.literal_column("'+00:00'"))
            return sa.cast(utc, Native("datetime2(7)"))
        if native in _COUNTERS:
            return sa.cast(made, Native("bigint"))
        if native in ("XML", "NULL", "SQL_VARIANT"):
            return sa.cast(made, Native("nvarchar(max)"))
        return made

    def place(self, column: Column) -> sa.ColumnElement[Any]:
        """Times as text, style 121, which has all their digits and a zone."""
        native = _native(column)
        if native.startswith(_TIMES) and native not in _COUNTERS:
            style: sa.ColumnElement[Any] = sa.literal_column("121")
            return sa.func.CONVERT(sa.literal_column("varchar(40)"), plain(column), style)
        if native == "UNIQUEIDENTIFIER":
            return sa.cast(plain(column), Native("char(36)"))
        return self.selected(column, quoted(column.name))

    def bound(self, column: Column, place: Any) -> sa.ColumnElement[Any]:
        """The place, made the column's type by the server."""
        native = "binary(8)" if _native(column) in _COUNTERS else column.native
        return sa.cast(sa.literal(place), Native(native))

    def constant(self, mark: Mark) -> str:
        """Times as the finest type that holds a watermark."""
        kinds = {Kind.DATE: "date", Kind.TIMESTAMP: "datetime2(6)", Kind.INSTANT: None}
        if mark.kind in kinds:
            return f"CAST({literal(mark.text)} AS {kinds[mark.kind] or 'datetimeoffset(6)'})"
        if mark.kind is Kind.TEXT:
            return literal(mark.text) if mark.text.isascii() else f"N{literal(mark.text)}"
        return format(mark.value, "f") if mark.kind is Kind.DECIMAL else mark.text

    def code(self, said: str) -> str:
        """``(1205, b'...')``, or DB-Library's own ``message 20009``."""
        found = [*_CODE.finditer(said)]
        return next((one[1] or one[2] for one in reversed(found)), "")


_PLAIN = (
    (t.Boolean, pa.bool_),
    (t.SmallInteger, pa.int16),
    (mssql.TINYINT, pa.int16),
    (t.BigInteger, pa.int64),
    (t.Integer, pa.int32),
    (mssql.REAL, pa.float32),
    (t.Float, pa.float64),
    (t.DateTime, lambda: pa.timestamp("us")),
    (t.Date, pa.date32),
    (t.Time, lambda: pa.time64("us")),
    (t.LargeBinary, pa.binary),
    (mssql.BINARY, pa.binary),
    (mssql.VARBINARY, pa.binary),
)


def _native(column: Column) -> str:
    found = native_of(column.field)
    return (found.type if found else column.native).upper()
