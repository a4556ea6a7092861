"""The laws of a source, as tests: a connector's test file subclasses `SourceContract`.

::

    pytest.register_assert_rewrite("connectors.testing.source_suite")

    class TestShopSource(SourceContract):
        @pytest.fixture
        def system(self, tmp_path):
            return ShopSystem(tmp_path)

Law: a test here knows only `connectors.contract`; what a system cannot do is named
in ``lacks``, with the reason.
"""

# ruff: noqa: D102 - the name of a test is its docstring

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

import pyarrow as pa
import pytest

from connectors.contract import (
    Batch,
    Encoding,
    Greatest,
    Selection,
    Source,
    State,
    SyncMode,
    Window,
)
from connectors.errors import ConfigError
from connectors.testing.features import Feature, Lacking
from connectors.testing.rows import BASE, COLUMNS, Row, at, row, rows_of


class SourceSystem(Protocol):
    """What a connector's test supplies: a real system, and another way into it."""

    stream: str
    """A stream with the columns ``id`` (its key), ``changed_at`` and ``note``; empty at first."""

    def open(self) -> Source:
        """The source under test, newly opened on the system."""
        ...

    def put(self, rows: Sequence[Row]) -> None:
        """Add records as another program would; one whose id is known takes its place."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one read brought."""

    batches: tuple[Batch, ...]

    @property
    def rows(self) -> list[Row]:
        """The records, by id."""
        return rows_of(record for table in self.tables for record in table.to_pylist())

    @property
    def tables(self) -> list[pa.Table]:
        """The batches' data; Arrow it must be."""
        data = [batch.data for batch in self.batches]
        assert all(isinstance(table, pa.Table) for table in data)
        return [table for table in data if isinstance(table, pa.Table)]

    @property
    def state(self) -> State:
        """The state to continue from."""
        assert self.batches, "a read without batches carries no state"
        state = self.batches[-1].state
        assert isinstance(state, State), "the last batch must carry the state"
        return state


def read(source: Source, selection: Selection, state: State | None = None) -> Reading:
    """Read to the end, in Arrow."""
    return Reading(tuple(source.read(selection, state, Encoding.ARROW)))


def select(source: Source, system: SourceSystem, mode: SyncMode, **changes: Any) -> Selection:
    """The system's stream with key and cursor, as a tenant would choose them."""
    stream = replace(source.stream(system.stream), primary_key=("id",), cursor_field="changed_at")
    return Selection(stream=stream, mode=mode, **changes)


def full(source: Source, system: SourceSystem, **changes: Any) -> Selection:
    """All of it."""
    return select(source, system, SyncMode.FULL, **changes)


def incremental(source: Source, system: SourceSystem, **changes: Any) -> Selection:
    """What is new."""
    return select(source, system, SyncMode.INCREMENTAL, **changes)


def _cuts(count: int) -> tuple[slice, slice]:
    return slice(0, count), slice(count, None)


def _moments(reading: Reading) -> set[datetime | None]:
    return {found.changed_at for found in reading.rows}


