"""PostgreSQL as a source: Arrow by ADBC, or COPY BINARY handed on undecoded.

Law: one statement reads one snapshot. What the binary form loses (the bounds of an
array) is checked by the server, and the record rejected rather than altered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import takewhile
from operator import itemgetter
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGconn
from psycopg.rows import scalar_row

from connectors.arrow import Field, Logical, logical_of
from connectors.described import item_of, storage_of
from connectors.errors import TransientError
from connectors.late import pa
from connectors.sql.cursor import Kind, Mark, kind_of
from connectors.sql.fit import sifted
from connectors.sql.names import TableName, literal, quoted
from connectors.sql.postgres import session as pg
from connectors.sql.reader import Query, Records
from connectors.sql.tables import Column, Table

BATCH_BYTES = 2 * 1024 * 1024
"""What is encoded at once, and so small that a destination soon has something to do."""

CHUNK_BYTES = 96 * 1024
"""And no more than psycopg writes at once, which is 128 KiB."""

ESTIMATED_ROWS = 100_000
"""From so many rows a range, the planner's word that there are far fewer is taken for it."""

_TRAILER = b"\xff\xff"
"""What a stream ends with, and perhaps a row: after it psycopg is to see whether more comes."""

_GUARD = "__unfit"
_QUOTED = re.compile(r'"[^"]*"')
_CASTS = {
    Kind.DATE: "::date",
    Kind.TIMESTAMP: "::timestamp",
    Kind.INSTANT: "::timestamptz",
    Kind.DECIMAL: "::numeric",
}


