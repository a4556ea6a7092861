"""The objects of a written table: Parquet, CSV or JSON lines; their names tell which.

Law: what is read back is what was written, in the columns that the table has by now.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from connectors.described import arrow_schema
from connectors.errors import ConfigError, TransientError
from connectors.files.config import (
    Compression,
    CsvOptions,
    FormatName,
    Misfits,
    compression_of,
    format_of,
)
from connectors.files.formats import Options, Wanted, format_called
from connectors.files.formats.jsonl import LONGEST_LINE_BYTES
from connectors.files.manifest import Part
from connectors.files.spelling import csv_header, csv_lines, json_lines, own_kind, restored
from connectors.files.unpack import unpacked

BATCH_ROWS = 50_000
PIECE_BYTES = 2 * 1024 * 1024
"""Of Arrow data, spelled at once."""

_GZIP_LEVEL = 6
_SUFFIXES = {
    FormatName.PARQUET: ".parquet",
    FormatName.CSV: ".csv",
    FormatName.JSONL: ".jsonl",
}
_PACKED = {Compression.NONE: "", Compression.GZIP: ".gz", Compression.ZSTD: ".zst"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How an object is written, and packed as a whole."""

    format: FormatName = FormatName.PARQUET
    compression: Compression = Compression.NONE

    @property
    def suffix(self) -> str:
        """What the names of such objects end in."""
        return _SUFFIXES[self.format] + _PACKED[self.compression]


PARQUET = Form()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a file got: ``longest`` is its longest record in bytes, where it has lines."""

    rows: int = 0
    longest: int = 0


def write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table], form: Form) -> Written:
    """The records into a new file."""
    if form.format is not FormatName.PARQUET:
        return _write_lines(path, schema, tables, form)
    rows = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return Written(rows=rows)


def _write_lines(path: Path, schema: pa.Schema, tables: Iterable[pa.Table], form: Form) -> Written:
    rows = longest = 0
    is_csv = form.format is FormatName.CSV
    with _packing(path, form.compression) as file:
        if is_csv:
            file.write(csv_header(schema))
        for piece in _pieces(tables, schema):
            lines: Any = csv_lines(piece) if is_csv else json_lines(piece)
            lengths: Any = pc.binary_length(lines)
            longest = max(longest, pc.max(lengths).as_py())
            if longest > LONGEST_LINE_BYTES:
                raise ConfigError(
                    f"a record takes more than {LONGEST_LINE_BYTES // 1024**2} MB as a line of "
                    f"{form.format}; leave its longest column out, or write parquet"
                )
            file.write(lines.buffers()[2][: pc.sum(lengths).as_py()])
            rows += piece.num_rows
    return Written(rows=rows, longest=longest)


def _pieces(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for table in tables:
        rows = max(1, table.num_rows * PIECE_BYTES // max(1, table.nbytes))
        for piece in table.cast(schema).to_batches(max_chunksize=rows):
            if piece.num_rows:
                yield piece


@contextmanager
def _packing(path: Path, compression: Compression) -> Iterator[Any]:
    """A new file; the same content makes the same bytes, whenever it is written."""
    with ExitStack() as stack:
        if compression is not Compression.GZIP:
            packed: Any = "zstd" if compression is Compression.ZSTD else None
            yield stack.enter_context(pa.output_stream(str(path), compression=packed))
            return
        file = stack.enter_context(path.open("wb"))
        yield stack.enter_context(
            gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0)
        )


def read(file: BinaryIO, part: Part, schema: pa.Schema) -> Iterator[pa.Table]:
    """A file's records, in the columns that the table has by now; all, or `TransientError`."""
    format = format_of(part.name)
    if format is FormatName.PARQUET:
        for batch in parquet.ParquetFile(file, pre_buffer=False).iter_batches(BATCH_ROWS):
            yield completed(pa.table(batch), schema)
        return
    if format not in _SUFFIXES:
        raise ConfigError(f"{part.name!r} is in no format that this version writes; update it")
    kinds = {one.name: own_kind(one) for one in schema}
    wanted = Wanted(
        known={name: kind.field(name) for name, kind in kinds.items()},
        chosen=frozenset(kinds),
        kinds=kinds,
        declared=frozenset(kinds),
        misfits=Misfits.FAIL,
        null_documents=True,
    )
    options = Options(
        name=part.name,
        csv=CsvOptions(delimiter=",", empty_lines=True),
        longest_bytes=part.longest,
    )
    rows = 0
    with (
        unpacked(file, compression_of(part.name), name=part.name, most=sys.maxsize) as content,
        closing(format_called(format).read(content, wanted, options)) as pieces,
    ):
        for piece in pieces:
            rows += piece.data.num_rows
            yield completed(restored(piece.data, schema), schema)
    if rows != part.rows:
        raise TransientError(f"{part.name!r} has {rows} records, and its manifest {part.rows}")


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """With columns that were added later, in types that were widened."""
    arrays: list[Any] = []
    for one in arrow_schema(schema):
        if one.name in table.column_names:
            arrays.append(table.column(one.name).cast(one.type))
        else:
            arrays.append(pa.nulls(table.num_rows, one.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def digest_of(path: Path) -> str:
    """A digest of a file's bytes."""
    found = blake2b(digest_size=8)
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            found.update(chunk)
    return found.hexdigest()
