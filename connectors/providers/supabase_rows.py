"""Rows as PostgREST takes and gives them: JSON, and whether two of them say the same.

Law: a number is sent with all its digits, JSON byte for byte, a time with its microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from connectors.arrow import Logical, logical_of
from connectors.errors import ConfigError
from connectors.http.call import Answer
from connectors.late import pa
from connectors.sql.arriving import plain_table

Key: TypeAlias = tuple[Any, ...]

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Row:
    """One record, as values that JSON has; ``key`` tells it apart."""

    key: Key
    values: Mapping[str, Any]


def rows_of(data: pa.Table, key: Sequence[str]) -> Iterator[Row]:
    """The records of a table."""
    table = plain_table(data)
    columns = []
    for field in table.schema:
        send = _sender(field)
        values = table.column(field.name).to_pylist()
        columns.append([None if one is None else send(one) for one in values])
    names = table.schema.names
    for values in zip(*columns, strict=True):
        record = dict(zip(names, values, strict=True))
        yield Row(tuple(record.get(name) for name in key), record)


def _sender(field: Any) -> Callable[[Any], Any]:
    logical = logical_of(field)
    if logical is Logical.JSON:
        return lambda text: msgspec.Raw(text.encode())
    if pa.types.is_floating(field.type):
        return _float
    if pa.types.is_binary(field.type):
        return lambda value: f"\\x{value.hex()}"
    if pa.types.is_temporal(field.type):
        return _moment
    if pa.types.is_decimal(field.type):
        return lambda value: format(value, "f")
    return lambda value: value


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _moment(value: datetime | date | time) -> str:
    return value.isoformat()


def body_of(rows: Sequence[Row], names: Sequence[str]) -> bytes:
    """Rows as a JSON array of objects that all have these names."""
    return _ENCODER.encode([{name: row.values.get(name) for name in names} for row in rows])


def answered(answer: Answer) -> list[dict[str, Any]]:
    """The rows of an answer; `TransientError` when it breaks off, so that it is asked again."""
    found = answer.json()
    if not isinstance(found, list):
        raise ConfigError("the project's API answered with something that is no list of rows")
    return found


def same(sent: Any, stored: Any) -> bool:
    """Whether what is stored says what would be sent."""
    if isinstance(sent, msgspec.Raw):
        sent = _DECODER.decode(bytes(sent))
        return bool(sent == stored)
    if sent is None or stored is None or isinstance(sent, bool) or isinstance(stored, bool):
        return sent is stored
    if isinstance(sent, int | float | Decimal) and isinstance(stored, int | Decimal):
        return bool(float(sent) == float(stored) if isinstance(sent, float) else sent == stored)
    if sent == stored:
        return True
    return isinstance(sent, str) and _spells_the_same(sent, stored)


def _spells_the_same(sent: str, stored: Any) -> bool:
    """Two spellings of one number or one time."""
    try:
        if isinstance(stored, int | Decimal):
            return Decimal(sent) == stored
        if isinstance(stored, str):
            ours, theirs = datetime.fromisoformat(sent), datetime.fromisoformat(stored)
            return (ours.tzinfo is None) == (theirs.tzinfo is None) and ours == theirs
    except (ValueError, InvalidOperation):
        return False
    return False


def rounded(
    sent: Sequence[Row],
    stored: Sequence[Mapping[str, Any]],
    key: Sequence[str],
    decimals: Sequence[str],
) -> str | None:
    """The first of the columns that has stored another number than was sent; None if none has."""
    there = {plain_key(row, key): row for row in stored}
    for row in sent:
        held = there.get(canonical(row.key), {})
        for name in decimals:
            number = held.get(name)
            if isinstance(number, int | Decimal) and not same(row.values.get(name), number):
                return name
    return None


def is_older(sent: Any, stored: Any) -> bool:
    """Whether a cursor lies before the stored one; what cannot be compared does not."""
    if sent is None or stored is None:
        return False
    if isinstance(sent, str) and isinstance(stored, str):
        try:
            return datetime.fromisoformat(sent) < datetime.fromisoformat(stored)
        except (ValueError, TypeError):
            return False
    try:
        return bool(Decimal(str(sent)) < Decimal(str(stored)))
    except InvalidOperation:
        return False


def plain_key(stored: Mapping[str, Any], key: Sequence[str]) -> Key:
    """The key of a stored row, as `rows_of` spells it."""
    return tuple(_canonical(stored.get(name)) for name in key)


def canonical(key: Key) -> Key:
    """A key by which the same row is found, however its values are spelled."""
    return tuple(_canonical(value) for value in key)


def _canonical(value: Any) -> Any:
    if isinstance(value, str) and len(value) >= 19 and value[10] in "T ":
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment.timestamp() if moment.tzinfo else moment.isoformat()
    return value
