"""Looks a few records up in a table, as they come in a COPY BINARY stream."""

from collections.abc import Iterator, Sequence
from itertools import count
from struct import Struct
from typing import TypeAlias

from psycopg import Connection, RawCursor
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from connectors.sql.names import TableName, listed
from connectors.sql.store import Plan

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


def matching(
    connection: Connection, name: TableName, rows: Sequence[Row], plan: Plan, *, condition: str
) -> int:
    """How many of these rows, ``s``, of the plan's columns, find one in the table, ``t``.

    They are compared as values of the columns' types, however their bytes spell them.
    """
    numbers = count(1)
    values = ", ".join(
        "(" + ", ".join(f"${next(numbers)}::{column.type}" for column in plan) + ")" for _ in rows
    )
    names = listed(column.name for column in plan)
    query = (
        f"SELECT count(*) FROM (VALUES {values}) AS s ({names}) "
        f"WHERE EXISTS (SELECT FROM {name.sql} AS t WHERE {condition})"
    )
    parts = [None if part is None else _Wire(part) for row in rows for part in row]
    with RawCursor(connection) as cursor:
        cursor.adapters.register_dumper(_Wire, _WireDumper)
        ((found,),) = cursor.execute(query.encode(), parts).fetchall()
    return int(found)
