"""Writes to a Supabase project through PostgREST, which makes each call a transaction.

So data and state cannot move together. What holds instead:

* Records are upserted by key, and what is stored is read before: a record that is the same,
  or older, is not written. Doing it again changes nothing.
* The state moves after all data of its commit, and after what was rejected is in
  ``_rejected``, by compare-and-set. Whoever dies between begins again at the state before,
  and writes the same records once more.
* A second writer is refused; what it upserted before it was noticed may stay, and is what
  the source had.
* The API makes no tables and no columns: what is missing is told with the SQL that makes it.

After the last good run the table is what the source is. Counts may leave out what an
attempt that died had already written. Other write modes than upsert are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.contract import (
    Encoding,
    Selection,
    SyncMode,
    Target,
    WriteMode,
    Writer,
)
from connectors.described import arrow_schema
from connectors.errors import ConfigError, ContractError
from connectors.late import pa
from connectors.providers.supabase_source import SupabaseSource
from connectors.providers.supabase_writer import SupabaseWriter
from connectors.rest.source import Connected


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class SupabaseDestination(Connected):
    """One project to write to; a dataset is a schema that its API exposes."""

    clock: Callable[[], datetime] = _now

    def check(self) -> str:
        """Ask which tables there are."""
        with closing(self._source("public")) as source:
            return source.check()

    def encodings(self, target: Target) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def open(self, target: Target, encoding: Encoding) -> Writer:
        """Look at the table, and at its state; `ConfigError` for what the API cannot do."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"this destination does not speak {encoding}")
        if target.write_mode is not WriteMode.UPSERT:
            raise ConfigError(
                f"{target.stream!r}: write_mode {target.write_mode}: through its API a Supabase "
                "project takes upsert only; the connector database, given the database of the "
                "project, takes it"
            )
        if not target.primary_key:
            raise ConfigError(
                f"{target.stream!r} has no primary key, so records cannot be upserted; "
                "name key columns"
            )
        return SupabaseWriter(client=self.client, target=target, clock=self.clock)

    def read_table(self, dataset: str, table: str) -> pa.Table:
        """A whole table as Arrow."""
        with closing(self._source(dataset)) as source:
            stream = source.stream(table)
            selection = Selection(stream=stream, mode=SyncMode.FULL)
            batches = source.read(selection, None, Encoding.ARROW)
            tables = [batch.data for batch in batches if isinstance(batch.data, pa.Table)]
        return pa.concat_tables([arrow_schema(stream.schema).empty_table(), *tables])

    def _source(self, schema: str) -> SupabaseSource:
        source = SupabaseSource(
            api=self.api, schema=schema, outside=self.outside, resolve=self.resolve
        )
        source.surround(self._surroundings)
        return source
