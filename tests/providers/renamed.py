"""A provider's stream under the names of the suites: ``id``, ``changed_at`` and ``note``.

Law: only names change, and the part of a second that a provider's clock does not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Batch, Encoding, Selection, Source, State, Stream
from connectors.described import arrow_schema
from connectors.testing.rows import BASE

FRACTION = timedelta(microseconds=BASE.microsecond)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """``names`` are the provider's names by ours; ``fraction`` is added to its times."""

    source: Source
    name: str
    names: Mapping[str, str]
    fraction: timedelta = timedelta(0)

    def check(self) -> str:
        return self.source.check()

    def discover(self) -> Sequence[Stream]:
        return [self._ours(one) for one in self.source.discover()]

    def stream(self, name: str) -> Stream:
        return self._ours(self.source.stream(name))

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        return self.source.encodings(selection)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        theirs = self.source.stream(self.name)
        schema = arrow_schema(theirs.schema)
        wanted = [self.names[name] for name in selection.stream.schema.names]
        stream = replace(
            theirs,
            schema=pa.schema([schema.field(name) for name in wanted]),
            primary_key=selection.stream.primary_key,
        )
        for batch in self.source.read(replace(selection, stream=stream), state, encoding):
            assert isinstance(batch.data, pa.Table)
            data = batch.data.rename_columns(selection.stream.schema.names)
            yield replace(batch, data=self._exact(data))

    def close(self) -> None:
        self.source.close()

    def _exact(self, data: pa.Table) -> pa.Table:
        if not self.fraction or "changed_at" not in data.column_names:
            return data
        place = data.schema.get_field_index("changed_at")
        added = pc.add(data.column(place), pa.scalar(self.fraction, pa.duration("us")))
        return data.set_column(place, data.schema.field(place), added)

    def _ours(self, stream: Stream) -> Stream:
        if stream.name != self.name:
            return stream
        schema = arrow_schema(stream.schema)
        fields = [schema.field(theirs).with_name(ours) for ours, theirs in self.names.items()]
        return replace(stream, schema=pa.schema(fields), cursor_field="changed_at")
