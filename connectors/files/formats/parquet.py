"""Parquet: its types are exact, and taken as they are."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, BinaryIO

import pyarrow.parquet as arrow_parquet

from connectors.arrow import Field, widened
from connectors.errors import ConfigError, TransientError
from connectors.files.formats import Options, Piece, Wanted
from connectors.files.formats.texts import numbered
from connectors.files.kinds import Kind
from connectors.late import pa

BATCH_ROWS = 20_000
_BUFFER_BYTES = 1024 * 1024


class Parquet:
    """See `Format`; the whole object is needed, even for its columns."""

    def fields(self, sample: BinaryIO, options: Options) -> Mapping[str, Field | Kind | None]:
        """The columns as the object's footer has them."""
        schema = _opened(sample, options).schema_arrow
        repeated = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if repeated is not None:
            raise ConfigError(f"{options.name!r} has two columns {repeated!r}; rename one of them")
        return {one.name: one for one in schema}

    def read(
        self, file: BinaryIO, wanted: Wanted, options: Options
    ) -> Generator[Piece, None, None]:
        """The records, some thousand at a time."""
        opened = _opened(file, options)
        names = [name for name in opened.schema_arrow.names if wanted.reads(name)]
        number = 1
        try:
            batches = opened.iter_batches(BATCH_ROWS, columns=names, use_threads=False)
            for batch in batches:
                rows = batch.num_rows
                numbers = numbered(number, rows)
                number += rows
                yield Piece(
                    data=_shaped(pa.Table.from_batches([batch]), wanted, rows), numbers=numbers
                )
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(options) from error


def _opened(file: BinaryIO, options: Options) -> Any:
    try:
        return arrow_parquet.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(options) from error


def _damaged(options: Options) -> TransientError:
    return TransientError(f"{options.name!r} is half-written, or no sound Parquet file")


def _shaped(data: pa.Table, wanted: Wanted, rows: int) -> pa.Table:
    """In the stream's types where they hold every value; else in its own, as the writer sees."""
    arrays: dict[str, Any] = {}
    fields: list[Field] = []
    for name, one in wanted.known.items():
        if name not in wanted.chosen:
            continue
        if name not in data.column_names:
            column, one = pa.chunked_array([pa.nulls(rows, one.type)]), one
        else:
            column = data.column(name)
            if not column.type.equals(one.type):
                column, one = _in_type(column, one, data.schema.field(name))
        arrays[name] = column
        fields.append(one)
    for one in data.schema:
        if one.name not in wanted.known:
            arrays[one.name] = data.column(one.name)
            fields.append(one)
    return pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields))


def _in_type(column: Any, wanted: Field, found: Field) -> tuple[Any, Field]:
    try:
        if widened(wanted, found.with_nullable(True)).type.equals(wanted.type):
            return column.cast(wanted.type), wanted
    except (ConfigError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    return column, found
