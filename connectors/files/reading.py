"""One object's records as batches of the selection, each with where it comes from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Batch, Selection
from connectors.described import arrow_schema
from connectors.files.columns import FILE, MODIFIED_AT, ROW, Columns
from connectors.files.config import FormatName
from connectors.files.formats import Piece
from connectors.files.inside import HEAD_BYTES, Inside, WholeLines, digest
from connectors.files.state import Grown
from connectors.files.stores import Object

BATCH_ROWS = 20_000
"""That are handed over together, where the object's pieces are smaller."""


class Reader:
    """Reads one object after the other; ``grown`` tells of the last one, if it only grows."""

    def __init__(self, inside: Inside, columns: Columns, selection: Selection) -> None:
        self._inside = inside
        self._columns = columns
        self._schema = arrow_schema(selection.stream.schema)
        self._wanted = columns.wanted(self._schema.names, inside.stream)
        self._most = selection.batch_rows
        self.grown: Grown | None = None

    def empty(self) -> pa.Table:
        """No records."""
        return self._schema.empty_table()

    def batches(self, found: Object, prior: Grown | None, file: BinaryIO) -> Iterator[Batch]:
        """The object's records from where the file stands."""
        self.grown = None
        before = prior.rows if prior else 0
        lines: WholeLines | None = None
        names: tuple[str, ...] = ()
        if self._inside.stream.append_only:
            start = prior.offset if prior else 0
            lines = WholeLines(file, found.size - start)
            names = self._header(found) if prior else ()
        content = io.BufferedReader(lines) if lines else self._inside.unpacked(file, found.name)
        options = self._inside.options(found.name, names)
        rows = before
        format = self._inside.format(found.name)
        with content, closing(format.read(content, self._wanted, options)) as pieces:
            waiting: list[Batch] = []
            for piece in pieces:
                if len(piece.numbers):
                    rows = before + piece.numbers[-1].as_py()
                for batch in self._divided(piece, found, before):
                    if waiting and not self._fit_together(waiting, batch):
                        yield _joined(waiting)
                        waiting = []
                    waiting.append(batch)
            if waiting:
                yield _joined(waiting)
        if lines is not None:
            offset = (prior.offset if prior else 0) + lines.passed
            size = min(HEAD_BYTES, offset)
            head = digest(self._inside.head(found, size))
            self.grown = Grown(offset=offset, rows=rows, head_bytes=size, head=head)

    def _fit_together(self, waiting: Sequence[Batch], more: Batch) -> bool:
        """Whether small pieces make one batch: writers have work to do for each."""
        first, rows = waiting[0].data, sum(_rows(one) for one in (*waiting, more))
        assert isinstance(first, pa.Table) and isinstance(more.data, pa.Table)
        return rows <= min(self._most, BATCH_ROWS) and first.schema.equals(more.data.schema)

    def _header(self, found: Object) -> tuple[str, ...]:
        """The columns that a continued CSV object has named at its beginning."""
        if self._inside.format_name(found.name) is not FormatName.CSV:
            return ()
        from connectors.files.formats.csv import header

        begun = self._inside.head(found, HEAD_BYTES)
        return header(begun, self._inside.options(found.name))

    def _divided(self, piece: Piece, found: Object, before: int) -> Iterator[Batch]:
        whole = self._placed(piece, found, before)
        rejected = piece.rejected
        for start in range(0, whole.num_rows, self._most):
            yield Batch(data=whole.slice(start, self._most), rejected=rejected)
            rejected = ()
        if rejected:
            yield Batch(data=whole, rejected=rejected)

    def _placed(self, piece: Piece, found: Object, before: int) -> pa.Table:
        """The selection's columns in their order, then those that nobody knew."""
        rows = len(piece.numbers)
        arrays: list[Any] = []
        fields: list[Any] = []
        present = set(piece.data.column_names)
        for one in self._schema:
            if one.name in present:
                column = piece.data.column(one.name)
                arrays.append(column)
                fields.append(one if column.type.equals(one.type) else one.with_type(column.type))
                continue
            fields.append(one)
            if one.name in self._columns.added:
                arrays.append(self._ours(one.name, piece, found, before))
            else:
                arrays.append(pa.nulls(rows, one.type))
        for one in piece.data.schema:
            if one.name not in self._schema.names:
                arrays.append(piece.data.column(one.name))
                fields.append(one)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _ours(self, name: str, piece: Piece, found: Object, before: int) -> Any:
        rows = len(piece.numbers)
        if name == FILE:
            return pa.repeat(pa.scalar(found.name), rows)
        if name == MODIFIED_AT:
            return pa.repeat(pa.scalar(found.modified_at, pa.timestamp("us", "UTC")), rows)
        assert name == ROW
        numbers: Any = pc.add(piece.numbers, before)
        return numbers


def _rows(batch: Batch) -> int:
    return batch.data.num_rows if isinstance(batch.data, pa.Table) else 0


def _joined(batches: Sequence[Batch]) -> Batch:
    tables = [one.data for one in batches if isinstance(one.data, pa.Table)]
    rejected = tuple(one for batch in batches for one in batch.rejected)
    return Batch(data=pa.concat_tables(tables), rejected=rejected)
