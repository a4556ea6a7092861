"""The laws of a destination, as tests: a connector's test file subclasses `DestinationContract`.

::

    pytest.register_assert_rewrite("connectors.testing.destination_suite")

    class TestShelfDestination(DestinationContract):
        @pytest.fixture
        def system(self, tmp_path):
            return ShelfSystem(tmp_path)

Law: what is stored is looked at through another door than the destination under
test; what a system cannot do is named in ``lacks``, with the reason.
"""

# ruff: noqa: D102 - the name of a test is its docstring

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pyarrow as pa
import pytest

from connectors.arrow import Digits, Logical, field
from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Deletes,
    Destination,
    Encoding,
    Rejection,
    State,
    Target,
    WriteMode,
    Writer,
)
from connectors.errors import (
    ConfigError,
    ConnectorError,
    ContractError,
    EmptySourceError,
    TransientError,
)
from connectors.testing.features import Feature, Lacking
from connectors.testing.rows import SCHEMA, Row, at, row, rows_of, table
from connectors.testing.values import CASES, Case, spelled_decimal

DATASET, TABLE = "shop", "orders"

LIKELY_NAMES = [
    "side",
    "arrived",
    "present",
    "rank",
    "ranked",
    "rn",
    "row_number",
    "seq",
    "ordinal",
    "arrival",
    "staged",
    "new",
    "old",
    "excluded",
    "target",
    "source",
    "select",
    "order",
    "user",
    "count",
    "key",
    "value",
    "state",
    "execution",
    "token",
    "owner",
    "stream",
]
"""Names that somebody who writes SQL might choose for something of their own."""


class DestinationSystem(Protocol):
    """What a connector's test supplies: a real system, and another way into it."""

    def open(self) -> Destination:
        """The destination under test, newly opened on the system."""
        ...

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        """What a table holds, seen as another program sees it; None if there is no such table.

        Times may be ISO text; JSON is text.
        """
        ...

    def tables(self) -> list[str]:
        """The names of all tables there are."""
        ...

    def drop(self, dataset: str, table: str) -> None:
        """Drop a table as another program would."""
        ...


def target(write_mode: WriteMode, **changes: Any) -> Target:
    """Where the suite writes, unless a test says otherwise."""
    usual = Target(
        owner="acme/orders",
        stream="orders",
        execution="first",
        dataset=DATASET,
        table=TABLE,
        schema=SCHEMA,
        write_mode=write_mode,
        primary_key=("id",),
        cursor_field="changed_at",
        complete=write_mode is WriteMode.REPLACE,
        distinct=write_mode is not WriteMode.REPLACE,
    )
    return replace(usual, **changes)


APPEND, UPSERT, REPLACE = (target(mode) for mode in WriteMode)

MODES = pytest.mark.parametrize("usual", [APPEND, UPSERT, REPLACE], ids=[*WriteMode])


def state(mark: str) -> State:
    """A state that a source might have made."""
    return State(version=1, value={"watermark": mark, "page": [1, None, "ü'\""]})


@contextmanager
def writing(destination: Destination, to: Target) -> Iterator[Writer]:
    """A writer, closed in the end."""
    with closing(destination.open(to, Encoding.ARROW)) as writer:
        yield writer


def put(destination: Destination, to: Target, *rows: Row, mark: str | None = None) -> Committed:
    """Write records, and finish."""
    return put_tables(destination, to, table(*rows), mark=mark)


def put_tables(
    destination: Destination, to: Target, *tables: pa.Table, mark: str | None = None
) -> Committed:
    """Write batches, and finish."""
    with writing(destination, to) as writer:
        for data in tables:
            writer.write(Batch(data=data))
        return writer.commit(None if mark is None else state(mark), finished=True)


def stored(system: DestinationSystem) -> list[Row] | None:
    """The suite's records, as another program sees them."""
    found = system.records(DATASET, TABLE)
    return None if found is None else rows_of(found)


def seen(destination: Destination, to: Target) -> Committed:
    """What the destination says is durable."""
    with writing(destination, to) as writer:
        return writer.committed


