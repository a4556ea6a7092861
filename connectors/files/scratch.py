"""A table of objects, brought for a moment into a database, where records can be merged.

The database is DuckDB in a temporary file: what append, upsert and replace mean is decided
there, by the same code as for every other database.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from pydantic import SecretStr

from connectors.contract import (
    Batch,
    Counts,
    Encoding,
    Selection,
    SyncMode,
    Target,
    WriteMode,
    Writer,
)
from connectors.described import arrow_schema
from connectors.errors import ConfigError
from connectors.rejected import REJECTED_TABLE, rejected_schema
from connectors.sql.config import DatabaseConfig
from connectors.sql.destination import SqlDestination
from connectors.sql.source import open_source

DATASET, TABLE = "main", "records"


class Scratch:
    """One table in a temporary database."""

    def __init__(self, target: Target, clock: Callable[[], datetime]) -> None:
        self._target = replace(target, dataset=DATASET, table=TABLE, restart=False)
        self._home = tempfile.TemporaryDirectory(prefix="sync-files-")
        self._config = DatabaseConfig(
            url=SecretStr(f"duckdb:///{Path(self._home.name) / 'table.duckdb'}")
        )
        self._destination = SqlDestination(self._config, clock=clock)
        self._writer: Writer | None = None
        self._done = Counts()

    def load(self, schema: pa.Schema, tables: Iterable[pa.Table], *, table: str = TABLE) -> None:
        """What the table holds already, or another one."""
        present = Target(
            owner="present",
            stream="present",
            execution="present",
            dataset=DATASET,
            table=table,
            schema=schema,
            write_mode=WriteMode.APPEND,
            distinct=False,
        )
        with closing(self._destination.open(present, Encoding.ARROW)) as writer:
            for data in tables:
                writer.write(Batch(data=data))
            writer.commit(None, finished=True)

    def write(self, batch: Batch) -> None:
        """Stage more records."""
        self._opened().write(batch)

    def commit(self, *, finished: bool) -> Counts:
        """Merge what was staged; what that did."""
        done = self._opened().commit(None, finished=finished).counts
        before, self._done = self._done, done
        return Counts(
            processed=done.processed - before.processed,
            created=done.created - before.created,
            updated=done.updated - before.updated,
            deleted=done.deleted - before.deleted,
            rejected=done.rejected - before.rejected,
            bytes=done.bytes - before.bytes,
        )

    def schema(self) -> pa.Schema:
        """The table's columns as they are now."""
        with closing(open_source(self._config)) as source:
            held = {one.name: one.schema for one in source.discover()}
        return arrow_schema(held.get(TABLE, self._target.schema))

    def rejected(self) -> pa.Table:
        """The records that could not be used, those that were loaded among them."""
        try:
            found = self._destination.read_table(DATASET, REJECTED_TABLE)
        except ConfigError:  # nothing was ever rejected, so there is no table
            return rejected_schema().empty_table()
        return found.select(rejected_schema().names).cast(rejected_schema())

    def records(self, *, after: int = 0) -> Iterator[pa.Table]:
        """The table's records; only those behind the first ``after``, which were loaded."""
        with closing(open_source(self._config)) as source:
            stream = source.stream(TABLE)
            only = f"rowid >= {after}" if after else None
            selection = Selection(stream=stream, mode=SyncMode.FULL, row_filter=only)
            for batch in source.read(selection, None, Encoding.ARROW):
                if isinstance(batch.data, pa.Table) and batch.data.num_rows:
                    yield batch.data

    def close(self) -> None:
        """Remove it."""
        if self._writer is not None:
            self._writer.close()
        self._destination.close()
        self._home.cleanup()

    def _opened(self) -> Writer:
        if self._writer is None:
            self._writer = self._destination.open(self._target, Encoding.ARROW)
        return self._writer
