"""DuckDB's types as Arrow: what has an exact Arrow type is taken as it is, the rest as text."""

import re
from collections.abc import Mapping

import pyarrow as pa

from connectors.arrow import DataType, Digits, Logical, Native, field
from connectors.sql.config import Dialect
from connectors.sql.tables import Column

EXACT: Mapping[str, DataType] = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
}

_LOGICAL = {
    "HUGEINT": Logical.DECIMAL,
    "UHUGEINT": Logical.DECIMAL,
    "BIGNUM": Logical.DECIMAL,
    "JSON": Logical.JSON,
    "UUID": Logical.UUID,
    "TIME WITH TIME ZONE": Logical.TIME_TZ,
    "INTERVAL": Logical.INTERVAL,
}
_HUGE = {"HUGEINT": 39, "UHUGEINT": 39}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


def column(name: str, native: str, *, nullable: bool) -> Column:
    """A column from the catalog's words."""
    storage, logical, digits = _meaning(native)
    arrow = field(
        name,
        storage,
        nullable=nullable,
        native=Native(dialect=Dialect.DUCKDB, type=native),
        logical=logical,
        digits=digits,
    )
    return Column(name=name, native=native, nullable=nullable, field=arrow)


def _meaning(native: str) -> tuple[DataType, Logical | None, Digits | None]:
    if native in EXACT:
        return EXACT[native], None, None
    if native.endswith("[]") and native[:-2] in EXACT:
        return pa.list_(EXACT[native[:-2]]), None, None
    if found := _DECIMAL.fullmatch(native):
        bounds = Digits(precision=int(found[1]), scale=int(found[2]))
        return pa.string(), Logical.DECIMAL, bounds
    if native.startswith("ENUM("):
        return pa.string(), Logical.ENUM, None
    logical = _LOGICAL.get(native, Logical.OTHER)
    digits = Digits(precision=_HUGE[native], scale=0) if native in _HUGE else None
    return pa.string(), logical, digits