class SourceContract(Lacking):
    """Subclass it, supply the fixture ``system``, and say in ``lacks`` what it cannot do."""

    @pytest.fixture
    def source(self, system: SourceSystem) -> Iterator[Source]:
        """The source under test, closed in the end."""
        with closing(system.open()) as source:
            yield source

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
        assert described.schema.equals(found.schema, check_metadata=True)
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
            assert table.schema.equals(selection.stream.schema)

    def test_only_the_selected_columns_are_read(self, system: SourceSystem, source: Source) -> None:
        self.needs(Feature.COLUMNS)
        system.put([row(1)])
        whole = full(source, system)
        chosen = pa.schema([f for f in whole.stream.schema if f.name in ("changed_at", "id")])
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

    # Reading on from a state

    def test_the_last_batch_carries_a_state_that_survives_json(
        self, system: SourceSystem, source: Source
    ) -> None:
        """R54."""
        self.needs(Feature.INCREMENTAL)
        system.put([row(number, seconds=number) for number in range(5)])
        state = read(source, incremental(source, system, batch_rows=2)).state

        stored = json.loads(json.dumps(dict(state.value)))
        system.put([row(9, seconds=9)])

        found = read(
            source, incremental(source, system), State(version=state.version, value=stored)
        )

        assert stored == state.value
        assert 9 in {record.id for record in found.rows}
        assert found.rows[0].id >= 4

    def test_a_full_read_leaves_a_state_that_an_incremental_one_continues_from(
        self, system: SourceSystem, source: Source
    ) -> None:
        self.needs(Feature.INCREMENTAL)
        system.put([row(1), row(2, seconds=5)])
        state = read(source, full(source, system)).state

        system.put([row(3, seconds=6)])

        found = read(source, incremental(source, system), state)

        assert {record.id for record in found.rows} <= {2, 3}
        assert 3 in {record.id for record in found.rows}

    def test_an_incremental_read_leaves_out_what_lies_before_the_state(
        self, system: SourceSystem, source: Source
    ) -> None:
        """R55."""
        self.needs(Feature.INCREMENTAL)
        system.put([row(number, seconds=number) for number in range(6)])
        state = read(source, incremental(source, system)).state

        again = read(source, incremental(source, system), state)

        assert {record.id for record in again.rows} <= {5}

    def test_a_record_that_arrives_later_at_the_very_edge_of_the_state_is_seen(
        self, system: SourceSystem, source: Source
    ) -> None:
        """R55, trap T6: equal timestamps are not lost."""
        self.needs(Feature.INCREMENTAL)
        system.put([row(5, seconds=1), row(6, seconds=2)])
        state = read(source, incremental(source, system)).state

        system.put([row(1, seconds=2), row(9, seconds=2)])

        found = read(source, incremental(source, system), state)

        assert {1, 9} <= {record.id for record in found.rows}

    def test_a_changed_record_comes_again(self, system: SourceSystem, source: Source) -> None:
        """R55."""
        self.needs(Feature.INCREMENTAL)
        system.put([row(1), row(2, seconds=1)])
        state = read(source, incremental(source, system)).state

        system.put([row(1, seconds=8, note="changed")])

        found = read(source, incremental(source, system), state)

        assert row(1, seconds=8, note="changed") in found.rows

    def test_a_record_that_was_committed_late_is_seen_within_the_lag(
        self, system: SourceSystem, source: Source
    ) -> None:
        self.needs(Feature.INCREMENTAL, Feature.LAG)
        system.put([row(1), row(2, seconds=600)])
        state = read(source, incremental(source, system)).state

        system.put([row(3, seconds=400)])
        lagging = incremental(source, system, lag=timedelta(seconds=300))
        found = read(source, lagging, state)

        assert [record.id for record in found.rows] == [2, 3]
        assert read(source, lagging, found.state).rows == found.rows

    def test_a_record_without_a_cursor_is_never_lost(
        self, system: SourceSystem, source: Source
    ) -> None:
        self.needs(Feature.INCREMENTAL, Feature.EMPTY_CURSOR)
        system.put([row(1), row(2, seconds=1)])
        state = read(source, incremental(source, system)).state

        system.put([Row(id=7, changed_at=None), Row(id=8, changed_at=None), row(9, seconds=9)])

        found = read(source, incremental(source, system, batch_rows=1), state)

        assert {7, 8, 9} <= {record.id for record in found.rows}

    def test_a_record_from_the_future_hides_no_later_one(
        self, system: SourceSystem, source: Source
    ) -> None:
        self.needs(Feature.INCREMENTAL, Feature.FUTURE)
        system.put([row(1), Row(id=2, changed_at=datetime(2199, 1, 1, tzinfo=UTC))])
        state = read(source, incremental(source, system)).state

        system.put([Row(id=3, changed_at=datetime.now(UTC) + timedelta(seconds=2))])

        found = read(source, incremental(source, system), state)

        assert 3 in {record.id for record in found.rows}

    def test_the_same_state_read_twice_gives_the_same_records(
        self, system: SourceSystem, source: Source
    ) -> None:
        """R70."""
        self.needs(Feature.INCREMENTAL)
        system.put([row(number, seconds=number // 3) for number in range(8)])
        state = read(source, incremental(source, system)).state
        system.put([row(20, seconds=20), row(21, seconds=20)])

        first, second = (read(source, incremental(source, system), state) for _ in "12")

        assert first.rows == second.rows
        assert first.state == second.state

    def test_a_read_that_finds_nothing_new_keeps_the_state(
        self, system: SourceSystem, source: Source
    ) -> None:
        self.needs(Feature.INCREMENTAL)
        system.put([row(1), row(2, seconds=1)])
        state = read(source, incremental(source, system)).state

        again = read(source, incremental(source, system), state)

        assert again.state == state

    @pytest.mark.parametrize("batch_rows", [1, 2, 3])
    def test_every_state_on_the_way_is_true(
        self, system: SourceSystem, source: Source, batch_rows: int
    ) -> None:
        """R63: whoever dies after a checkpoint and goes on from it has missed nothing."""
        self.needs(Feature.INCREMENTAL)
        there = [row(number, seconds=number // 3) for number in range(10)]
        system.put(there)

        whole = read(source, incremental(source, system, batch_rows=batch_rows))
        assert whole.rows == there

        for count, batch in enumerate(whole.batches, start=1):
            if batch.state is None:
                continue
            assert not isinstance(batch.state, Greatest)
            before = Reading(whole.batches[:count])
            rest = read(source, incremental(source, system, batch_rows=batch_rows), batch.state)
            assert {*before.rows, *rest.rows} == set(there)

    @pytest.mark.parametrize("batch_rows", [1, 2, 5])
    def test_without_a_key_no_state_divides_the_records_of_one_cursor_value(
        self, system: SourceSystem, source: Source, batch_rows: int
    ) -> None:
        """Twins on both sides of a checkpoint could not be told from one record read twice."""
        self.needs(Feature.INCREMENTAL)
        system.put([row(number, seconds=number // 4, note="twin") for number in range(12)])
        selection = incremental(source, system, batch_rows=batch_rows)
        keyless = replace(selection, stream=replace(selection.stream, primary_key=()))

        whole = read(source, keyless)

        for count, batch in enumerate(whole.batches, start=1):
            before, after = (Reading(whole.batches[cut]) for cut in _cuts(count))
            if batch.state is not None:
                assert not _moments(before) & _moments(after)
        assert len(whole.rows) == 12

    @pytest.mark.parametrize(
        "unknown",
        [
            State(version=1_000_000, value={"watermark": "2024-03-01T12:00:00+00:00"}),
            State(version=1, value={"watermark": "no moment at all"}),
            State(version=1, value={}),
        ],
        ids=["another version", "unreadable", "empty"],
    )
    def test_a_state_that_nobody_understands_means_reading_from_the_beginning(
        self, system: SourceSystem, source: Source, unknown: State
    ) -> None:
        """R66, R152: corrupted state."""
        self.needs(Feature.INCREMENTAL)
        system.put([row(1), row(2, seconds=1)])

        found = read(source, incremental(source, system), unknown)

        assert [record.id for record in found.rows] == [1, 2]

    # A window

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [(2, 5, [2, 3, 4]), (2, None, [2, 3, 4, 5, 6]), (None, 2, [0, 1]), (3, 3, [])],
    )
    def test_a_window_is_half_open_and_moves_no_state(
        self,
        system: SourceSystem,
        source: Source,
        start: int | None,
        end: int | None,
        expected: list[int],
    ) -> None:
        self.needs(Feature.INCREMENTAL, Feature.WINDOW)
        system.put([row(number, seconds=number) for number in range(7)])
        state = read(source, incremental(source, system)).state
        window = Window(
            start=None if start is None else self.spelled(at(start)),
            end=None if end is None else self.spelled(at(end)),
        )

        found = read(source, incremental(source, system, window=window, batch_rows=2), state)

        assert [record.id for record in found.rows] == expected
        assert all(batch.state is None for batch in found.batches)

    def spelled(self, moment: datetime) -> str:
        """A cursor value as the source spells it in a window."""
        return moment.isoformat()

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


__all__ = [
    "BASE",
    "Feature",
    "Reading",
    "Row",
    "SourceContract",
    "SourceSystem",
    "at",
    "full",
    "incremental",
    "read",
    "row",
]
