"""Columns that nobody declared, from the records that are there.

Law: text stays text. That it looks like a number or a time today is no promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from connectors.rest.columns import Column, Kind
from connectors.rest.records import Record


def infer(records: Sequence[Record], *, instants: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns that hold these records, in the order in which their fields were first seen.

    Text in those named in ``instants`` is known to be times.
    """
    seen: dict[str, set[Kind]] = {}
    for record in records:
        for name, value in record.items():
            kinds = seen.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))
    return tuple(
        Column(
            name=name,
            kind=_instant_kind(kinds) if name in instants else _one_kind(kinds),
            path="/" + name.replace("~", "~0").replace("/", "~1") if "." in name else None,
        )
        for name, kinds in seen.items()
    )


def _kind(value: Any) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int):
        return Kind.INTEGER if -(2**63) <= value < 2**63 else Kind.DECIMAL
    if isinstance(value, Decimal):
        return Kind.DECIMAL
    return Kind.TEXT if isinstance(value, str) else Kind.JSON


def _one_kind(kinds: set[Kind]) -> Kind:
    if kinds == {Kind.INTEGER, Kind.DECIMAL}:
        return Kind.DECIMAL
    if len(kinds) == 1:
        return next(iter(kinds))
    return Kind.JSON if Kind.JSON in kinds else Kind.TEXT


def _instant_kind(kinds: set[Kind]) -> Kind:
    return _one_kind(kinds) if kinds - {Kind.TEXT} else Kind.TIMESTAMP
