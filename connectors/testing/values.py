"""Values that are easily altered on the way, and how one tells that they were not.

Law: a value is compared by its canonical spelling, so that a float can never pass for
an integer or a decimal, nor a local time for an instant.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from connectors.arrow import Digits, Field, Logical, field
from connectors.testing.features import Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A column of hard values; ``spelled`` gives the canonical spelling of one of them."""

    name: str
    column: Field
    values: tuple[Any, ...]
    spelled: Callable[[Any], str]
    needs: tuple[Feature, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """A key and the column."""
        return pa.schema([pa.field("id", pa.int64()), self.column])

    @property
    def table(self) -> pa.Table:
        """The values, numbered from 0."""
        values = pa.array(self.values, type=self.column.type)
        numbers = pa.array(range(len(self.values)), type=pa.int64())
        return pa.Table.from_arrays([numbers, values], schema=self.schema)

    @property
    def expected(self) -> list[str]:
        """Every value, spelled."""
        return [_or_null(self.spelled, value) for value in self.values]

    def found(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """The values that a system holds, spelled, in the order of their numbers."""
        ordered = sorted(records, key=lambda record: int(record["id"]))
        return [_or_null(self.spelled, record[self.column.name]) for record in ordered]


def _or_null(spelled: Callable[[Any], str], value: Any) -> str:
    return "NULL" if value is None else f"{spelled(value)}"


def spelled_integer(value: Any) -> str:
    """A whole number that must not have been a float."""
    is_whole = isinstance(value, int) or (isinstance(value, Decimal) and value == int(value))
    return str(int(value)) if is_whole or isinstance(value, str) else f"not an integer: {value!r}"


def _boolean(value: Any) -> str:
    return str(bool(value)) if value in (0, 1) else f"not a boolean: {value!r}"


def _float(value: Any) -> str:
    number = float(value)
    return "nan" if math.isnan(number) else repr(number)


def spelled_decimal(value: Any) -> str:
    """A number that must not have been a float, without zeros at its end."""
    if isinstance(value, float):
        return f"not a decimal: {value!r}"
    number = Decimal(value)
    if not number.is_finite():
        return str(number)
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _text(value: Any) -> str:
    return repr(value)


def _uuid(value: Any) -> str:
    return str(value).lower()


def _bytes(value: Any) -> str:
    return bytes(value).hex()


def _date(value: Any) -> str:
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return date.isoformat(value) if is_day else date.fromisoformat(value).isoformat()


def _moment(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _local(value: Any) -> str:
    return _moment(value).isoformat(timespec="microseconds")


def spelled_instant(value: Any) -> str:
    """A moment with its zone, as UTC to the microsecond."""
    moment = _moment(value)
    if moment.tzinfo is None:
        return f"without a zone: {moment.isoformat()}"
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _time(value: Any) -> str:
    moment = time.fromisoformat(value) if isinstance(value, str) else value
    return str(moment.isoformat(timespec="microseconds"))


def _list_of(spelled: Callable[[Any], str]) -> Callable[[Any], str]:
    def spell(value: Any) -> str:
        items = json.loads(value) if isinstance(value, str) else value
        return "[" + ", ".join(_or_null(spelled, item) for item in items) + "]"

    return spell


def _days(*texts: str | None) -> tuple[date | None, ...]:
    return tuple(None if text is None else date.fromisoformat(text) for text in texts)


def _moments(*texts: str | None) -> tuple[datetime | None, ...]:
    return tuple(None if text is None else datetime.fromisoformat(text) for text in texts)


_TIMES = (
    "2024-02-29T23:59:59.999999",
    "1969-12-31T23:59:59.000001",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999999",
)

CASES = (
    Case(
        name="64-bit integers beside NULL",
        column=field("big", pa.int64()),
        values=(2**63 - 1, None, -(2**63), 2**53 + 1, 0),
        spelled=spelled_integer,
    ),
    Case(
        name="64-bit integers without a sign",
        column=field("unsigned", pa.uint64()),
        values=(2**64 - 1, None, 0),
        spelled=spelled_integer,
        needs=(Feature.UNSIGNED,),
    ),
    Case(
        name="small integers",
        column=field("small", pa.int16()),
        values=(-(2**15), None, 2**15 - 1),
        spelled=spelled_integer,
    ),
    Case(
        name="booleans",
        column=field("yes", pa.bool_()),
        values=(True, None, False),
        spelled=_boolean,
    ),
    Case(
        name="floats",
        column=field("ratio", pa.float64()),
        values=(0.1, None, 5e-324, 1.7976931348623157e308, -2.5),
        spelled=_float,
    ),
    Case(
        name="floats that are no numbers",
        column=field("ratio", pa.float64()),
        values=(math.nan, math.inf, -math.inf, None, 1.0),
        spelled=_float,
        needs=(Feature.NOT_A_NUMBER,),
    ),
    Case(
        name="short floats",
        column=field("ratio", pa.float32()),
        values=(0.5, None, 16777216.0),
        spelled=_float,
    ),
    Case(
        name="decimals of two places",
        column=field(
            "price",
            pa.string(),
            logical=Logical.DECIMAL,
            digits=Digits(precision=12, scale=2),
        ),
        values=("9999999999.99", None, "-0.01", "0.10", "0.00"),
        spelled=spelled_decimal,
    ),
    Case(
        name="decimals without bounds",
        column=field("exact", pa.string(), logical=Logical.DECIMAL),
        values=("123456789012345678901234567890.123456789012345678", None, "-1.10", "0"),
        spelled=spelled_decimal,
    ),
    Case(
        name="Arrow's own decimals",
        column=field("price", pa.decimal128(20, 4)),
        values=(Decimal("1234567890123456.7891"), None, Decimal("-0.0001")),
        spelled=spelled_decimal,
    ),
    Case(
        name="dates",
        column=field("day", pa.date32()),
        values=_days("0001-01-01", "1969-12-31", None, "2024-02-29", "9999-12-31"),
        spelled=_date,
    ),
    Case(
        name="timestamps without a zone",
        column=field("local", pa.timestamp("us")),
        values=_moments(*_TIMES, None),
        spelled=_local,
    ),
    Case(
        name="instants to the microsecond",
        column=field("instant", pa.timestamp("us", "UTC")),
        values=_moments(*(f"{text}+00:00" for text in _TIMES), None),
        spelled=spelled_instant,
    ),
    Case(
        name="instants in another zone",
        column=field("instant", pa.timestamp("us", "America/New_York")),
        values=_moments("2024-03-10T01:59:59.999999-05:00", None, "2024-11-03T01:30:00-04:00"),
        spelled=spelled_instant,
    ),
    Case(
        name="times of day",
        column=field("hour", pa.time64("us")),
        values=(time(23, 59, 59, 999999), None, time(0, 0)),
        spelled=_time,
    ),
    Case(
        name="texts",
        column=field("words", pa.string()),
        values=("", " ", None, "NULL", "\\N", 'it\'s "so"\\\n\t\r', "Größe 漢字 🚲 e\u0301"),
        spelled=_text,
    ),
    Case(
        name="JSON byte for byte",
        column=field("document", pa.string(), logical=Logical.JSON),
        values=(
            '{"b": 1,  "a": [1.0, null, "\\u00e9"], "b": 2}',
            "12345678901234567890.10",
            None,
            "null",
            '"ü"',
        ),
        spelled=_text,
        needs=(Feature.JSON_BYTES,),
    ),
    Case(
        name="UUIDs",
        column=field("uuid", pa.string(), logical=Logical.UUID),
        values=("00000000-0000-0000-0000-00000000000f", None),
        spelled=_uuid,
    ),
    Case(
        name="bytes",
        column=field("blob", pa.binary()),
        values=(b"", None, b"\x00\xff\x80'\\", bytes(range(256))),
        spelled=_bytes,
    ),
    Case(
        name="lists of integers",
        column=field("numbers", pa.list_(pa.int64())),
        values=([1, None, 2**63 - 1], [], None),
        spelled=_list_of(spelled_integer),
        needs=(Feature.LISTS,),
    ),
    Case(
        name="lists of texts",
        column=field("labels", pa.list_(pa.string())),
        values=(['a,b"', "", None, "NULL", "{}\\"], [], None),
        spelled=_list_of(_text),
        needs=(Feature.LISTS,),
    ),
)
