"""Oracle's way: what its types are, exact places in an order, and what its errors mean.

Laws: names are as Oracle keeps them, which is in capital letters unless somebody quoted
them. A DATE has a time. Instants are asked for in UTC, because the driver leaves zones out.
An empty text is NULL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import types as t
from sqlalchemy.dialects import oracle
from sqlalchemy.types import TypeEngine

from connectors.arrow import Digits, Logical, native_of
from connectors.late import pa
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.core.speech import Meaning, called, plain
from connectors.sql.cursor import Kind, Mark
from connectors.sql.names import literal
from connectors.sql.tables import Column

_SECONDS = "YYYY-MM-DD HH24:MI:SS"
_FRACTIONS = f"{_SECONDS}.FF9"
_CODE = re.compile(r"\b(ORA-\d{5}|DPY-\d{4})")
MOST_DIGITS = 18
"""Whole numbers of so many digits are integers; Oracle has more."""


class Oracle:
    """See `connectors.sql.core.speech.Speech`."""

    dialect = Dialect.ORACLE
    driver = "oracledb"
    begins: tuple[str, ...] = (
        "ALTER SESSION SET TIME_ZONE = '+00:00'",
        "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY",
    )
    now: sa.Select[Any] = sa.select(sa.literal_column("SYS_EXTRACT_UTC(SYSTIMESTAMP)")).select_from(
        sa.table("dual")
    )
    # Deadlock, lock timeout, snapshot too old; broken connections and listeners that start.
    transient = frozenset(
        {"ORA-00060", "ORA-00054", "ORA-04021", "ORA-01555", "ORA-08177", "ORA-03113", "ORA-03114"}
        | {"ORA-03135", "ORA-12170", "ORA-12537", "ORA-12541", "ORA-01033", "ORA-01034"}
        | {"DPY-4011", "DPY-4024", "DPY-6005"}
    )
    denied = frozenset({"ORA-01017", "ORA-01045", "ORA-28000", "ORA-28001", "ORA-01031"})

    def engine(self, config: DatabaseConfig) -> tuple[sa.URL, Mapping[str, Any]]:
        """By oracledb in its thin mode, which needs no client of Oracle's."""
        to = config.address
        url = sa.URL.create(
            "oracle+oracledb",
            username=to.user,
            password=to.password,
            host=to.host,
            port=to.port,
            query={"service_name": to.database},
        )
        secured = {"protocol": "tcps", "ssl_server_dn_match": True} if to.verified else {}
        return url, {"tcp_connect_timeout": config.connect_timeout_seconds, **secured}

    def meaning(self, kind: TypeEngine[Any]) -> Meaning | None:
        """None for objects of Oracle's own, such as geometries and file pointers."""
        if isinstance(kind, t.TIMESTAMP) and kind.timezone:
            return Meaning(storage=pa.timestamp("us", "UTC"))
        if isinstance(kind, oracle.INTERVAL):
            return Meaning(storage=pa.string(), logical=Logical.INTERVAL)
        if isinstance(kind, oracle.BINARY_FLOAT):
            return Meaning(storage=pa.float32())
        if isinstance(kind, oracle.BINARY_DOUBLE):
            return Meaning(storage=pa.float64())
        if isinstance(kind, t.Boolean):
            return Meaning(storage=pa.bool_())
        if isinstance(kind, t.Float) or (isinstance(kind, t.Numeric) and kind.precision is None):
            return _decimal(None)
        if isinstance(kind, t.Numeric):  # NUMBER, which is a t.Integer besides
            return _number(kind.precision or 38, int(kind.scale or 0))
        if isinstance(kind, t.Integer):  # NUMBER(*, 0) has 38 digits
            return _decimal(Digits(precision=38, scale=0))
        if isinstance(kind, t.DateTime):  # DATE, too
            return Meaning(storage=pa.timestamp("us"))
        if isinstance(kind, oracle.BFILE):
            return None
        if isinstance(kind, t.LargeBinary | oracle.RAW):
            return Meaning(storage=pa.binary())
        if isinstance(kind, oracle.ROWID):
            return Meaning(storage=pa.string(), logical=Logical.OTHER)
        if isinstance(kind, t.String):
            return Meaning(storage=pa.string(), length=kind.length)
        return None

    def selected(self, column: Column, expression: str) -> sa.ColumnElement[Any]:
        """Instants in UTC; spans and row ids as text."""
        native = _native(column)
        made: sa.ColumnElement[Any] = sa.literal_column(expression)
        if _is_instant(native):
            return called("SYS_EXTRACT_UTC", made)
        if native.startswith("INTERVAL"):
            return called("TO_CHAR", made)
        return called("ROWIDTOCHAR", made) if native == "ROWID" else made

    def place(self, column: Column) -> sa.ColumnElement[Any]:
        """Times as text, with all their digits."""
        native = _native(column)
        if _is_instant(native):
            return called("TO_CHAR", called("SYS_EXTRACT_UTC", plain(column)), _FRACTIONS)
        if native.startswith("TIMESTAMP"):
            return called("TO_CHAR", plain(column), _FRACTIONS)
        return called("TO_CHAR", plain(column), _SECONDS) if native == "DATE" else plain(column)

    def bound(self, column: Column, place: Any) -> sa.ColumnElement[Any]:
        """The place, made the column's type by the server."""
        native, value = _native(column), sa.literal(place)
        if _is_instant(native):
            return called("FROM_TZ", called("TO_TIMESTAMP", value, _FRACTIONS), "UTC")
        if native.startswith("TIMESTAMP"):
            return called("TO_TIMESTAMP", value, _FRACTIONS)
        return called("TO_DATE", value, _SECONDS) if native == "DATE" else value

    def constant(self, mark: Mark) -> str:
        """Times as timestamps, to which a DATE is compared with its time."""
        if mark.kind in (Kind.TIMESTAMP, Kind.INSTANT):
            return f"TIMESTAMP {literal(mark.text.replace('T', ' ').replace('+', ' +'))}"
        if mark.kind is Kind.DATE:
            return f"DATE {literal(mark.text)}"
        if mark.kind is Kind.TEXT:
            return literal(mark.text)
        return format(mark.value, "f") if mark.kind is Kind.DECIMAL else mark.text

    def code(self, said: str) -> str:
        """``ORA-01017``, or the driver's own ``DPY-6005``."""
        found = _CODE.search(said)
        return found[1] if found else ""


def _decimal(digits: Digits | None) -> Meaning:
    return Meaning(storage=pa.string(), logical=Logical.DECIMAL, digits=digits)


def _number(precision: int, scale: int) -> Meaning:
    if scale <= 0:
        # A negative scale rounds to tens: the number has more digits than it keeps.
        whole = precision - scale
        small = whole <= MOST_DIGITS
        return Meaning(storage=pa.int64()) if small else _decimal(Digits(precision=whole, scale=0))
    return _decimal(Digits(precision=max(precision, scale), scale=scale))


def _is_instant(native: str) -> bool:
    return native.startswith("TIMESTAMP") and native.endswith("TIME ZONE")


def _native(column: Column) -> str:
    found = native_of(column.field)
    return (found.type if found else column.native).upper()