@dataclass(frozen=True, slots=True)
class PostgresReader:
    """Reads over one session."""

    session: pg.PostgresSession

    @property
    def default_schema(self) -> str:
        """``public``."""
        return pg.DEFAULT_SCHEMA

    def version(self) -> str:
        """Which server this is."""
        return self.session.version()

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        return self.session.describe(name)

    def describe_all(self) -> Sequence[Table]:
        """Every table and view."""
        return self.session.describe_all()

    def now(self) -> datetime:
        """The server's clock."""
        found: datetime = self._scalar("SELECT now()")
        return found

    def _scalar(self, sql: str) -> Any:
        with pg.translated("reading"), self.session.connection.cursor(row_factory=scalar_row) as c:
            return c.execute(sql.encode()).fetchone()

    def constant(self, mark: Mark) -> str:
        """A constant of a type that the column's index is compared with directly."""
        if mark.kind is Kind.INTEGER:
            return mark.text
        return literal(mark.text) + _CASTS.get(mark.kind, "")

    def comparable(self, column: Column) -> str:
        """The column itself."""
        return quoted(column.name)

    def regular(self, column: Column) -> str | None:
        """Finite values; the year 294247 is where Arrow's microseconds end."""
        name = quoted(column.name)
        kind = kind_of(column.field)
        if kind in (Kind.TIMESTAMP, Kind.INSTANT):
            return f"{name} > '-infinity' AND {name} < '294247-01-01'"
        if kind is Kind.DATE:
            return f"{name} > '-infinity' AND {name} < 'infinity'"
        if kind is Kind.DECIMAL:
            return f"{name} > '-Infinity' AND {name} < 'Infinity'"
        return f"{name} IS NOT NULL" if column.nullable else None

    def odd(self, column: Column) -> str | None:
        """NULL, infinities and NaN."""
        name = quoted(column.name)
        null = f"{name} IS NULL OR " if column.nullable else ""
        kind = kind_of(column.field)
        if kind in (Kind.TIMESTAMP, Kind.INSTANT):
            return f"{null}{name} = '-infinity' OR {name} >= '294247-01-01'"
        if kind is Kind.DATE:
            return f"{null}{name} = '-infinity' OR {name} = 'infinity'"
        if kind is Kind.DECIMAL:
            return f"{null}{name} = '-Infinity' OR {name} >= 'Infinity'"
        return f"{name} IS NULL" if column.nullable else None

    def greatest(self, query: Query, column: Column, limit: Mark | None) -> str | None:
        """``max()`` in the column's own collation, as text."""
        top = f"max({quoted(column.name)})"
        if limit is not None:
            top = f"CASE WHEN {top} IS NOT NULL THEN least({top}, {self.constant(limit)}) END"
        found: str | None = self._scalar(query.sql([f"({top})::text"]))
        return found

    def records(self, query: Query) -> Iterator[Records]:
        """Arrow, streamed by ADBC out of a binary COPY."""
        schema = query.schema
        guard = _guard(query.columns)
        expressions = [_selected(column) for column in query.columns]
        sql = query.sql([*expressions, *([f"{guard} AS {quoted(_GUARD)}"] if guard else [])])
        for batch in self._batches(sql):
            arrays = [_exact(batch.column(n), f) for n, f in enumerate(schema)]
            if guard:
                arrays.append(batch.column(len(schema)))
                table = pa.Table.from_arrays(arrays, [*schema.names, _GUARD])
            else:
                table = pa.Table.from_arrays(arrays, schema.names)
            fit = sifted(table, query.key, guard=_GUARD if guard else None)
            yield from _sliced(fit, schema, query.batch_rows)

    def _batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        hint = {"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)}
        with pg.adbc_translated("reading"):
            cursor = self.session.adbc.cursor(adbc_stmt_kwargs=hint)
        with closing(cursor):
            with pg.adbc_translated("reading"):
                cursor.execute(sql)
                reader = cursor.fetch_record_batch()
            while True:
                try:
                    with pg.adbc_translated("reading"):
                        batch = reader.read_next_batch()
                except StopIteration:
                    return
                except (pa.ArrowException, OSError) as error:
                    raise _stopped(error) from error
                if batch.num_rows:
                    yield batch

    def can_copy(self, columns: Sequence[Column]) -> bool:
        """Only types with the same number on every server."""
        return bool(columns) and all(column.built_in for column in columns)

    def copy(self, query: Query) -> Iterator[bytes]:
        """COPY BINARY, gathered into pieces worth a system call.

        What libpq has received already is taken from it without asking whether to wait,
        and without a step of Python: for each row either costs more than the row.
        """
        sql = query.sql([quoted(column.name) for column in query.columns])
        statement = f"COPY ({sql}) TO STDOUT (FORMAT binary)".encode()
        gathered: list[Buffer] = []
        size = 0
        last: Buffer = b""
        with (
            pg.translated("copying"),
            self.session.connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            while piece := copy.read():
                last = piece
                gathered += [
                    piece,
                    b"" if piece[-2:] == _TRAILER else _received(cursor.connection.pgconn),
                ]
                size += len(piece) + len(gathered[-1])
                if size >= CHUNK_BYTES:
                    yield b"".join(gathered)
                    gathered.clear()
                    size = 0
            if last[-2:] != _TRAILER:
                gathered.append(_TRAILER)  # it was among what had been received
            yield b"".join(gathered)

    def finds(self, query: Query) -> bool:
        """Whether there is any row of the query."""
        return bool(self._scalar(f"SELECT EXISTS ({query.sql(['1'])})"))

    def boundary(self, query: Query, column: Column, rows: int) -> str | None:
        """The cursor ``rows`` rows on; the next greater one if all of these are equal."""
        name = quoted(column.name)
        if rows >= ESTIMATED_ROWS and 2 * self._estimated(query.sql([name])) < rows:
            return None
        ordered = f"{query.sql([name])} ORDER BY {name}"
        ends = self._scalar(f"SELECT {name}::text FROM ({ordered} OFFSET {rows} LIMIT 1) AS r")
        if ends is None:
            return None
        first = self._scalar(f"SELECT {name}::text FROM ({ordered} LIMIT 1) AS r")
        kind = kind_of(column.field)
        cast = _CASTS.get(kind, "") if kind else ""
        if ends == first:
            later = f"{name} > {literal(ends)}{cast}"
            joined = f"{query.where} AND {later}" if query.conditions else f" WHERE {later}"
            ends = self._scalar(f"SELECT min({name})::text FROM {query.table.sql}{joined}")
        return None if ends is None else f"{literal(ends)}{cast}"

    def _estimated(self, sql: str) -> float:
        """How many rows the planner expects: walking an index to count them takes as long."""
        (plan,) = self._scalar(f"EXPLAIN (FORMAT JSON) {sql}")
        rows: float = plan["Plan"]["Plan Rows"]
        return rows

    def interrupt(self) -> None:
        """End a statement that another thread waits for."""
        self.session.interrupt()

    def close(self) -> None:
        """Close the connections."""
        self.session.close()


def _received(connection: PGconn) -> bytes:
    """The rows that libpq has, without the stream's end."""
    rows = iter(partial(connection.get_copy_data, 1), (len(_TRAILER), _TRAILER))
    try:
        return b"".join(map(itemgetter(1), takewhile(itemgetter(0), rows)))
    except psycopg.OperationalError as ended:
        # More was asked for than there is: an error has ended the stream, and comes next.
        result = connection.get_result()
        while connection.get_result() is not None:
            pass
        raise ended if result is None else error_from_result(result) from None


def _stopped(error: Exception) -> TransientError:
    """An error in the middle of a stream has no SQLSTATE: the safe guess is to try again.

    What the server quotes in it may be a record's content, and is left out.
    """
    reason = _QUOTED.sub('"..."', str(error).rpartition("ERROR:")[2].strip())
    return TransientError(f"PostgreSQL stopped while reading: {reason}")


def _selected(column: Column) -> str:
    """The column as ADBC hands it over exactly; JSON is text already, in its binary form."""
    name = quoted(column.name)
    if logical_of(column.field) in (None, Logical.JSON):
        return name
    return f"{name}::text AS {name}"


def _guard(columns: Sequence[Column]) -> str | None:
    """SQL that names the reason why a row's arrays are more than Arrow's lists."""
    cases = [
        f"WHEN array_ndims({quoted(c.name)}) > 1 OR array_lower({quoted(c.name)}, 1) <> 1 THEN "
        + literal(f"column {c.name!r} holds an array with dimensions or bounds of its own")
        for c in columns
        if item_of(storage_of(c.field)) is not None
    ]
    return f"CASE {' '.join(cases)} END" if cases else None


def _exact(array: Any, field: Field) -> Any:
    """An array as decoded, without the wrapping that names PostgreSQL's own types."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array if array.type.equals(field.type) else array.cast(field.type)


def _sliced(fit: Records, schema: pa.Schema, rows: int) -> Iterator[Records]:
    """Pieces of at most ``rows`` rows; the rejected ones go with the first."""
    data = fit.data.cast(schema)
    yield Records(data=data.slice(0, rows), rejected=fit.rejected)
    for start in range(rows, data.num_rows, rows):
        yield Records(data=data.slice(start, rows))
