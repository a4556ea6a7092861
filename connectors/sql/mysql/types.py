"""MySQL's types as Arrow, and Arrow's as MySQL.

A column of ours says in its comment what its type cannot (``sync:utc``: a DATETIME that is
an instant). TIMESTAMP ends in 2038, and MySQL's JSON sorts keys and drops doubled ones: so
instants are kept in DATETIME, and JSON in text.
"""

import re
from collections.abc import Mapping

import pyarrow as pa

from connectors.arrow import (
    DataType,
    Digits,
    Logical,
    Native,
    digits_of,
    field,
    logical_of,
    native_of,
)
from connectors.described import AnyField
from connectors.errors import ConfigError
from connectors.sql.config import Dialect
from connectors.sql.names import literal
from connectors.sql.tables import Column

MOST_DIGITS, MOST_PLACES = 65, 30
TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
BYTES = frozenset({"tinyblob", "blob", "mediumblob", "longblob", "varbinary", "binary"})

_SHAPE = re.compile(r"(\w+)(?:\((\d+)(?:,(\d+))?\))?(.*)", re.DOTALL)
_COMMENT = re.compile(r" COMMENT '(sync:\w+)'$")
_INTEGERS: Mapping[str, tuple[DataType, DataType]] = {
    "tinyint": (pa.int8(), pa.uint8()),
    "smallint": (pa.int16(), pa.uint16()),
    "mediumint": (pa.int32(), pa.uint32()),
    "int": (pa.int32(), pa.uint32()),
    "bigint": (pa.int64(), pa.uint64()),
}
_PLAIN: Mapping[str, tuple[DataType, Logical | None]] = {
    "float": (pa.float32(), None),
    "double": (pa.float64(), None),
    "date": (pa.date32(), None),
    "time": (pa.time64("us"), None),
    "datetime": (pa.timestamp("us"), None),
    "timestamp": (pa.timestamp("us", "UTC"), None),
    "year": (pa.int16(), None),
    "json": (pa.string(), Logical.JSON),
    "uuid": (pa.string(), Logical.UUID),
    "enum": (pa.string(), Logical.ENUM),
    "set": (pa.string(), Logical.OTHER),
    "inet4": (pa.string(), Logical.OTHER),
    "inet6": (pa.string(), Logical.OTHER),
}
_MARKED: Mapping[str, tuple[DataType, Logical | None]] = {
    "sync:utc": (pa.timestamp("us", "UTC"), None),
    "sync:bool": (pa.bool_(), None),
    "sync:json": (pa.string(), Logical.JSON),
    "sync:uuid": (pa.string(), Logical.UUID),
    "sync:time_tz": (pa.string(), Logical.TIME_TZ),
    "sync:interval": (pa.string(), Logical.INTERVAL),
}


def native(declared: str, collation: str | None, comment: str) -> str:
    """A type as a column's definition spells it, with what its values are compared by."""
    compared = ""
    if collation is not None and collation != "NULL":
        compared = f" CHARACTER SET {collation.partition('_')[0]} COLLATE {collation}"
    mark = f" COMMENT {literal(comment)}" if comment.startswith("sync:") else ""
    return f"{declared}{compared}{mark}"


def base(native: str) -> str:
    """A type's first word."""
    return native.partition(" ")[0].partition("(")[0].lower()


def is_text(native: str) -> bool:
    """Whether values of the type are compared by a collation."""
    return base(native) in TEXTS


def column(name: str, native: str, *, nullable: bool, indexed: bool = False) -> Column:
    """A column from its definition.

    An indexed text is not given a longer type, which could not be indexed: its bound is
    not told, and a value beyond it is refused by the server.
    """
    storage, logical, digits, length = _meaning(native)
    arrow = field(
        name,
        storage,
        nullable=nullable,
        native=Native(dialect=Dialect.MYSQL, type=native),
        logical=logical,
        digits=digits,
        length=None if indexed else length,
    )
    return Column(name=name, native=native, nullable=nullable, field=arrow)


