"""Arrow as PostgreSQL's binary COPY: each column encoded whole, then all joined into rows.

Laws: what is encoded is the exact value, or `ConfigError` names its column; a piece of the
stream is a few megabytes, whatever the size of the data.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow import DataType
from connectors.errors import ConfigError
from connectors.sql.postgres.session import COPY_HEADER, COPY_TRAILER

Array: TypeAlias = Any  # pyarrow's stubs want each array's type spelled out
Bytes: TypeAlias = npt.NDArray[np.uint8]

PIECE_BYTES = 2 * 1024 * 1024
"""Of Arrow data, encoded at once."""

_ITEMS: Mapping[str, int] = {
    "boolean[]": 16,
    "bytea[]": 17,
    "bigint[]": 20,
    "smallint[]": 21,
    "integer[]": 23,
    "text[]": 25,
    "json[]": 114,
    "real[]": 700,
    "double precision[]": 701,
    "character[]": 1042,
    "character varying[]": 1043,
    "date[]": 1082,
    "time without time zone[]": 1083,
    "timestamp without time zone[]": 1114,
    "timestamp with time zone[]": 1184,
}
"""Numbers of the types that arrays are made of, from pg_type.dat; they never change."""

_EPOCH_DAYS = 10_957
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000
"""PostgreSQL counts from the year 2000."""

_GROUP = 10_000
_NEGATIVE = 0x4000
"""A numeric is a sign and groups of four decimal digits."""


def copied(data: pa.Table, types: Sequence[str]) -> Iterator[memoryview]:
    """One complete COPY stream of the data, for columns of these types, without their bounds."""
    yield memoryview(COPY_HEADER)
    yield from rows(data, types)
    yield memoryview(COPY_TRAILER)


def rows(data: pa.Table, types: Sequence[str]) -> Iterator[memoryview]:
    """What is between the header and the trailer of such a stream."""
    most = max(1, data.num_rows * PIECE_BYTES // max(1, data.nbytes))
    for piece in data.to_batches(max_chunksize=most):
        if piece.num_rows:
            yield memoryview(_rows(piece, types))


def _rows(piece: pa.RecordBatch, types: Sequence[str]) -> pa.Buffer:
    """Of parts that all rows have alike, with texts and the like between them."""
    parts: list[Array] = []
    even = [_repeated(len(types), 2, piece.num_rows)]
    for field, column, native in zip(piece.schema, piece.columns, types, strict=True):
        try:
            head, body = _cells(column, native)
        except pa.ArrowInvalid as error:
            raise ConfigError(
                f"column {field.name!r} holds a time that is too early for PostgreSQL; "
                "leave the column out, or correct it at the source"
            ) from error
        even.append(head)
        if body is not None:
            parts += [_binary(np.hstack(even)), body]
            even = []
    if even:
        parts.append(_binary(np.hstack(even)))
    rows: pa.Buffer = _joined(*parts).buffers()[2]
    return rows


def _cells(array: Array, native: str) -> tuple[Bytes, Array | None]:
    """Each value's length and itself, or its length (-1: NULL) and, apart, all that vary."""
    values = _fixed(array)
    if values is not None and not array.null_count:
        count, width = values.shape
        return np.hstack([_repeated(width, 4, count), values]), None
    if values is not None:
        body = _spread(values, np.asarray(array.is_valid()))
    elif pa.types.is_list(array.type):
        body = _lists(array, native)
    else:
        body = array.cast(pa.binary())
        if native == "jsonb":
            body = _joined(b"\x01", body)  # the format's version
        body = pc.fill_null(body, b"")
    lengths = pc.if_else(array.is_valid(), pc.binary_length(body), -1)
    return _big_endian(np.asarray(lengths, np.int32)), body


def _fixed(array: Array) -> Bytes | None:
    """One row of bytes a value, whatever it is where that is NULL; None for types that vary."""
    kind: DataType = array.type
    if pa.types.is_decimal(kind):
        return _numerics(array)
    if pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif pa.types.is_timestamp(kind):
        array = pc.subtract_checked(array.cast(pa.int64()), _EPOCH_MICROSECONDS)
    elif pa.types.is_date32(kind):
        array = pc.subtract_checked(array.cast(pa.int32()), pa.scalar(_EPOCH_DAYS, pa.int32()))
    elif not (pa.types.is_primitive(kind) or pa.types.is_fixed_size_binary(kind)):
        return None
    raw = _raw(array)
    return raw if pa.types.is_fixed_size_binary(kind) else raw[:, ::-1]


