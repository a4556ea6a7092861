"""What an Arrow column is in PostgreSQL, and what it must be to be written as that.

Law: a column goes binary only where the bytes are exactly the value; otherwise it goes
as text, and the server reads it as its own type.
"""

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow import DataType
from connectors.sql.arriving import cast

_BINARY: Mapping[str, DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "character varying": pa.string(),
    "character": pa.string(),
    "json": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time without time zone": pa.time64("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
}
_BOUNDS = re.compile(r"\(([\d,]+)\)")


def prepared(data: pa.Table, types: Mapping[str, str]) -> tuple[pa.Table, frozenset[str]]:
    """The data as it is encoded for columns of these types, and which of them go as text."""
    arrays: list[Any] = []
    texts: set[str] = set()
    for name in data.column_names:
        column = _binary(data.column(name), types[name], name)
        if column is None:
            column = cast(data.column(name), pa.field(name, pa.string()))
            texts.add(name)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, data.column_names), frozenset(texts)


def _binary(array: "pa.ChunkedArray[Any]", native: str, name: str) -> "pa.ChunkedArray[Any] | None":
    if native == "jsonb" and pa.types.is_string(array.type):
        return array
    if native.startswith("numeric("):
        return _decimals(array, native)
    if native == "uuid" and pa.types.is_string(array.type):
        return _uuids(array)
    wanted = _wanted(native)
    return None if wanted is None else cast(array, pa.field(name, wanted))


def unbounded(native: str) -> str:
    """The type's name alone."""
    return _BOUNDS.sub("", native)


def _wanted(native: str) -> DataType | None:
    base = unbounded(native)
    if base.endswith("[]"):
        item = _BINARY.get(base[:-2])
        return None if item is None else pa.list_(item)
    return _BINARY.get(base)


def _decimals(array: "pa.ChunkedArray[Any]", native: str) -> "pa.ChunkedArray[Any] | None":
    """None where some value is NaN, or has more digits than Arrow's decimals."""
    found = _BOUNDS.search(native)
    precision, _, scale = (found[1] if found else "").partition(",")
    if not precision or int(precision) > 38:
        return None
    try:
        return array.cast(pa.decimal128(int(precision), int(scale or 0)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _uuids(array: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any] | None":
    """Sixteen bytes each; None where some value is not spelled in the usual way."""
    chunks: list[Any] = []
    kind: Any = pa.binary(16)
    parts: list[Any] = array.chunks
    for chunk in parts:
        filled: Any = pc.fill_null(chunk, "00000000-0000-0000-0000-000000000000")
        if not pc.all(pc.match_substring_regex(filled, _UUID)).as_py():
            return None
        hexed: str = "".join(pc.replace_substring(filled, "-", "").to_pylist())
        whole = pa.FixedSizeBinaryArray.from_buffers(
            kind, len(chunk), [None, pa.py_buffer(bytes.fromhex(hexed))]
        )
        chunks.append(pc.if_else(pc.is_valid(chunk), whole, pa.scalar(None, kind)))
    return pa.chunked_array(chunks, kind)


_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
