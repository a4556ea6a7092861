"""Records become columns: decoded JSON into Arrow, exactly.

Law: a value that does not fit its column rejects its record, which is named by its key;
nothing is rounded, cut or guessed. Text in a column of numbers is a number only if all of
it is. A time without a zone, in a column of instants, is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from connectors.arrow import Field, Logical, field
from connectors.contract import Rejection
from connectors.http.call import encoded
from connectors.late import pa, pc
from connectors.rest.records import Record, find

_MISFITS = (TypeError, ValueError, OverflowError, NotImplementedError)
"""What Arrow raises for a value that is not of a column's type."""
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What a column holds.

    ``timestamp`` is an instant, written in ISO 8601; ``local_timestamp`` has no zone;
    ``epoch`` and ``epoch_ms`` are instants written as numbers. ``decimal`` keeps every digit.
    """

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    LOCAL_TIMESTAMP = "local_timestamp"
    EPOCH = "epoch"
    EPOCH_MS = "epoch_ms"
    DATE = "date"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column, and where in the record it is found: under its own name, if not said."""

    name: str
    kind: Kind = Kind.TEXT
    path: str | None = None

    @property
    def field(self) -> Field:
        """As Arrow has it."""
        logical = {Kind.DECIMAL: Logical.DECIMAL, Kind.JSON: Logical.JSON}.get(self.kind)
        return field(self.name, _storage(self.kind), logical=logical)


def declared(**names: str) -> tuple[Column, ...]:
    """Columns by their kinds: ``declared(integer="id parent_id", text="status note")``."""
    return tuple(
        Column(name=name, kind=Kind(kind)) for kind, said in names.items() for name in said.split()
    )


