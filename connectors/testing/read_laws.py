"""A source's laws about what it offers, and about reading all of it."""

# ruff: noqa: D102 - the name of a test is its docstring

from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pytest

from connectors.contract import (
    Encoding,
    Source,
)
from connectors.described import arrow_schema
from connectors.errors import ConfigError
from connectors.testing.features import Feature
from connectors.testing.reading import (
    Opened,
    SourceSystem,
    full,
    incremental,
    read,
)
from connectors.testing.rows import COLUMNS, Row, at, row


class ReadLaws(Opened):
    """Every record comes once, in its own types, in bounded memory."""

    def test_a_check_says_in_one_line_what_answered(self, source: Source) -> None:
        said = source.check()

        assert said.strip()
        assert "\n" not in said

    def test_discovery_lists_every_stream_once_ordered_by_name(
        self, system: SourceSystem, source: Source
    ) -> None:
        names = [stream.name for stream in source.discover()]

        assert system.stream in names
        assert all(one < two for one, two in pairwise(names))

    def test_a_stream_is_described_as_discovery_described_it(
        self, system: SourceSystem, source: Source
    ) -> None:
        described = source.stream(system.stream)

        [found] = [stream for stream in source.discover() if stream.name == system.stream]
        assert described == found
        schemas = arrow_schema(described.schema), arrow_schema(found.schema)
        assert schemas[0].equals(schemas[1], check_metadata=True)
        assert set(COLUMNS) <= set(described.schema.names)

    def test_an_unknown_stream_is_refused_with_the_nearest_name(
        self, system: SourceSystem, source: Source
    ) -> None:
        wrong = system.stream + "x"

        with pytest.raises(ConfigError) as refused:
            source.stream(wrong)

        said = str(refused.value)
        assert wrong in said
        assert system.stream in said.replace(wrong, "")

    def test_arrow_is_always_offered(self, system: SourceSystem, source: Source) -> None:
        for selection in (full(source, system), incremental(source, system)):
            offered = source.encodings(selection)
            assert Encoding.ARROW in offered
            assert len(set(offered)) == len(offered)

    # Reading all of it

    @pytest.mark.parametrize("batch_rows", [1, 3, 7, 50_000])
    def test_a_full_read_brings_each_record_once_in_bounded_batches(
        self, system: SourceSystem, source: Source, batch_rows: int
    ) -> None:
        """R58."""
        there = [row(number, seconds=number // 2) for number in range(7)]
        system.put(there)

        found = read(source, full(source, system, batch_rows=batch_rows))

        assert found.rows == there
        assert max(table.num_rows for table in found.tables) <= batch_rows

    def test_a_full_read_looks_at_no_state(self, system: SourceSystem, source: Source) -> None:
        system.put([row(1), row(2, seconds=9)])
        state = read(source, full(source, system)).state

        again = read(source, full(source, system), state)

        assert [found.id for found in again.rows] == [1, 2]

    def test_an_empty_stream_is_read_to_its_end_without_records(
        self, system: SourceSystem, source: Source
    ) -> None:
        for selection in (full(source, system), incremental(source, system)):
            assert read(source, selection).rows == []

    def test_batches_have_exactly_the_columns_and_types_of_the_selection(
        self, system: SourceSystem, source: Source
    ) -> None:
        system.put([row(1), Row(id=2, changed_at=at(1), note=None)])
        selection = full(source, system)

        found = read(source, selection)

        for table in found.tables:
            assert table.schema.equals(arrow_schema(selection.stream.schema))

    def test_only_the_selected_columns_are_read(self, system: SourceSystem, source: Source) -> None:
        self.needs(Feature.COLUMNS)
        system.put([row(1)])
        whole = full(source, system)
        whole_schema = arrow_schema(whole.stream.schema)
        chosen = pa.schema([f for f in whole_schema if f.name in ("changed_at", "id")])
        selection = replace(whole, stream=replace(whole.stream, schema=chosen))

        found = read(source, selection)

        assert all(table.schema.equals(chosen) for table in found.tables)
        assert sum(table.num_rows for table in found.tables) == 1

    def test_a_row_filter_leaves_other_records_out(
        self, system: SourceSystem, source: Source
    ) -> None:
        """R59."""
        self.needs(Feature.ROW_FILTER)
        system.put([row(1), row(2, seconds=1), row(3, seconds=2)])
        for make in (full, incremental):
            found = read(source, make(source, system, row_filter=self.only_id(2)))
            assert [record.id for record in found.rows] == [2]

    def only_id(self, identity: int) -> str:
        """A ``row_filter`` that keeps only the record of this id."""
        return f"id = {identity}"

    # Ending

    def test_closing_twice_is_harmless(self, system: SourceSystem) -> None:
        source = system.open()
        source.check()

        source.close()
        source.close()

    def test_a_read_given_up_in_the_middle_leaves_the_source_usable(
        self, system: SourceSystem, source: Source
    ) -> None:
        system.put([row(number, seconds=number) for number in range(6)])
        for make in (full, incremental):
            batches = source.read(make(source, system, batch_rows=1), None, Encoding.ARROW)
            next(batches)

            batches.close()  # type: ignore[attr-defined]

            assert len(read(source, make(source, system)).rows) == 6
        source.close()

    def test_a_source_closed_in_the_middle_of_a_read_lets_go(self, system: SourceSystem) -> None:
        system.put([row(number, seconds=number) for number in range(6)])
        source = system.open()
        batches = source.read(full(source, system, batch_rows=1), None, Encoding.ARROW)
        next(batches)

        source.close()
        batches.close()  # type: ignore[attr-defined]
        system.put([row(7, seconds=7)])
        other = system.open()

        assert len(read(other, full(other, system)).rows) == 7
        other.close()