def _meaning(native: str) -> tuple[DataType, Logical | None, Digits | None, int | None]:
    found = _SHAPE.match(native)
    word, first, second, rest = found.groups() if found else (native, None, None, "")
    word = word.lower()
    marked = _COMMENT.search(native)
    if marked and marked[1] in _MARKED:
        return (*_MARKED[marked[1]], None, None)
    if word in _INTEGERS:
        return _INTEGERS[word]["unsigned" in rest], None, None, None
    if word == "decimal":
        bounds = Digits(precision=int(first or 10), scale=int(second or 0))
        return pa.string(), Logical.DECIMAL, bounds, None
    if word == "bit":
        return (pa.bool_() if int(first or 1) == 1 else pa.uint64()), None, None, None
    if word in _PLAIN:
        return (*_PLAIN[word], None, None)
    if word in TEXTS:
        # The bound of a key's text is its index's, not the value's.
        length = int(first) if first and not marked else None
        return pa.string(), None, None, length
    # Bytes, and geometries, which the server hands over as bytes.
    return pa.binary(), None, None, None


_REUSED = frozenset({*_INTEGERS, "decimal", "double", "date", "time", "datetime", "timestamp"})
_COLUMNS: tuple[tuple[DataType, str], ...] = (
    (pa.bool_(), "tinyint(1) COMMENT 'sync:bool'"),
    (pa.int8(), "tinyint"),
    (pa.int16(), "smallint"),
    (pa.int32(), "int"),
    (pa.int64(), "bigint"),
    (pa.uint8(), "tinyint unsigned"),
    (pa.uint16(), "smallint unsigned"),
    (pa.uint32(), "int unsigned"),
    (pa.uint64(), "bigint unsigned"),
    (pa.float32(), "double"),  # FLOAT is compared and shown inexactly
    (pa.float64(), "double"),
    (pa.binary(), "longblob"),
    (pa.date32(), "date"),
    (pa.time64("us"), "time(6)"),
    (pa.timestamp("us"), "datetime(6)"),
    (pa.timestamp("us", "UTC"), "datetime(6) COMMENT 'sync:utc'"),
)
_MEANINGS = {
    Logical.JSON: " COMMENT 'sync:json'",
    Logical.UUID: " COMMENT 'sync:uuid'",
    Logical.TIME_TZ: " COMMENT 'sync:time_tz'",
    Logical.INTERVAL: " COMMENT 'sync:interval'",
}


def type_for(one: AnyField, collation: str) -> str:
    """The type of a new column that holds every value; texts are compared byte by byte."""
    origin, logical = native_of(one), logical_of(one)
    if origin is not None and origin.dialect == Dialect.MYSQL and base(origin.type) in _REUSED:
        return origin.type
    text = f"longtext CHARACTER SET utf8mb4 COLLATE {collation}"
    if logical is Logical.DECIMAL:
        digits = digits_of(one)
        if digits is None or digits.precision > MOST_DIGITS or not 0 <= digits.scale <= MOST_PLACES:
            return text
        return f"decimal({digits.precision},{digits.scale})"
    if logical is not None:
        return text + _MEANINGS.get(logical, "")
    if pa.types.is_list(one.type):
        return text + _MEANINGS[Logical.JSON]
    if pa.types.is_string(one.type):
        return text
    for kind, spelled in _COLUMNS:
        if kind.equals(one.type):
            return spelled
    raise ConfigError(f"column {one.name!r} holds {one.type}, which MySQL cannot keep")


def as_key(native: str, parts: int, collation: str) -> str:
    """The type with a bound that an index of so many parts can hold (3072 bytes in all)."""
    word = base(native)
    mark = _COMMENT.search(native)
    said = mark[1] if mark else "sync:key"
    if word in ("longtext", "mediumtext", "text", "tinytext"):
        compared = f"CHARACTER SET utf8mb4 COLLATE {collation}"
        return f"varchar({704 // parts}) {compared} COMMENT '{said}'"
    if word in ("longblob", "mediumblob", "blob", "tinyblob"):
        return f"varbinary({2816 // parts})"
    return native
