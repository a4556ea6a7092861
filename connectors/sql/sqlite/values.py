"""SQLite's values as Arrow arrays, one column at a time, none altered.

A value that is not exactly of its column's type is set aside with a reason.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from connectors.arrow import Field, Logical, logical_of, native_of

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?( ?(?:Z|[+-]\d\d(?::?\d\d)?))?"
)
_TIME = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?|[+-]?(?:NaN|Infinity)")


def array(values: Sequence[Any], field: Field) -> tuple["pa.Array[Any]", Mapping[int, str]]:
    """The values as Arrow, NULL where one does not fit; and the reasons, by row."""
    if _ready(set(map(type, values)), field):
        try:
            return pa.array(values, field.type), {}
        except (pa.ArrowException, ValueError, OverflowError):
            pass  # a text that is no UTF-8: find out which, below
    convert = _converter(field)
    made: list[Any] = []
    reasons: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            made.append(None if value is None else convert(value))
        except (ValueError, TypeError, InvalidOperation, OverflowError):
            made.append(None)
            declared = native_of(field)
            kind = type(value).__name__
            word = declared.type if declared else field.type
            reasons[row] = f"column {field.name!r} is {word}, and its value, a {kind}, is not"
    return pa.array(made, field.type), reasons


def _ready(types: set[type], field: Field) -> bool:
    """Whether all values are what Arrow takes as they are."""
    types = types - {type(None)}
    if logical_of(field) in (Logical.DECIMAL, Logical.JSON):
        return not types
    for made, fits in (
        (pa.types.is_int64, int),
        (pa.types.is_float64, float),
        (pa.types.is_string, str),
        (pa.types.is_binary, bytes),
    ):
        if made(field.type):
            return types <= {fits}
    return not types


def _converter(field: Field) -> Callable[[Any], Any]:
    logical, kind = logical_of(field), field.type
    if logical is Logical.DECIMAL:
        return _decimal
    if logical is Logical.JSON:
        return _json
    if isinstance(kind, pa.TimestampType):
        return _instant if kind.tz else _timestamp
    found = next((made for is_kind, made in _CONVERTERS if is_kind(kind)), None)
    return _text if found is None else found


def _decimal(value: object) -> str:
    """Numbers in a DECIMAL column are integers, floats or text, as SQLite saw fit."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f")
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise ValueError
    return value


def _json(value: object) -> str:
    """A column declared JSON keeps a bare number as a number."""
    if isinstance(value, int | float):
        return repr(value)
    return _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


def _float(value: object) -> float:
    if isinstance(value, int) and int(float(value)) == value:
        return float(value)
    if not isinstance(value, float):
        raise TypeError
    return value


def _boolean(value: object) -> bool:
    if value not in (0, 1) or not isinstance(value, int):
        raise ValueError
    return bool(value)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value


def _date(value: object) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError
    return date.fromisoformat(value)


def _time(value: object) -> time:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError
    return time.fromisoformat(value)


def _timestamp(value: object) -> datetime:
    return _moment(value, zoned=False)


def _instant(value: object) -> datetime:
    return _moment(value, zoned=True)


def _moment(value: object, *, zoned: bool) -> datetime:
    """Digits past the microsecond, and a zone where none belongs, would be lost: refused."""
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or bool(found[1]) != zoned:
        raise ValueError
    return datetime.fromisoformat(found[0].replace(" +", "+").replace(" -", "-").replace(" Z", "Z"))


_CONVERTERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], Any]], ...] = (
    (pa.types.is_boolean, _boolean),
    (pa.types.is_int64, _integer),
    (pa.types.is_float64, _float),
    (pa.types.is_binary, _bytes),
    (pa.types.is_date32, _date),
    (pa.types.is_time64, _time),
)
