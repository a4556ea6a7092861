"""BSON values as Arrow's, field by field, none altered. Pure.

Law: a field is of one kind. Two kinds of numbers meet in decimals and any two others in
JSON, where every value says what it is; a value that is not of its field's kind rejects
its document.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from bson import Binary, Decimal128, ObjectId, json_util
from bson.datetime_ms import DatetimeMS

from connectors.arrow import DataType, Field, Logical, Native, field
from connectors.mongodb.kinds import Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_NUMBERS = frozenset({Kind.INTEGER, Kind.NUMBER, Kind.DECIMAL})
_STORAGE: Mapping[Kind, tuple[DataType, Logical | None]] = {
    Kind.INTEGER: (pa.int64(), None),
    Kind.NUMBER: (pa.float64(), None),
    Kind.DECIMAL: (pa.string(), Logical.DECIMAL),
    Kind.TEXT: (pa.string(), None),
    Kind.BOOLEAN: (pa.bool_(), None),
    Kind.INSTANT: (pa.timestamp("us", "UTC"), None),
    Kind.BYTES: (pa.binary(), None),
    Kind.UUID: (pa.string(), Logical.UUID),
    Kind.OBJECT_ID: (pa.string(), None),
    Kind.JSON: (pa.string(), Logical.JSON),
}
DIALECT = "mongodb"


def arrow_field(name: str, kind: Kind) -> Field:
    """The column that holds fields of a kind."""
    storage, logical = _STORAGE[kind]
    native = Native(dialect=DIALECT, type=kind.value)
    return field(name, storage, native=native, logical=logical)


def kind_of(value: object) -> Kind:
    """The narrowest kind of a value that is not null."""
    if isinstance(value, bool):
        return Kind.BOOLEAN
    for types, kind in _KINDS:
        if isinstance(value, types):
            return kind
    return Kind.JSON


_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (int, Kind.INTEGER),
    (float, Kind.NUMBER),
    (Decimal128, Kind.DECIMAL),
    (ObjectId, Kind.OBJECT_ID),
    ((datetime, DatetimeMS), Kind.INSTANT),
    (uuid.UUID, Kind.UUID),
)


def kinds_of(documents: Iterable[Mapping[str, Any]]) -> dict[str, Kind]:
    """The kind of each field, in the order in which fields are first seen."""
    found: dict[str, Kind] = {}
    for document in documents:
        for name, value in document.items():
            if value is not None:
                kind = _plain(value)
                found[name] = together(found.get(name, kind), kind)
    return found


def _plain(value: object) -> Kind:
    # Regular expressions and code are no texts, and subtypes of binary are not only bytes.
    if type(value) is str:
        return Kind.TEXT
    return Kind.BYTES if type(value) is bytes else kind_of(value)


def together(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that takes both."""
    if one is other:
        return one
    return Kind.DECIMAL if {one, other} <= _NUMBERS else Kind.JSON


def column(values: Sequence[Any], kind: Kind) -> tuple["pa.Array[Any]", dict[int, str]]:
    """The values as Arrow, NULL where one is not of the kind; and what those are, by row."""
    made: list[Any] = []
    unfit: dict[int, str] = {}
    convert = _CONVERTERS[kind]
    for row, value in enumerate(values):
        try:
            made.append(None if value is None else convert(value))
        except (ValueError, TypeError, OverflowError):
            made.append(None)
            unfit[row] = _plain(value).value
    storage, _ = _STORAGE[kind]
    if kind is Kind.INSTANT:
        return pa.array(made, pa.int64()).cast(storage), unfit
    return pa.array(made, storage), unfit


def shown(value: object) -> str:
    """A key as a person reads it."""
    return str(value) if not isinstance(value, dict | list) else _json(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, float):
        return value
    number = _integer(value)
    if int(float(number)) != number:
        raise ValueError
    return float(number)


def _decimal(value: Any) -> str:
    if isinstance(value, Decimal128):
        number = value.to_decimal()
    elif isinstance(value, float):
        number = Decimal(repr(value))
    else:
        number = Decimal(_integer(value))
    return format(number, "f") if number.is_finite() else str(number)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def microseconds(value: Any) -> int:
    """A moment as microseconds since 1970; also one that Python's dates do not know."""
    if isinstance(value, DatetimeMS):
        return int(value) * 1000
    if not isinstance(value, datetime):
        raise TypeError
    moment = value - _EPOCH
    return (moment.days * 86_400 + moment.seconds) * 1_000_000 + moment.microseconds


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes) or (isinstance(value, Binary) and value.subtype != 0):
        raise TypeError
    return bytes(value)


def _uuid(value: Any) -> str:
    if not isinstance(value, uuid.UUID):
        raise TypeError
    return str(value)


def _object_id(value: Any) -> str:
    if not isinstance(value, ObjectId):
        raise TypeError
    return str(value)


def _json(value: Any) -> str:
    """MongoDB's own relaxed JSON: numbers are numbers, everything else says what it is."""
    options = json_util.RELAXED_JSON_OPTIONS
    return json_util.dumps(value, json_options=options, ensure_ascii=False, separators=(",", ":"))


_CONVERTERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.DECIMAL: _decimal,
    Kind.TEXT: _text,
    Kind.BOOLEAN: _boolean,
    Kind.INSTANT: microseconds,
    Kind.BYTES: _bytes,
    Kind.UUID: _uuid,
    Kind.OBJECT_ID: _object_id,
    Kind.JSON: _json,
}