def _raw(array: Array) -> Bytes:
    width = array.type.byte_width
    size, start = len(array) * width, array.offset * width
    return np.frombuffer(array.buffers()[1], np.uint8, size, start).reshape(-1, width)


def _numerics(array: Array) -> Bytes:
    """Groups of digits with the point between two of them, and before them what they mean."""
    kind = array.type
    before = max(0, -(-(kind.precision - kind.scale) // 4))
    after = max(0, -(-kind.scale // 4))
    digits = max(1, kind.precision - kind.scale + 4 * after)
    wide: Any = pa.decimal128 if digits <= 38 else pa.decimal256
    array = array.cast(wide(digits, 4 * after))
    limbs = _raw(pc.abs(array)).view("<u4")[:, : digits // 9 + 1].T.astype(np.uint64)
    cells = np.empty((len(array), 4 + before + after), ">i2")
    cells[:, 0] = before + after
    cells[:, 1] = before - 1
    cells[:, 2] = np.where(_raw(array)[:, -1] & 0x80, _NEGATIVE, 0)
    cells[:, 3] = max(0, kind.scale)
    for group in range(cells.shape[1] - 1, 3, -1):
        rest: Any = np.uint64(0)
        for at in range(len(limbs) - 1, -1, -1):
            whole = limbs[at] + (rest << np.uint64(32))
            limbs[at] = whole // _GROUP
            rest = whole - limbs[at] * _GROUP
        cells[:, group] = rest
    return cells.view(np.uint8)


def _lists(array: Array, native: str) -> Array:
    """The head of a one-dimensional array, and its items; an empty one has no items."""
    items: Array = pc.list_flatten(array)
    lengths: Array = pc.list_value_length(array)
    counts = np.asarray(pc.fill_null(lengths, 0))
    heads = np.empty((len(array), 5), ">i4")
    heads[:] = (1, 0, _ITEMS[native], 0, 1)  # dimensions, flags, type, items, lower bound
    heads[:, 3] = counts
    joined = _binary(heads.view(np.uint8))
    if len(items):
        head, body = _cells(items, native.removesuffix("[]"))
        parts = [_binary(head)] if body is None else [_binary(head), body]
        encoded = _joined(*parts)
        ends = np.concatenate([[0], np.cumsum(counts)])
        starts = np.frombuffer(encoded.buffers()[1], np.int32)[ends]
        joined = _joined(joined, _sliced(encoded.buffers()[2], starts))
    empty: Any = b""
    return pc.if_else(array.is_valid(), joined, empty)


def _joined(*parts: Array | bytes) -> Array:
    every: tuple[Array, ...] = (*parts, b"")
    return pc.binary_join_element_wise(*every)


def _repeated(number: int, width: int, count: int) -> Bytes:
    """One number, in each of so many rows."""
    row = np.frombuffer(number.to_bytes(width, "big"), np.uint8)
    return np.broadcast_to(row, (count, width))


def _big_endian(numbers: npt.NDArray[np.int32]) -> Bytes:
    return numbers.astype(">i4").view(np.uint8).reshape(-1, 4)


def _binary(rows: Bytes) -> Array:
    """Rows of bytes as an Arrow column."""
    count, width = rows.shape
    return _sliced(np.ascontiguousarray(rows), np.arange(count + 1) * width)


def _spread(values: Bytes, valid: npt.NDArray[np.bool_]) -> Array:
    """The valid values; nothing for each of the others."""
    ends = np.concatenate([[0], np.cumsum(valid)])
    return _sliced(np.ascontiguousarray(values[valid]), ends * values.shape[1])


def _sliced(data: Any, offsets: npt.NDArray[Any]) -> Array:
    """A column of the slices of some bytes, between each offset and the next."""
    ends: Any = offsets.astype(np.int32)
    kind: Any = pa.binary()
    return pa.Array.from_buffers(
        kind, len(offsets) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )
