"""Arrow's values as documents, and a table's documents as Arrow again; none altered. Pure.

MongoDB's dates end at milliseconds, and its decimals at 34 digits: so times are kept as ISO
texts, which sort as they should, and longer decimals as texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from bson import Decimal128, ObjectId, encode

from connectors.arrow import DataType, Field, Logical, digits_of, logical_of, native_of
from connectors.errors import ConfigError
from connectors.mongodb.kinds import Kind
from connectors.mongodb.values import DIALECT

MOST_DIGITS = 34
Document = dict[str, Any]


def refuse_names(schema: pa.Schema, key: Sequence[str]) -> None:
    """`ConfigError` for columns that no document can have."""
    for name in schema.names:
        if "\0" in name or "." in name or name.startswith("$") or not name:
            raise ConfigError(f"column {name!r} cannot be a field of MongoDB's; rename it")
    if "_id" in schema.names and tuple(key) not in ((), ("_id",)):
        raise ConfigError("column '_id' must be the key, or be renamed: documents have their own")


def documents(data: pa.Table, fields: Mapping[str, Field]) -> Iterator[Document]:
    """Each record as a document, with NULL for NULL."""
    columns = [_stored(data.column(name), fields[name]) for name in data.column_names]
    for row in zip(*columns, strict=True):
        yield dict(zip(data.column_names, row, strict=True))


def _stored(array: "pa.ChunkedArray[Any]", field: Field) -> Sequence[Any]:
    native, kind = native_of(field), array.type
    if native is not None and (native.dialect, native.type) == (DIALECT, Kind.OBJECT_ID.value):
        return [None if text is None else ObjectId(text) for text in array.to_pylist()]
    if logical_of(field) is Logical.DECIMAL or pa.types.is_uint64(kind):
        wide = not pa.types.is_uint64(kind) and _is_wide(field)
        texts = array.cast(pa.string()).to_pylist()
        return texts if wide else [None if text is None else Decimal128(text) for text in texts]
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz is not None else ""
        texts = array.cast(pa.timestamp("us")).cast(pa.string()).to_pylist()
        return [None if text is None else text.replace(" ", "T") + zone for text in texts]
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return array.cast(pa.string()).to_pylist()
    return array.to_pylist()


def _is_wide(field: Field) -> bool:
    digits = digits_of(field)
    return digits is None or digits.precision > MOST_DIGITS


def table(found: Sequence[Document], schema: pa.Schema) -> pa.Table:
    """Documents as the table that was written."""
    arrays = [_array([one.get(field.name) for one in found], field) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: list[Any], field: Field) -> "pa.Array[Any]":
    kind: DataType = field.type
    if pa.types.is_uint64(kind):
        return pa.array([v if v is None else int(_decimal(v)) for v in values], kind)
    if logical_of(field) is Logical.DECIMAL:
        texts = pa.array([v if v is None else _spelled(_decimal(v)) for v in values], pa.string())
        return texts.cast(kind)
    if isinstance(kind, pa.TimestampType):
        bare: list[Any] = [v if v is None else v.removesuffix("Z") for v in values]
        moments = pa.array(bare, pa.string()).cast(pa.timestamp("us"))
        return moments.cast(pa.int64()).cast(kind) if kind.tz else moments
    if pa.types.is_time(kind):
        joined: list[Any] = [v if v is None else f"1970-01-01T{v}" for v in values]
        return pa.array(joined, pa.string()).cast(pa.timestamp("us")).cast(kind)
    if pa.types.is_date(kind):
        return pa.array(values, pa.string()).cast(kind)
    if pa.types.is_string(kind):
        return pa.array([v if v is None else str(v) for v in values], kind)
    return pa.array(values, kind)


def _decimal(value: Any) -> Decimal:
    return value.to_decimal() if isinstance(value, Decimal128) else Decimal(value)


def _spelled(number: Decimal) -> str:
    return format(number, "f") if number.is_finite() else str(number)


def image(document: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """What these fields hold, byte by byte: 1.0 is not 1.00, and NaN is NaN."""
    return encode({name: document.get(name) for name in names})


def comparable(value: Any) -> Any:
    """A cursor's value as something that has an order."""
    return value.to_decimal() if isinstance(value, Decimal128) else value
