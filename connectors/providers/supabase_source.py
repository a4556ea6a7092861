"""Reads a Supabase project through PostgREST: any table or view that its key may see.

A table is incremental by a column that grows with every change, as a trigger keeps it
(``moddatetime``). What is deleted is found by a full read, or by a column that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from connectors.contract import Batch, Encoding, Selection, State, Stream, SyncMode
from connectors.errors import ConfigError, ContractError
from connectors.http.redact import shown_url
from connectors.providers.supabase_tables import COUNTED, Table, spec_of, tables
from connectors.rest.reading import Reading
from connectors.rest.source import Connected


@dataclass(slots=True, kw_only=True)
class SupabaseSource(Connected):
    """One schema of a project."""

    schema: str = "public"
    cursor_fields: tuple[str, ...] = ()
    page_rows: int = 1000
    _tables: Sequence[Table] = field(default=(), init=False)

    def check(self) -> str:
        """Ask which tables there are."""
        count = len(tables(self.client, self.schema))
        return f"{self.api.title} at {shown_url(self.api.base_url)}: {count} tables"

    def discover(self) -> Sequence[Stream]:
        """Every table and view, ordered by name."""
        return [self._described(table) for table in self._known(fresh=True)]

    def stream(self, name: str) -> Stream:
        """One table."""
        return self._described(self._table(name))

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records after ``state``, in the order of the cursor that was chosen."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"this source does not speak {encoding}")
        table = self._table(selection.stream.name)
        rising = selection.mode is SyncMode.INCREMENTAL
        spec = spec_of(
            table,
            # In the order of its key alone no row comes twice, whatever changes meanwhile.
            cursor=selection.stream.cursor_field if rising else None,
            selected=selection.stream.schema.names,
            schema=self.schema,
            size=self.page_rows,
        )
        reading = Reading(
            client=self.client,
            specs={spec.name: spec},
            spec=spec,
            selection=selection,
            known=lambda name: table.columns,
        )
        yield from reading.batches(state)

    def _known(self, *, fresh: bool = False) -> Sequence[Table]:
        if fresh or not self._tables:
            self._tables = tables(self.client, self.schema)
        return self._tables

    def _table(self, name: str) -> Table:
        names = {table.name: table for table in self._known()}
        if name not in names:
            near = get_close_matches(name, names, n=3)
            meant = " or ".join(repr(one) for one in near)
            hint = f"did you mean {meant}?" if near else f"there are: {', '.join(names)}"
            raise ConfigError(f"there is no table {name!r} in schema {self.schema!r}; {hint}")
        return names[name]

    def _described(self, table: Table) -> Stream:
        usable = [one for one in self.cursor_fields if table.kind(one) in COUNTED]
        spec = spec_of(
            table,
            cursor=usable[0] if usable else None,
            selected=(),
            schema=self.schema,
            size=self.page_rows,
        )
        return spec.described(table.columns)
