"""The records that the contract suites move: small, with a key, a time and a text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from connectors.arrow import field

SCHEMA = pa.schema(
    [
        field("id", pa.int64()),
        field("changed_at", pa.timestamp("us", "UTC")),
        field("note", pa.string()),
    ]
)

BASE = datetime(2024, 3, 1, 12, 0, 0, 123456, UTC)
"""When the suites' records begin; long past, so that no clock stands in their way."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """One record: ``id`` is its key, ``changed_at`` its cursor."""

    id: int
    changed_at: datetime | None
    note: str | None = None


COLUMNS = tuple(member.name for member in fields(Row))


def at(seconds: float) -> datetime:
    """An instant so many seconds after `BASE`."""
    return BASE + timedelta(seconds=seconds)


def row(identity: int, seconds: float = 0, note: str | None = None) -> Row:
    """A record changed so many seconds after `BASE`."""
    return Row(id=identity, changed_at=at(seconds), note=note or f"note {identity}")


def table(*rows: Row) -> pa.Table:
    """Records in Arrow."""
    records = [{name: getattr(row, name) for name in COLUMNS} for row in rows]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def rows_of(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Records from a system as rows, in order of their ids; times may come as ISO text."""
    found = [
        Row(
            id=int(record["id"]),
            changed_at=_moment(record["changed_at"]),
            note=record["note"],
        )
        for record in records
    ]
    return sorted(found, key=lambda row: (row.id, row.changed_at or BASE, row.note or ""))


def _moment(value: datetime | str | None) -> datetime | None:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return None if moment is None else moment.astimezone(UTC)
