"""A destination's laws about append, upsert, replace and deletes."""

# ruff: noqa: D102 - the name of a test is its docstring

from dataclasses import replace

import pyarrow as pa
import pytest

from connectors.contract import (
    Batch,
    Counts,
    Deletes,
    Destination,
    Target,
)
from connectors.errors import (
    ConfigError,
    ContractError,
    EmptySourceError,
)
from connectors.testing.rows import SCHEMA, Row, at, row, table
from connectors.testing.writing import (
    APPEND,
    DATASET,
    MODES,
    REPLACE,
    TABLE,
    UPSERT,
    DestinationSystem,
    Opened,
    put,
    put_tables,
    state,
    stored,
    writing,
)


class MergeLaws(Opened):
    """What becomes of the records that are there already."""

    # Append

    def test_append_keeps_every_version_once(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        """R70: the edge that is read again doubles nothing."""
        put(destination, APPEND, row(1), row(2, seconds=5))
        second = replace(APPEND, execution="second")

        done = put(
            destination,
            second,
            row(2, seconds=5),
            row(1, seconds=7),
            row(3, seconds=5),
            row(3, seconds=5),
        )

        assert stored(system) == [row(1), row(1, seconds=7), row(2, seconds=5), row(3, seconds=5)]
        assert done.counts.created == 2

    def test_append_doubles_nothing_in_a_first_load(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        done = put(destination, APPEND, row(1), row(2), row(1))

        assert stored(system) == [row(1), row(2)]
        assert done.counts.created == 2

    def test_append_without_a_cursor_value_is_once_too(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        timeless = Row(id=1, changed_at=None)
        put(destination, APPEND, timeless)

        put(destination, replace(APPEND, execution="second"), timeless)

        assert stored(system) == [timeless]

    def test_append_without_a_key_keeps_as_many_twins_as_the_source_has(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        keyless = replace(APPEND, primary_key=())
        put(destination, keyless, row(1), row(2, seconds=5), row(2, seconds=5))

        edge = (row(2, seconds=5), row(2, seconds=5), row(2, seconds=5), row(3, seconds=6))
        done = put(destination, replace(keyless, execution="second"), *edge)

        assert stored(system) == [row(1), *edge]
        assert done.counts.created == 2

    def test_append_of_whole_snapshots_keeps_each_of_them(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        snapshot = replace(APPEND, distinct=False, complete=True)
        put(destination, snapshot, row(1), row(1))

        put(destination, replace(snapshot, execution="second"), row(1))

        assert stored(system) == [row(1), row(1), row(1)]

    # Upsert

    def test_upsert_keeps_one_record_a_key_and_counts_exactly(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        """R60, R62: what is unchanged is neither written nor counted."""
        put(destination, UPSERT, row(1), row(2), row(3))
        changed = row(2, seconds=5, note="changed")

        done = put(destination, replace(UPSERT, execution="second"), row(1), changed, row(4))

        assert stored(system) == [row(1), changed, row(3), row(4)]
        assert (done.counts.processed, done.counts.created, done.counts.updated) == (3, 1, 1)

    def test_upsert_of_a_change_under_an_equal_cursor_arrives(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1, note="old"))

        done = put(destination, replace(UPSERT, execution="second"), row(1, note="new"))

        assert stored(system) == [row(1, note="new")]
        assert done.counts.updated == 1

    def test_upsert_sees_a_change_to_and_from_nothing(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        there, gone = (Row(id=1, changed_at=at(0), note=note) for note in ("there", None))
        for execution, version in (("one", there), ("two", gone), ("three", there)):
            put(destination, replace(UPSERT, execution=execution), version)

            assert stored(system) == [version]

    def test_an_older_version_never_overwrites_a_newer_one(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        """R68."""
        put(destination, UPSERT, row(1, seconds=9, note="new"))

        done = put(destination, replace(UPSERT, execution="second"), row(1, note="old"))

        assert stored(system) == [row(1, seconds=9, note="new")]
        assert (done.counts.created, done.counts.updated) == (0, 0)

    @pytest.mark.parametrize("filled", [False, True], ids=["first load", "merge"])
    def test_of_one_key_that_comes_twice_the_newest_is_kept(
        self, system: DestinationSystem, destination: Destination, filled: bool
    ) -> None:
        if filled:
            put(destination, UPSERT, row(1))
        newest, last = row(1, seconds=9, note="newest"), row(2, seconds=1, note="last")
        batches = (
            table(row(1, seconds=3), newest, row(2, seconds=1, note="first")),
            table(row(1, seconds=5), last),
        )

        done = put_tables(destination, replace(UPSERT, execution="second"), *batches)

        assert stored(system) == [newest, last]
        assert (done.counts.created, done.counts.updated) == ((1, 1) if filled else (2, 0))

    def test_a_record_without_a_key_is_not_stored_under_none(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        keyless = table(row(1)).set_column(0, SCHEMA.field("id"), pa.nulls(1, pa.int64()))

        try:
            counts = put_tables(destination, UPSERT, keyless, table(row(2))).counts
        except ConfigError:
            counts = Counts(rejected=1)

        assert counts.rejected == 1
        assert stored(system) in (None, [], [row(2)])

    def test_upsert_without_a_key_is_refused(self, destination: Destination) -> None:
        with pytest.raises(ConfigError, match="key"):
            put(destination, replace(UPSERT, primary_key=()), row(1))

    # Replace

    def test_replace_swaps_the_whole_table(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        put(destination, REPLACE, row(1), row(2))

        with writing(destination, replace(REPLACE, execution="second")) as writer:
            writer.write(Batch(data=table(row(2, note="other"))))
            writer.write(Batch(data=table(row(3))))
            during = stored(system)
            done = writer.commit(state("end"), finished=True)

        assert during == [row(1), row(2)]
        assert stored(system) == [row(2, note="other"), row(3)]
        assert (done.counts.processed, done.state) == (2, state("end"))

    @pytest.mark.parametrize(
        "whole", [REPLACE, replace(APPEND, distinct=False)], ids=["replace", "append snapshots"]
    )
    def test_what_is_written_as_a_whole_takes_only_the_finishing_commit(
        self, system: DestinationSystem, destination: Destination, whole: Target
    ) -> None:
        with writing(destination, whole) as writer:
            writer.write(Batch(data=table(row(1))))

            with pytest.raises(ContractError):
                writer.commit(state("half"))

        assert not stored(system)

    def test_replace_of_a_stream_without_a_key_keeps_twins(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        for execution in ("one", "two"):
            keyless = replace(REPLACE, primary_key=(), cursor_field=None, execution=execution)
            put(destination, keyless, row(1), row(1))

            assert stored(system) == [row(1), row(1)]

    def test_an_empty_source_does_not_empty_a_filled_table_unless_that_is_right(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        put(destination, REPLACE, row(1))
        empty = replace(REPLACE, execution="empty")

        with pytest.raises(EmptySourceError):
            put(destination, empty)
        kept = stored(system)
        put(destination, replace(empty, allow_empty=True))

        assert kept == [row(1)]
        assert stored(system) == []
        put(destination, replace(empty, execution="still empty"))

    @MODES
    def test_an_empty_stream_still_makes_its_table(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        done = put(destination, usual)

        assert stored(system) == []
        assert (done.finished, done.counts.created) == (True, 0)
        assert set(SCHEMA.names) <= set(destination.read_table(DATASET, TABLE).schema.names)

    # Deletes

    @pytest.mark.parametrize("deletes", [Deletes.SOFT, Deletes.HARD, Deletes.KEEP])
    def test_what_a_complete_read_no_longer_finds_is_deleted_as_asked(
        self, system: DestinationSystem, destination: Destination, deletes: Deletes
    ) -> None:
        complete = replace(UPSERT, complete=True, deletes=deletes, distinct=False)
        put(destination, complete, row(1), row(2), row(3))
        second = replace(complete, execution="second")

        done = put_tables(destination, second, table(row(1)), table(row(3)))

        assert done.counts.deleted == (0 if deletes is Deletes.KEEP else 1)
        assert self.alive(system) == ([1, 2, 3] if deletes is Deletes.KEEP else [1, 3])
        assert stored(system) == (
            [row(1), row(3)] if deletes is Deletes.HARD else [row(1), row(2), row(3)]
        )

    def test_a_record_that_comes_back_is_alive_again(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        complete = replace(UPSERT, complete=True, deletes=Deletes.SOFT, distinct=False)
        put(destination, complete, row(1), row(2))
        put(destination, replace(complete, execution="second"), row(1))
        gone = self.alive(system)

        back = put(destination, replace(complete, execution="third"), row(1), row(2))
        still = put(destination, replace(complete, execution="fourth"), row(1), row(2))

        assert gone == [1]
        assert self.alive(system) == [1, 2]
        assert (back.counts.updated, back.counts.deleted) == (1, 0)
        assert (still.counts.updated, still.counts.deleted) == (0, 0)

    def test_a_deleted_record_is_deleted_once(self, destination: Destination) -> None:
        complete = replace(UPSERT, complete=True, deletes=Deletes.SOFT, distinct=False)
        put(destination, complete, row(1), row(2))
        put(destination, replace(complete, execution="second"), row(1))

        again = put(destination, replace(complete, execution="third"), row(1))

        assert again.counts.deleted == 0

    def test_a_partial_read_deletes_nothing(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        partial = replace(UPSERT, complete=False, deletes=Deletes.HARD)
        put(destination, partial, row(1), row(2))

        put(destination, replace(partial, execution="second"), row(1))

        assert stored(system) == [row(1), row(2)]

    @pytest.mark.parametrize("deletes", [Deletes.SOFT, Deletes.HARD])
    def test_a_complete_read_that_is_empty_deletes_nothing_unless_that_is_right(
        self, system: DestinationSystem, destination: Destination, deletes: Deletes
    ) -> None:
        complete = replace(UPSERT, complete=True, deletes=deletes, distinct=False)
        put(destination, complete, row(1))
        empty = replace(complete, execution="empty")

        with pytest.raises(EmptySourceError):
            put(destination, empty)
        kept = self.alive(system)
        done = put(destination, replace(empty, allow_empty=True))

        assert kept == [1]
        assert self.alive(system) == []
        assert done.counts.deleted == 1

    def alive(self, system: DestinationSystem) -> list[int]:
        """The ids of stored records without a mark."""
        records = system.records(DATASET, TABLE) or []
        return sorted(int(r["id"]) for r in records if r.get("_deleted_at") is None)
