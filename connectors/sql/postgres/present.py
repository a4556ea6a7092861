"""Looks few records up in a table, each by its key, and compares them to the last byte."""

from collections.abc import Iterator, Sequence
from itertools import count
from struct import Struct
from typing import TypeAlias

from psycopg import Connection, RawCursor
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from connectors.sql.names import TableName, listed, quoted

Row: TypeAlias = tuple[bytes | None, ...]

HEADER_BYTES = 19
"""Of a COPY BINARY stream (PostgreSQL 18, COPY, "Binary Format")."""

_WIDTH = Struct(">h")
_LENGTH = Struct(">i")


class _Wire(bytes):
    """A value as it is on the wire."""


class _WireDumper(Dumper):
    """Sends such a value as it is, as one of the type that it is compared with."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Buffer) -> Buffer:
        return bytes(obj)


def rows_of(stream: bytes) -> Iterator[Row]:
    """The rows of a whole COPY BINARY stream."""
    at = HEADER_BYTES
    while (width := _WIDTH.unpack_from(stream, at)[0]) >= 0:
        at += _WIDTH.size
        row: list[bytes | None] = []
        for _ in range(width):
            (length,) = _LENGTH.unpack_from(stream, at)
            at += _LENGTH.size
            row.append(stream[at : at + length] if length >= 0 else None)
            at += max(0, length)
        yield tuple(row)


def holding(
    connection: Connection,
    name: TableName,
    rows: Sequence[Row],
    *,
    columns: Sequence[str],
    key: Sequence[str],
    condition: str,
) -> bool:
    """Whether each of these rows is in the table, alike, and meets the condition."""
    places = [columns.index(one) for one in key]
    wanted = [row[place] for row in rows for place in places]
    parts = [_Wire(part) for part in wanted if part is not None]
    if len(parts) < len(wanted):
        return False
    numbers = count(1)
    keyed = " OR ".join(
        "(" + " AND ".join(f"{quoted(one)} = ${next(numbers)}" for one in key) + ")" for _ in rows
    )
    query = f"SELECT {listed(columns)} FROM {name.sql} WHERE ({keyed}){condition}"
    with RawCursor(connection) as cursor:
        cursor.adapters.register_dumper(_Wire, _WireDumper)
        cursor.execute(query.encode(), parts, binary=True)
        result = cursor.pgresult
        assert result is not None
        found = {
            tuple(result.get_value(row, column) for column in range(len(columns)))
            for row in range(result.ntuples)
        }
    return found.issuperset(rows)