class DestinationContract(Lacking):
    """Subclass it, supply the fixture ``system``, and say in ``lacks`` what it cannot do."""

    @pytest.fixture
    def destination(self, system: DestinationSystem) -> Iterator[Destination]:
        """The destination under test, closed in the end."""
        with closing(system.open()) as destination:
            yield destination

    def test_a_check_says_in_one_line_what_answered(self, destination: Destination) -> None:
        said = destination.check()

        assert said.strip()
        assert "\n" not in said

    @MODES
    def test_arrow_is_always_accepted(self, destination: Destination, usual: Target) -> None:
        accepted = destination.encodings(usual)

        assert Encoding.ARROW in accepted
        assert len(set(accepted)) == len(accepted)

    # Commits

    @MODES
    def test_what_is_not_committed_is_invisible_and_leaves_nothing(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """R64."""
        put(destination, usual, row(1), mark="one")
        tables = system.tables()
        later = replace(usual, execution="second")

        with writing(destination, later) as writer:
            writer.write(Batch(data=table(row(2), row(1, seconds=5, note="changed"))))
            during = stored(system)

        assert during == stored(system) == [row(1)]
        assert system.tables() == tables
        assert seen(destination, later).state == state("one")

    @MODES
    def test_a_first_write_that_is_not_committed_leaves_no_table(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        with writing(destination, usual) as writer:
            writer.write(Batch(data=table(row(1))))

        assert not stored(system)
        assert seen(destination, usual) == Committed(execution="first")

    @MODES
    def test_data_counts_and_state_move_together(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """R56: the state moves with the data, not after it."""
        done = put(destination, usual, row(1), row(2), mark="two")

        assert stored(system) == [row(1), row(2)]
        assert done.state == state("two")
        assert (done.counts.processed, done.counts.created) == (2, 2)
        assert done.counts.bytes > 0
        assert done.committed_at is not None
        with closing(system.open()) as other:
            assert seen(other, usual) == done

    def test_reopening_goes_on_where_the_same_execution_ended(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        """R63: also its counts go on."""
        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1), row(2))))
            writer.commit(state("two"))
            writer.write(Batch(data=table(row(3))))

        with writing(destination, UPSERT) as writer:
            before = writer.committed
            writer.write(Batch(data=table(row(2, seconds=9, note="changed"), row(4))))
            after = writer.commit(None, finished=True)

        assert (before.state, before.finished, before.counts.created) == (state("two"), False, 2)
        assert (after.state, after.finished) == (state("two"), True)
        assert (after.counts.processed, after.counts.created, after.counts.updated) == (4, 3, 1)
        assert stored(system) == [row(1), row(2, seconds=9, note="changed"), row(4)]

    def test_one_writer_commits_many_times(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        with writing(destination, APPEND) as writer:
            for number in range(3):
                writer.write(Batch(data=table(row(number, seconds=number))))
                done = writer.commit(state(str(number)))
                assert writer.committed == done
                assert stored(system) == [row(n, seconds=n) for n in range(number + 1)]

        assert seen(destination, APPEND).counts.created == 3
        assert seen(destination, APPEND).state == state("2")

    def test_another_execution_goes_on_from_the_state_with_counts_of_its_own(
        self, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1), mark="one")

        found = seen(destination, replace(UPSERT, execution="second"))

        assert found.state == state("one")
        assert (found.execution, found.finished, found.counts) == ("second", False, Counts())

    @MODES
    def test_an_execution_that_finished_is_recognised(
        self, destination: Destination, usual: Target
    ) -> None:
        put(destination, usual, row(1), mark="one")

        found = seen(destination, usual)

        assert found.finished
        assert (found.execution, found.counts.created) == ("first", 1)

    def test_a_restart_voids_the_state_of_another_execution_only(
        self, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1), mark="one")
        again = replace(UPSERT, execution="again", restart=True)

        at_first = seen(destination, again)
        with writing(destination, again) as writer:
            writer.write(Batch(data=table(row(1), row(2))))
            writer.commit(state("half"))
        later = seen(destination, again)

        assert at_first.state is None
        assert later.state == state("half")
        assert later.counts.created == 1

    def test_a_commit_without_records_moves_the_state(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1), mark="one")

        with writing(destination, replace(UPSERT, execution="second")) as writer:
            done = writer.commit(state("two"), finished=True)

        assert stored(system) == [row(1)]
        assert (done.state, done.counts.processed) == (state("two"), 0)

    @MODES
    def test_of_two_writers_the_second_to_commit_is_refused_and_leaves_nothing(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """R74."""
        put(destination, usual, row(1), mark="one")
        with (
            closing(system.open()) as other,
            writing(other, replace(usual, execution="slow")) as slow,
        ):
            put(destination, replace(usual, execution="fast"), row(1), row(2), mark="two")

            with pytest.raises(TransientError):
                slow.write(Batch(data=table(row(1), row(3))))
                slow.commit(state("three"), finished=True)

        assert stored(system) == [row(1), row(2)]
        assert seen(destination, replace(usual, execution="fast")).state == state("two")

    def test_streams_and_owners_have_states_of_their_own(self, destination: Destination) -> None:
        """R127."""
        put(destination, UPSERT, row(1), mark="one")

        stream = seen(destination, replace(UPSERT, stream="other"))
        owner = seen(destination, replace(UPSERT, owner="rival/orders"))

        assert stream.state is None
        assert owner.state is None

    def test_a_state_whose_table_is_gone_is_void(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        """R66."""
        self.needs(Feature.DROP)
        put(destination, UPSERT, row(1), mark="one")

        system.drop(DATASET, TABLE)

        assert seen(destination, replace(UPSERT, execution="second")).state is None
        put(destination, replace(UPSERT, execution="second"), row(2))
        assert stored(system) == [row(2)]

    def test_rejected_records_are_counted(self, destination: Destination) -> None:
        """R65."""
        rejected = (Rejection(key="7", reason="no date"), Rejection(key="8", reason="no date"))

        with writing(destination, UPSERT) as writer:
            writer.write(Batch(data=table(row(1)), rejected=rejected))
            done = writer.commit(None, finished=True)

        assert (done.counts.processed, done.counts.rejected) == (1, 2)

    @MODES
    def test_closing_twice_is_harmless(self, destination: Destination, usual: Target) -> None:
        writer = destination.open(usual, Encoding.ARROW)
        writer.write(Batch(data=table(row(1))))

        for closed in (writer, writer, destination, destination):
            closed.close()

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

    # Columns

    @MODES
    def test_a_new_column_is_added_and_a_missing_one_stays(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """A column is never dropped."""
        put(destination, usual, row(1))
        without_note = SCHEMA.remove(SCHEMA.get_field_index("note"))
        wider = without_note.append(field("grade", pa.int64()))
        records = [{"id": 2, "changed_at": at(3), "grade": 7}]
        second = replace(usual, execution="second", schema=wider)

        put_tables(destination, second, pa.Table.from_pylist(records, schema=wider))

        found = system.records(DATASET, TABLE)
        assert found is not None
        added = next(record for record in found if int(record["id"]) == 2)
        assert (added["grade"], added["note"]) == (7, None)
        if usual.write_mode is not WriteMode.REPLACE:
            kept = next(record for record in found if int(record["id"]) == 1)
            assert (kept["grade"], kept["note"]) == (None, "note 1")

    def test_a_column_that_appears_in_the_middle_of_a_read_is_added(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        wider = SCHEMA.append(field("grade", pa.int64()))
        graded = [{"id": 2, "changed_at": at(1), "note": None, "grade": 5}]

        put_tables(destination, UPSERT, table(row(1)), pa.Table.from_pylist(graded, schema=wider))

        found = system.records(DATASET, TABLE) or []
        grades = {int(record["id"]): record["grade"] for record in found}
        assert grades == {1: None, 2: 5}

    def test_an_update_leaves_columns_alone_that_only_the_destination_has(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1))
        narrow = SCHEMA.remove(SCHEMA.get_field_index("note"))
        second = replace(UPSERT, execution="second", schema=narrow)

        done = put_tables(destination, second, table(row(1, seconds=4)).select(narrow.names))

        assert done.counts.updated == 1
        assert stored(system) == [row(1, seconds=4)]

    @pytest.mark.parametrize(
        ("before", "after", "old", "new", "spelled"),
        [
            (field("v", pa.int16()), field("v", pa.int64()), 7, 2**63 - 1, ["7", str(2**63 - 1)]),
            (
                field("v", pa.int64()),
                field("v", pa.string(), logical=Logical.DECIMAL),
                2**63 - 1,
                "1.5",
                [str(2**63 - 1), "1.5"],
            ),
            (
                field(
                    "v", pa.string(), logical=Logical.DECIMAL, digits=Digits(precision=5, scale=2)
                ),
                field(
                    "v", pa.string(), logical=Logical.DECIMAL, digits=Digits(precision=12, scale=4)
                ),
                "123.45",
                "12345678.1234",
                ["123.45", "12345678.1234"],
            ),
        ],
        ids=["integers", "integer to decimal", "decimals"],
    )
    @MODES
    def test_a_column_is_widened_without_altering_a_value(
        self,
        system: DestinationSystem,
        destination: Destination,
        usual: Target,
        before: Any,
        after: Any,
        old: Any,
        new: Any,
        spelled: list[str],
    ) -> None:
        narrow, wide = (pa.schema([field("id", pa.int64()), one]) for one in (before, after))
        to = replace(usual, schema=narrow, cursor_field=None)
        put_tables(destination, to, pa.Table.from_pylist([{"id": 0, "v": old}], schema=narrow))
        second = replace(to, execution="second", schema=wide)

        put_tables(destination, second, pa.Table.from_pylist([{"id": 1, "v": new}], schema=wide))

        found = sorted(system.records(DATASET, TABLE) or [], key=lambda r: int(r["id"]))
        expected = spelled[1:] if usual.write_mode is WriteMode.REPLACE else spelled
        assert [spelled_decimal(record["v"]) for record in found] == expected

    @MODES
    def test_a_type_that_no_column_can_take_is_refused_with_its_name(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        put(destination, usual, row(1), mark="one")
        other = SCHEMA.set(SCHEMA.get_field_index("note"), field("note", pa.bool_()))
        record = [{"id": 2, "changed_at": at(1), "note": True}]

        with pytest.raises(ConfigError, match="note"):
            put_tables(
                destination,
                replace(usual, execution="second", schema=other),
                pa.Table.from_pylist(record, schema=other),
            )

        assert stored(system) == [row(1)]

    def test_names_keep_their_spelling(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        odd = 'Größe "in" cm; --'
        schema = pa.schema([field("ID", pa.int64()), field(odd, pa.int64())])
        to = replace(
            UPSERT, table="Odd orders", schema=schema, primary_key=("ID",), cursor_field=None
        )

        for execution, size in (("one", 1), ("two", 2)):
            record = [{"ID": 1, odd: size}]
            data = pa.Table.from_pylist(record, schema=schema)
            put_tables(destination, replace(to, execution=execution), data)

        [found] = system.records(DATASET, "Odd orders") or []
        assert dict(found) == {"ID": 1, odd: 2}

    @pytest.mark.parametrize("key", [("n",), ()], ids=["keyed", "keyless"])
    @MODES
    def test_a_column_may_be_called_what_a_query_might_call_its_own(
        self, system: DestinationSystem, destination: Destination, usual: Target, key: tuple[str]
    ) -> None:
        if usual.write_mode is WriteMode.UPSERT and not key:
            return
        names = ("n", "cursor", *["a", "b", "i", "k", "r", "s", "t", "x"], *LIKELY_NAMES)
        schema = pa.schema([field(name, pa.int64()) for name in names])
        to = replace(usual, schema=schema, primary_key=key, cursor_field="cursor")
        first, second = ({name: base + i for i, name in enumerate(names)} for base in (0, 50))

        put_tables(destination, to, pa.Table.from_pylist([first], schema=schema))
        both = pa.Table.from_pylist([first, second, second], schema=schema)
        put_tables(destination, replace(to, execution="second"), both)

        found = sorted(
            (dict(r) for r in system.records(DATASET, TABLE) or []), key=lambda r: r["n"]
        )
        twins = [second] if not key else []
        assert found == [first, second, *twins]

    # Values

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    @pytest.mark.parametrize("way", ["first load", "merge"])
    def test_values_arrive_exactly(
        self, system: DestinationSystem, destination: Destination, way: str, case: Case
    ) -> None:
        """Law 7 of the design: nothing is silently altered, and what is the same is seen to be."""
        self.needs(*case.needs)
        to = replace(UPSERT, schema=case.schema, cursor_field=None)
        if way == "merge":
            placeholder = case.table.slice(0, 1).set_column(
                1, case.column, pa.nulls(1, case.column.type)
            )
            put_tables(destination, to, placeholder)

        put_tables(destination, replace(to, execution="second"), case.table)
        again = put_tables(destination, replace(to, execution="third"), case.table)

        found = system.records(DATASET, TABLE)
        assert found is not None
        assert case.found(found) == case.expected
        assert case.found(destination.read_table(DATASET, TABLE).to_pylist()) == case.expected
        assert (again.counts.created, again.counts.updated) == (0, 0)

    def test_a_zero_byte_in_a_text_is_kept_or_refused_but_not_altered(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        bad = row(1, note="before\x00after")

        try:
            rejected = put(destination, UPSERT, bad, row(2)).counts.rejected
        except ConnectorError:
            assert not stored(system)
            return

        assert stored(system) == ([row(2)] if rejected else [bad, row(2)])

    # Reading back

    def test_a_table_is_read_back_whole(self, destination: Destination) -> None:
        put(destination, UPSERT, row(2), row(1))

        found = destination.read_table(DATASET, TABLE)

        assert rows_of(found.to_pylist()) == [row(1), row(2)]

    def test_a_table_that_is_not_there_is_refused_by_its_name(
        self, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1))

        with pytest.raises(ConfigError, match="nowhere"):
            destination.read_table(DATASET, "nowhere")


__all__ = ["DestinationContract", "DestinationSystem", "Feature"]
