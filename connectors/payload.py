"""A record that was set aside, as JSON text: enough to read it again as it was.

Law: what `records_of` reads is what `payload_of` wrote, value for value; text that was
written for a value of another kind is a ValueError, never a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import reduce
from typing import Any

from connectors.contract import Rejection
from connectors.described import Schema, arrow_schema
from connectors.late import pa, pc

NO_KEY = "(a record without a key)"


def rejection(record: Mapping[str, object], key: Sequence[str], reason: str) -> Rejection:
    """A record set aside, with its key and content."""
    shown = [str(record[name]) for name in key if record.get(name) is not None]
    whole = len(shown) == len(key) and bool(key)
    return Rejection(
        key=", ".join(shown) if whole else NO_KEY, reason=reason, payload=payload_of(record)
    )


def without_key(data: pa.Table, key: Sequence[str]) -> tuple[pa.Table, Sequence[Rejection]]:
    """The records that a key tells from others, and those without one, set aside."""
    absent = pa.array([True] * data.num_rows)
    names = data.column_names
    nulls = [pc.is_null(data.column(name)) if name in names else absent for name in key]
    if not any(pc.any(one).as_py() for one in nulls):
        return data, ()
    lacking: Any = reduce(pc.or_, nulls)
    reason = f"its key ({', '.join(key)}) is NULL, so it cannot be told from others"
    lost = [rejection(record, key, reason) for record in readable(data.filter(lacking))]
    return data.filter(pc.invert(lacking)), lost


def readable(data: pa.Table) -> list[dict[str, Any]]:
    """Records as plain values; a time that Python cannot say is its bare number."""
    columns = {}
    for name in data.column_names:
        column = data.column(name)
        try:
            columns[name] = column.to_pylist()
        except (ValueError, OverflowError):
            columns[name] = _numbers(column)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _numbers(column: pa.ChunkedArray[Any]) -> list[Any]:
    if pa.types.is_list(column.type):
        return [None] * len(column)
    narrow = pa.types.is_date32(column.type) or pa.types.is_time32(column.type)
    return column.cast(pa.int32() if narrow else pa.int64()).to_pylist()


def payload_of(record: Mapping[str, object]) -> str:
    """The record as one JSON object."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=_spelled)


def _spelled(value: object) -> object:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def records_of(payloads: Sequence[str], schema: Schema) -> pa.Table:
    """The records behind these payloads; ValueError if one cannot be read as ``schema``."""
    wanted = arrow_schema(schema)
    found = [json.loads(payload) for payload in payloads]
    rows = [
        {field.name: _value(one.get(field.name), field.type) for field in wanted} for one in found
    ]
    return pa.Table.from_pylist(rows, schema=wanted)


def _value(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        return [_value(item, kind.value_type) for item in value]
    if types.is_temporal(kind) and not isinstance(value, str):
        raise ValueError(f"{kind} is written as text")
    if isinstance(value, str) and not (types.is_string(kind) or types.is_large_string(kind)):
        return _from_text(value, kind)
    return value


def _from_text(text: str, kind: pa.DataType) -> Any:
    types = pa.types
    if types.is_timestamp(kind):
        return datetime.fromisoformat(text)
    if types.is_date(kind):
        return date.fromisoformat(text)
    if types.is_time(kind):
        return time.fromisoformat(text)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return bytes.fromhex(text)
    if types.is_decimal(kind):
        return Decimal(text)
    raise ValueError(f"{kind} is not written as text")
