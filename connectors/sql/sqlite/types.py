"""SQLite's declared types as Arrow, and its values checked against them.

SQLite lets any value into any column; Arrow does not. The declaration decides the
type, and a value that does not fit it exactly is the record's fault, not the column's.
"""

import re

import pyarrow as pa

from connectors.arrow import DataType, Digits, Logical, Native, field
from connectors.sql.config import Dialect
from connectors.sql.tables import Column

_BOUNDS = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")

_MEANINGS: tuple[tuple[tuple[str, ...], DataType, Logical | None], ...] = (
    (("BOOL",), pa.bool_(), None),
    (("JSON",), pa.string(), Logical.JSON),
    (("UUID", "GUID"), pa.string(), Logical.UUID),
    (("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"), pa.timestamp("us", "UTC"), None),
    (("DATETIME", "TIMESTAMP"), pa.timestamp("us"), None),
    (("DATE",), pa.date32(), None),
    (("TIMETZ", "TIME WITH TIME ZONE"), pa.string(), Logical.TIME_TZ),
    (("DECIMAL", "NUMERIC"), pa.string(), Logical.DECIMAL),
    (("INTERVAL",), pa.string(), Logical.INTERVAL),
    (("TIME",), pa.time64("us"), None),
    (("INT",), pa.int64(), None),
    (("CHAR", "CLOB", "TEXT", "STRING"), pa.string(), None),
    (("BLOB", "BINARY", "BYTEA"), pa.binary(), None),
    (("REAL", "FLOA", "DOUB"), pa.float64(), None),
    (("XML",), pa.string(), Logical.XML),
)
"""The first row with a word that the declaration contains decides."""


def column(name: str, declared: str, *, nullable: bool) -> Column:
    """A column from its declaration; an unknown word means a number, as it does to SQLite."""
    storage, logical = _meaning(declared.upper())
    found = _BOUNDS.search(declared)
    digits = None
    if found and logical is Logical.DECIMAL:
        digits = Digits(precision=int(found[1]), scale=int(found[2] or 0))
    arrow = field(
        name,
        storage,
        nullable=nullable,
        native=Native(dialect=Dialect.SQLITE, type=declared),
        logical=logical,
        digits=digits,
    )
    return Column(name=name, native=declared, nullable=nullable, field=arrow)


def _meaning(declared: str) -> tuple[DataType, Logical | None]:
    for words, storage, logical in _MEANINGS:
        if any(word in declared for word in words):
            return storage, logical
    return pa.string(), Logical.DECIMAL
