"""What drivers hand over, as Arrow; none of it altered but times finer than a microsecond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from connectors.arrow import Field, Logical, logical_of
from connectors.late import pa


def array(values: Sequence[Any], field: Field) -> pa.Array[Any]:
    """One column."""
    convert = _converter(field)
    found = values if convert is None else [None if v is None else convert(v) for v in values]
    made: pa.Array[Any] = pa.array(found, field.type)
    return made


def text(value: Any, field: Field) -> str:
    """One value as a watermark spells it."""
    convert = _converter(field)
    plain = value if convert is None else convert(value)
    return plain.isoformat() if isinstance(plain, date) else str(plain)


def _converter(field: Field) -> Callable[[Any], Any] | None:
    kind = field.type
    if logical_of(field) is Logical.DECIMAL:
        return _decimal
    if pa.types.is_timestamp(kind):
        return _moment if kind.tz is None else _instant
    if pa.types.is_date(kind):
        return lambda value: value.date() if isinstance(value, datetime) else value
    if pa.types.is_boolean(kind):
        return bool
    if pa.types.is_integer(kind):
        return int
    if pa.types.is_binary(kind):
        return bytes
    return str if pa.types.is_string(kind) else None


def _decimal(value: Any) -> str:
    return format(value if isinstance(value, Decimal) else Decimal(str(value)), "f")


def _moment(value: datetime) -> datetime:
    """Without a zone, as its column is."""
    return value.replace(tzinfo=None)


def _instant(value: datetime) -> datetime:
    """It was asked for in UTC, and comes without a zone."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
