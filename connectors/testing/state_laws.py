"""A source's laws about states and windows: reading on loses nothing."""

# ruff: noqa: D102 - the name of a test is its docstring

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import (
    Greatest,
    Source,
    State,
    Window,
)
from connectors.testing.features import Feature
from connectors.testing.reading import (
    Opened,
    Reading,
    SourceSystem,
    full,
    incremental,
    read,
)
from connectors.testing.rows import Row, at, row


def _cuts(count: int) -> tuple[slice, slice]:
    return slice(0, count), slice(count, None)


def _moments(reading: Reading) -> set[datetime | None]:
    return {found.changed_at for found in reading.rows}


class StateLaws(Opened):
    """What a state says is true, and reading on from it misses nothing."""

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

    @pytest.mark.parametrize("key", [("id",), ()], ids=["keyed", "without a key"])
    def test_a_record_without_a_cursor_is_never_lost(
        self, system: SourceSystem, source: Source, key: tuple[str, ...]
    ) -> None:
        self.needs(Feature.INCREMENTAL, Feature.EMPTY_CURSOR)
        system.put([row(1), row(2, seconds=1)])
        selection = incremental(source, system, batch_rows=1)
        selection = replace(selection, stream=replace(selection.stream, primary_key=key))
        state = read(source, selection).state
        system.put([Row(id=7, changed_at=None), Row(id=8, changed_at=None), row(9, seconds=9)])

        found = read(source, selection, state)

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