def _storage(kind: Kind) -> Any:
    if kind in (Kind.TIMESTAMP, Kind.EPOCH, Kind.EPOCH_MS):
        return pa.timestamp("us", "UTC")
    plain: Mapping[Kind, Callable[[], Any]] = {
        Kind.INTEGER: pa.int64,
        Kind.NUMBER: pa.float64,
        Kind.BOOLEAN: pa.bool_,
        Kind.LOCAL_TIMESTAMP: lambda: pa.timestamp("us"),
        Kind.DATE: pa.date32,
    }
    return plain.get(kind, pa.string)()


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Records as a table; ``kept`` says which of them are in it."""

    data: pa.Table
    kept: Sequence[Record]
    rejected: tuple[Rejection, ...] = ()


def build(records: Sequence[Record], columns: Sequence[Column], key: Sequence[str]) -> Built:
    """The records as a table of these columns; those that do not fit are rejected."""
    arrays, bad = [], {}
    for column in columns:
        values = values_of(records, column)
        try:
            arrays.append(_quickly(values, column.kind))
        except _MISFITS:
            array, unfit = _one_by_one(values, column)
            arrays.append(array)
            bad.update({place: reason for place, reason in unfit.items() if place not in bad})
    table = pa.Table.from_arrays(arrays, schema=pa.schema([one.field for one in columns]))
    if not bad:
        return Built(data=table, kept=records)
    keep = [place not in bad for place in range(len(records))]
    return Built(
        data=table.filter(pa.array(keep)),
        kept=[record for record, fits in zip(records, keep, strict=True) if fits],
        rejected=tuple(
            Rejection(key=_key(records[place], columns, key), reason=reason)
            for place, reason in sorted(bad.items())
        ),
    )


def cursors_of(records: Sequence[Record], column: Column) -> Any:
    """One column of all records, NULL where a value does not fit."""
    values = values_of(records, column)
    try:
        return _quickly(values, column.kind)
    except _MISFITS:
        return _one_by_one(values, column)[0]


def values_of(records: Sequence[Record], column: Column) -> list[Any]:
    """What one column has in each of the records, as it came; None where it has nothing."""
    path = column.path if column.path is not None else column.name
    if path in (column.name,) or not ("." in path or path.startswith("/")):
        return [record.get(path) for record in records]
    return [find(record, path) for record in records]


def _key(record: Record, columns: Sequence[Column], key: Sequence[str]) -> str:
    named = [column for name in key for column in columns if column.name == name]
    return ", ".join(str(values_of([record], column)[0]) for column in named)


def _quickly(values: list[Any], kind: Kind) -> Any:
    """The column at once; raises where one value is not as it should be."""
    if kind is Kind.JSON:
        return pa.array([None if one is None else encoded(one) for one in values], pa.string())
    if kind is Kind.DECIMAL:
        texts = pa.array([_plain(one) for one in values], pa.string())
        if pc.all(pc.match_substring_regex(texts, f"^(?:{_NUMBER.pattern})$")).as_py() is False:
            raise ValueError("not a number")
        return texts
    if kind in (Kind.TIMESTAMP, Kind.LOCAL_TIMESTAMP):
        return _times(pa.array(values, pa.string()), kind)
    if kind is Kind.DATE:
        return pa.array(values, pa.string()).cast(pa.date32())
    if kind in (Kind.EPOCH, Kind.EPOCH_MS):
        factor = 1_000_000 if kind is Kind.EPOCH else 1000
        counted = pc.multiply_checked(pa.array(values, pa.int64()), factor)
        return counted.cast(_storage(kind))
    if kind is Kind.NUMBER:
        return pa.array([None if one is None else _float(one) for one in values], pa.float64())
    if kind is Kind.INTEGER and any(type(one) is Decimal for one in values):
        raise TypeError("Arrow would cut the fraction off")
    return pa.array(values, _storage(kind))


def _times(texts: Any, kind: Kind) -> Any:
    if kind is Kind.LOCAL_TIMESTAMP:
        return texts.cast(pa.timestamp("us"))
    try:
        return texts.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return pc.assume_timezone(texts.cast(pa.timestamp("us")), "UTC")


def _plain(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return format(value, "f")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a number")
    return str(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise TypeError("not a number")
    return float(value)


Unfit: TypeAlias = Mapping[int, str]


def _one_by_one(values: list[Any], column: Column) -> tuple[Any, Unfit]:
    """The column value by value; NULL where one is unfit, and why."""
    fitting: list[Any] = []
    unfit: dict[int, str] = {}
    for place, value in enumerate(values):
        try:
            fitting.append(None if value is None else _ONE[column.kind](value))
        except (TypeError, ValueError, OverflowError, ArithmeticError):
            fitting.append(None)
            what = type(value).__name__
            unfit[place] = (
                f"column {column.name!r} is {column.kind}, and this value ({what}) is not"
            )
    return pa.array(fitting, _storage(column.kind)), unfit


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encoded(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise TypeError("not a whole number")
    number = Decimal(value.strip() if isinstance(value, str) else value)
    if number != number.to_integral_value() or not -(2**63) <= number < 2**63:
        raise ValueError("not a whole number")
    return int(number)


def _decimal(value: Any) -> str:
    text = _plain(value)
    if text is None or not _NUMBER.fullmatch(text.strip()):
        raise ValueError("not a number")
    return text.strip()


def _number(value: Any) -> float:
    return float(_decimal(value))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _instant(value: Any) -> datetime | None:
    if value == "":
        return None
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _local(value: Any) -> datetime | None:
    if value == "":
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is not None:
        raise ValueError("it has a zone")
    return moment


def _epoch(seconds: float) -> Callable[[Any], datetime]:
    def read(value: Any) -> datetime:
        number = Decimal(_decimal(value))
        return _EPOCH + timedelta(microseconds=int(number * int(seconds * 1_000_000)))

    return read


def _date(value: Any) -> date | None:
    if value == "":
        return None
    if len(value) > 10 and datetime.fromisoformat(value).time() != datetime.min.time():
        raise ValueError("it has a time")
    return date.fromisoformat(value[:10])


_ONE: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: _instant,
    Kind.LOCAL_TIMESTAMP: _local,
    Kind.EPOCH: _epoch(1),
    Kind.EPOCH_MS: _epoch(0.001),
    Kind.DATE: _date,
    Kind.JSON: encoded,
}
