"""The objects of a written table: Parquet, which keeps every type.

Law: what is read back is what was written, in the columns that the table has by now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as parquet

from connectors.described import arrow_schema

SUFFIX = ".parquet"
BATCH_ROWS = 50_000


def write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """The records into a new file; how many there were."""
    rows = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows


def read(file: BinaryIO, schema: pa.Schema) -> Iterator[pa.Table]:
    """A file's records, in the columns that the table has by now."""
    for batch in parquet.ParquetFile(file, pre_buffer=False).iter_batches(BATCH_ROWS):
        yield completed(pa.table(batch), schema)


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
