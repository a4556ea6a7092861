"""Cursor values: how they are read, spelled, capped and moved. Pure.

Law: a watermark is text that spells one exact value. For times it never lies beyond
the source's own clock, or one row dated in the far future would hide all later ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Self, TypeAlias

from connectors.arrow import Logical, logical_of
from connectors.contract import State
from connectors.described import AnyField, storage_of
from connectors.late import pa, pc

Value: TypeAlias = int | Decimal | date | datetime | str

STATE_VERSION = 1
ZONELESS_MARGIN = timedelta(days=1)
"""How far a clock on a wall may be ahead of UTC, and then some."""


class Kind(StrEnum):
    """What a cursor counts in; ``instant`` is a time with a zone, ``timestamp`` one without."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    INSTANT = "instant"
    TEXT = "text"


TEMPORAL = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.INSTANT})
COUNTED_IN_ARROW = TEMPORAL | {Kind.INTEGER}
"""Kinds whose greatest value Arrow finds; a text's order is known to its database alone."""

_INTEGER = re.compile(r"u?int\d+")
_KINDS = {"date32[day]": Kind.DATE, "string": Kind.TEXT}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (the zoneless epoch is what it stands for)
_EXAMPLES: Mapping[Kind, str] = {
    Kind.INTEGER: "4711",
    Kind.DECIMAL: "4711.5",
    Kind.DATE: "2026-01-31",
    Kind.TIMESTAMP: "2026-01-31T12:00:00, without a zone",
    Kind.INSTANT: "2026-01-31T12:00:00+00:00, with its zone",
    Kind.TEXT: "text",
}


def kind_of(field: AnyField) -> Kind | None:
    """What a column counts in as a cursor; None if it cannot be one."""
    logical = logical_of(field)
    if logical is not None:
        return Kind.DECIMAL if logical is Logical.DECIMAL else None
    storage = storage_of(field)
    if storage.startswith("timestamp"):
        return Kind.INSTANT if "tz=" in storage else Kind.TIMESTAMP
    return Kind.INTEGER if _INTEGER.fullmatch(storage) else _KINDS.get(storage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One position of a cursor."""

    kind: Kind
    value: Value

    @classmethod
    def parse(cls, kind: Kind, text: str) -> Self:
        """Read a position; ValueError with an example when the text is none."""
        try:
            return cls(kind=kind, value=_parse(kind, text))
        except (ValueError, InvalidOperation, OverflowError) as error:
            example = _EXAMPLES[kind]
            raise ValueError(f"{text!r} is not {kind.value}; write it like {example}") from error

    @property
    def text(self) -> str:
        """The spelling that `parse` reads back to the same value."""
        if isinstance(self.value, datetime):
            return self.value.isoformat(timespec="microseconds")
        return self.value.isoformat() if isinstance(self.value, date) else str(self.value)

    def before(self, lag: timedelta) -> Mark:
        """The position ``lag`` earlier; whole days for dates; never before the year 1."""
        if not lag or not isinstance(self.value, date):
            return self
        days = isinstance(self.value, datetime)
        step = lag if days else timedelta(days=-(-lag // timedelta(days=1)))
        try:
            return Mark(kind=self.kind, value=self.value - step)
        except OverflowError:
            zone = "+00:00" if self.kind is Kind.INSTANT else ""
            return Mark.parse(self.kind, "0001-01-01" + (f"T00:00:00{zone}" if days else ""))

    def or_later(self, other: Mark | None) -> Mark:
        """The later of two positions; for texts, ``other``: only its database can compare."""
        if other is None:
            return self
        if self.kind not in COUNTED_IN_ARROW:
            return other
        return self if self.order >= other.order else other

    @property
    def order(self) -> Any:
        """What positions of one kind are compared by."""
        return self.value

    def state(self) -> State:
        """As a source's state."""
        return State(version=STATE_VERSION, value={"watermark": self.text})


def _parse(kind: Kind, text: str) -> Value:
    if kind is Kind.TEXT:
        return text
    if kind is Kind.INTEGER:
        if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
            raise ValueError(text)
        return int(text)
    if kind is Kind.DECIMAL:
        number = Decimal(text)
        if not number.is_finite():
            raise ValueError(text)
        return number
    if kind is Kind.DATE:
        return date.fromisoformat(text)
    moment = datetime.fromisoformat(text)
    if (moment.tzinfo is None) != (kind is Kind.TIMESTAMP):
        raise ValueError(text)
    return moment if kind is Kind.TIMESTAMP else moment.astimezone(UTC)


def marked(state: State | None, kind: Kind) -> Mark | None:
    """The position in a state; ValueError when the state is not one of ours."""
    if state is None:
        return None
    if state.version != STATE_VERSION:
        raise ValueError(f"version {state.version} is not {STATE_VERSION}")
    if not state.value:
        return None
    text = state.value.get("watermark")
    if not isinstance(text, str):
        raise ValueError("it has no watermark")
    return Mark.parse(kind, text)


def ceiling(kind: Kind, now: datetime) -> Mark | None:
    """The latest position that a watermark may take when the source's clock says ``now``."""
    if kind is Kind.INSTANT:
        return Mark(kind=kind, value=now)
    latest = now.replace(tzinfo=None) + ZONELESS_MARGIN
    if kind is Kind.TIMESTAMP:
        return Mark(kind=kind, value=latest)
    return Mark(kind=kind, value=latest.date()) if kind is Kind.DATE else None


def greatest(kind: Kind, column: pa.ChunkedArray[Any], limit: Mark | None) -> Mark | None:
    """The greatest value of a column, no greater than ``limit``; None when it has none."""
    if kind is Kind.INTEGER:
        top = pc.max(column).as_py()
        return None if top is None else Mark(kind=kind, value=top)
    # As numbers: Arrow knows years that Python does not.
    numbers: Any = column.cast(pa.int32() if kind is Kind.DATE else pa.int64())
    top = pc.max(numbers).as_py()
    if top is None:
        return None
    bound = None if limit is None else _number(limit)
    if bound is not None and limit is not None and top >= bound:
        return limit
    try:
        return Mark(kind=kind, value=_value(kind, top))
    except OverflowError:
        return None


def _number(mark: Mark) -> int:
    if isinstance(mark.value, datetime):
        return (mark.value.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)
    return (date.fromisoformat(mark.text) - _EPOCH.date()).days


def _value(kind: Kind, number: int) -> Value:
    if kind is Kind.DATE:
        return _EPOCH.date() + timedelta(days=number)
    moment = _EPOCH + timedelta(microseconds=number)
    return moment if kind is Kind.TIMESTAMP else moment.replace(tzinfo=UTC)
