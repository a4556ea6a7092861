"""The server's texts as Arrow, and Arrow as SQL constants; none altered.

Law: a whole column is converted at once. Only where that fails is each value looked at:
what Arrow cannot hold (a date with a zero in it, a time of 100 hours) is set aside with a
reason.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow import DataType, Field, Logical, logical_of, native_of
from connectors.sql.arriving import cast, plain_array
from connectors.sql.mysql import types

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?"


def array(values: Sequence[Any], field: Field) -> tuple["pa.Array[Any]", Mapping[int, str]]:
    """The values as Arrow, NULL where one does not fit; and the reasons, by row."""
    native = native_of(field)
    word = types.base(native.type) if native else ""
    if word == "bit":
        values = [None if value is None else str(int.from_bytes(value)) for value in values]
    kind = field.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pa.array(values, kind), {}
    convert = _from_text(kind)
    try:
        return convert(pa.array(values, pa.string())), {}
    except pa.ArrowInvalid:
        return _one_by_one(values, field, convert)


def _from_text(kind: DataType) -> "Callable[[Any], pa.Array[Any]]":
    def convert(texts: Any) -> Any:
        if isinstance(kind, pa.TimestampType) and kind.tz:
            # Texts have no zone; the session's, and so theirs, is UTC.
            return texts.cast(pa.timestamp("us")).cast(pa.int64()).cast(kind)
        if pa.types.is_time(kind):
            day = pa.scalar("1970-01-01 ")
            moments: Any = pc.binary_join_element_wise(day, texts, "")
            return moments.cast(pa.timestamp("us")).cast(kind)
        return (
            texts.cast(pa.float64()).cast(kind) if pa.types.is_float32(kind) else texts.cast(kind)
        )

    return convert


def _one_by_one(
    values: Sequence[Any], field: Field, convert: "Callable[[Any], pa.Array[Any]]"
) -> tuple["pa.Array[Any]", Mapping[int, str]]:
    made: list[Any] = []
    reasons: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            made.append(convert(pa.array([value], pa.string())))
        except pa.ArrowInvalid:
            made.append(pa.nulls(1, field.type))
            reasons[row] = (
                f"column {field.name!r} holds a date with a zero in it, or a time of more than "
                "a day, which no other system has; make it NULL in a view"
            )
    return pa.concat_arrays(made), reasons


def sound(data: pa.Table, kinds: Mapping[str, str]) -> Any:
    """Which records MySQL can hold: its decimals and floats are always numbers; None for all."""
    mask: Any = None
    for name in data.column_names:
        fits = _fits(data.column(name), kinds[name])
        if fits is not None:
            mask = fits if mask is None else pc.and_(mask, fits)
    return None if mask is None or pc.all(mask).as_py() in (True, None) else mask


def _fits(column: "pa.ChunkedArray[Any]", kind: str) -> Any:
    if pa.types.is_floating(column.type):
        finite: Any = pc.is_finite(column)
        return pc.fill_null(finite, True)
    if types.base(kind) == "decimal" and pa.types.is_string(column.type):
        number: Any = pc.match_substring_regex(column, f"^{_NUMBER}$")
        return pc.fill_null(number, True)
    return None


def rows(data: pa.Table, fields: Mapping[str, Field]) -> list[str]:
    """Each record as ``(constant,...)``."""
    columns = [
        _constants(data.column(name), fields[name]).combine_chunks() for name in data.column_names
    ]
    separated: list[Any] = [part for column in columns for part in (_long(","), column)][1:]
    joined: Any = _joined(_long("("), *separated, _long(")"))
    return list(joined.to_pylist())


def _joined(*parts: Any) -> Any:
    return pc.binary_join_element_wise(*parts, _long(""))


def _long(text: str) -> Any:
    return pa.scalar(text, pa.large_string())


def _constants(array: "pa.ChunkedArray[Any]", field: Field) -> "pa.ChunkedArray[Any]":
    texts: Any = _texts(array, field)
    found: pa.ChunkedArray[Any] = texts.cast(pa.large_string()).fill_null("NULL")
    return found


def _texts(array: "pa.ChunkedArray[Any]", field: Field) -> Any:
    if pa.types.is_list(array.type):
        array = plain_array(array, pa.field(field.name, pa.string()))
    if logical_of(field) is not Logical.DECIMAL or pa.types.is_integer(array.type):
        array = cast(array, field) if not pa.types.is_decimal(array.type) else array
    kind = array.type
    if pa.types.is_boolean(kind):
        return array.cast(pa.int8()).cast(pa.string())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return array.cast(pa.string())
    if pa.types.is_binary(kind):
        found = (None if value is None else f"x'{value.hex()}'" for value in array.to_pylist())
        return pa.chunked_array([pa.array(list(found), pa.large_string())])
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        array = array.cast(pa.timestamp("us"))
    plain: Any = array.cast(pa.large_string())
    doubled: Any = pc.replace_substring(plain, "'", "''")
    return _joined(_long("'"), doubled, _long("'"))
