"""PostgreSQL's types as Arrow.

Law: what ADBC decodes exactly is taken as it is; everything else is cast to text by
the server, which every other PostgreSQL casts back.
"""

import re
from collections.abc import Mapping

from connectors.arrow import Digits, Logical, Native, described
from connectors.described import AnyField, item_of, listed, storage_of
from connectors.errors import ConfigError
from connectors.sql.config import Dialect
from connectors.sql.tables import Column

EXACT: Mapping[str, str] = {
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float4": "float",
    "float8": "double",
    "bool": "bool",
    "text": "string",
    "varchar": "string",
    "bpchar": "string",
    "bytea": "binary",
    "date": "date32[day]",
    "time": "time64[us]",
    "timestamp": "timestamp[us]",
    "timestamptz": "timestamp[us, tz=UTC]",
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
    whole = described(
        name,
        storage,
        nullable=null,
        native=Native(dialect=Dialect.POSTGRESQL, type=native),
        logical=logical,
        digits=digits,
        length=length,
    )
    return Column(name=name, native=native, nullable=null, field=whole, built_in=built_in)


def _meaning(base: str, *, kind: str, built_in: bool) -> tuple[str, Logical | None]:
    if kind == "e":
        return "string", Logical.ENUM
    if not built_in:
        return "string", Logical.USER
    if base in EXACT:
        return EXACT[base], None
    if base.startswith("_") and base[1:] in EXACT:
        return listed(EXACT[base[1:]]), None
    return "string", LOGICAL.get(base, Logical.OTHER)


_COLUMNS: Mapping[str, str] = {
    "int8": "smallint",
    "uint8": "smallint",
    "int16": "smallint",
    "uint16": "integer",
    "int32": "integer",
    "uint32": "bigint",
    "int64": "bigint",
    "uint64": "numeric(20,0)",
    "float": "real",
    "double": "double precision",
    "bool": "boolean",
    "string": "text",
    "binary": "bytea",
    "date32[day]": "date",
    "time64[us]": "time without time zone",
    "timestamp[us]": "timestamp without time zone",
    "timestamp[us, tz=UTC]": "timestamp with time zone",
}
_MEANINGS = {
    Logical.JSON: "json",  # jsonb would drop spaces, order and doubled keys
    Logical.UUID: "uuid",
    Logical.TIME_TZ: "time with time zone",
    Logical.INTERVAL: "interval",
}


def type_for(
    field: AnyField, logical: Logical | None, digits: Digits | None, length: int | None
) -> str:
    """The type of a new column, from what the field means."""
    if logical is Logical.DECIMAL:
        return f"numeric({digits.precision},{digits.scale})" if digits else "numeric"
    if logical in _MEANINGS:
        return _MEANINGS[logical]
    if length is not None and storage_of(field) == "string":
        return f"character varying({length})"
    return _plain_type(field.name, storage_of(field))


def _plain_type(column: str, storage: str) -> str:
    item = item_of(storage)
    if item is not None:
        return f"{_plain_type(column, item)}[]"
    if storage not in _COLUMNS:
        raise ConfigError(f"column {column!r} holds {storage}, which PostgreSQL has no type for")
    return _COLUMNS[storage]
