"""Finds rows whose values Arrow cannot hold, and sets them aside with a reason.

PostgreSQL and DuckDB know infinite times, PostgreSQL also 24:00 and years past 294246;
drivers hand these over as numbers outside of what the Arrow type can mean.
"""

from __future__ import annotations

from typing import Any

from connectors.late import pa, pc
from connectors.payload import readable, rejection
from connectors.sql.reader import Records

_FIRST_INSTANT = -210_866_803_200_000_000
"""Noon of 4714-11-24 BC in microseconds, where PostgreSQL's calendar begins, less 12 hours."""
_TOO_LATE_DAY = 2_147_000_000

_LIMITS = {
    "timestamp": (_FIRST_INSTANT, 2**63 - 2),
    "date": (-2_440_588, _TOO_LATE_DAY),
    "time": (0, 86_399_999_999),
}


def sifted(data: pa.Table, key: tuple[str, ...], *, guard: str | None = None) -> Records:
    """Split rows by whether Arrow holds them.

    ``guard`` is a column of texts, to be left out, that says why a row is unusable.
    """
    reasons: dict[int, str] = {}
    if guard is not None:
        said = data.column(guard)
        data = data.drop_columns([guard])
        if said.null_count < len(said):
            reasons = {row: why for row, why in enumerate(said.to_pylist()) if why is not None}
    for name in data.column_names:
        for row in _outside(data.column(name)):
            reasons.setdefault(row, f"column {name!r} holds a time that only its database knows")
    return divided(data, key, reasons)


def divided(data: pa.Table, key: tuple[str, ...], reasons: dict[int, str]) -> Records:
    """Take the rows with a reason out."""
    if not reasons:
        return Records(data=data)
    bad = pa.array(sorted(reasons), pa.int64())
    records = readable(data.take(bad))
    rejected = tuple(
        rejection(record, key, reasons[row])
        for row, record in zip(sorted(reasons), records, strict=True)
    )
    rows = pa.array(range(data.num_rows), pa.int64())
    kept = pc.invert(pc.is_in(rows, value_set=bad))
    return Records(data=data.filter(kept), rejected=rejected)


def _outside(column: pa.ChunkedArray[Any]) -> list[int]:
    """The rows whose value, or one inside its list, is outside the type's limits."""
    if pa.types.is_list(column.type):
        whole: Any = column.combine_chunks()
        parents = pc.list_parent_indices(whole)
        inner = _outside(pa.chunked_array([pc.list_flatten(whole)], column.type.value_type))
        return sorted({parents[at].as_py() for at in inner})
    limits = _limits(column.type)
    if limits is None:
        return []
    low, high = limits
    numbers = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
    least, most = pc.min(numbers).as_py(), pc.max(numbers).as_py()
    if least is None or most is None or (least >= low and most <= high):
        return []
    values = enumerate(numbers.to_pylist())
    return [row for row, value in values if value is not None and not low <= value <= high]


def _limits(type: pa.DataType) -> tuple[int, int] | None:
    if pa.types.is_timestamp(type):
        return _LIMITS["timestamp"]
    if pa.types.is_date32(type):
        return _LIMITS["date"]
    return _LIMITS["time"] if pa.types.is_time64(type) else None
