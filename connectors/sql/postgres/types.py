"""PostgreSQL's types as Arrow.

Law: what ADBC decodes exactly is taken as it is; everything else is cast to text by
the server, which every other PostgreSQL casts back.
"""

import re
from collections.abc import Mapping

import pyarrow as pa

from connectors.arrow import DataType, Digits, Logical, Native, field
from connectors.sql.config import Dialect
from connectors.sql.tables import Column

EXACT: Mapping[str, DataType] = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
"""Types whose binary form ADBC turns into the Arrow type without loss, alone or in an array."""

LOGICAL = {
    "numeric": Logical.DECIMAL,
    "json": Logical.JSON,
    "jsonb": Logical.JSON,
    "uuid": Logical.UUID,
    "timetz": Logical.TIME_TZ,
    "interval": Logical.INTERVAL,
    "xml": Logical.XML,
}

_BOUNDS = re.compile(r"\((\d+)(?:,(-?\d+))?\)")


def column(name: str, native: str, *, base: str, kind: str, built_in: bool, null: bool) -> Column:
    """A column from the catalog's words: ``base`` is typname, ``kind`` typtype."""
    storage, logical = _meaning(base, kind=kind, built_in=built_in)
    found = _BOUNDS.search(native)
    digits = length = None
    if found and logical is Logical.DECIMAL:
        digits = Digits(precision=int(found[1]), scale=int(found[2] or 0))
    if found and base in ("varchar", "bpchar"):
        length = int(found[1])
    arrow = field(
        name,
        storage,
        nullable=null,
        native=Native(dialect=Dialect.POSTGRESQL, type=native),
        logical=logical,
        digits=digits,
        length=length,
    )
    return Column(name=name, native=native, nullable=null, field=arrow, built_in=built_in)


def _meaning(base: str, *, kind: str, built_in: bool) -> tuple[DataType, Logical | None]:
    if kind == "e":
        return pa.string(), Logical.ENUM
    if not built_in:
        return pa.string(), Logical.USER
    if base in EXACT:
        return EXACT[base], None
    if base.startswith("_") and base[1:] in EXACT:
        return pa.list_(EXACT[base[1:]]), None
    return pa.string(), LOGICAL.get(base, Logical.OTHER)
