"""Which version of a record stands at the destination, how it is counted, and which are missing."""

from contextlib import closing
from dataclasses import replace
from datetime import date
from uuid import UUID

import pyarrow as pa
import pytest

from connectors.arrow import Logical, Native, field
from connectors.contract import Deletes, Rejection, State, WriteMode
from connectors.sql.destination import SqlDestination
from tests.connectors.sql_destination.house import AT, DAY, NOTE, NOW, House, row


def test_an_upsert_counts_created_updated_and_unchanged_exactly(house: House) -> None:
    """R60, R62, R107."""
    first = house.sync(house.target(), row(1, "a"), row(2, "b"), row(3, None))

    second = house.sync(
        house.target(execution="second"), row(1, "a"), row(2, "B", 1), row(4, "d"), row(3, None)
    )

    assert (first.processed, first.created, first.updated) == (3, 3, 0)
    assert (second.processed, second.created, second.updated) == (4, 1, 1)
    assert house.rows() == [(1, "a"), (2, "B"), (3, None), (4, "d")]


def test_an_older_version_never_overwrites_a_newer_one(house: House) -> None:
    """R67, R68."""
    house.sync(house.target(), row(1, "new", 5))

    counts = house.sync(house.target(execution="second"), row(1, "old", 4))

    assert counts.updated == 0
    assert house.rows() == [(1, "new")]


def test_a_version_of_the_same_age_that_differs_is_taken(house: House) -> None:
    house.sync(house.target(), row(1, "one", 5))

    counts = house.sync(house.target(execution="second"), row(1, "two", 5))

    assert counts.updated == 1
    assert house.rows() == [(1, "two")]


def test_a_version_is_taken_unless_it_is_older_or_the_very_same(house: House) -> None:
    """R60, R68: a version without a time has no place in the order, so only its words count."""
    versions = [(note, day) for note in ("here", "there") for day in (None, 1, 2)]
    pairs = [(old, new) for old in versions for new in versions]
    house.sync(house.target(), *(row(at, *old) for at, (old, _) in enumerate(pairs)))

    taken = house.target(execution="second")
    counts = house.sync(taken, *(row(at, *new) for at, (_, new) in enumerate(pairs)))

    older = [None not in (old[1], new[1]) and new[1] < old[1] for old, new in pairs]
    wanted = [old if is_older else new for (old, new), is_older in zip(pairs, older, strict=True)]
    changed = [one != old for one, (old, _) in zip(wanted, pairs, strict=True)]
    with closing(SqlDestination(house.config)) as destination:
        found = destination.read_table(house.dataset, "orders").sort_by("id").to_pylist()
    assert [(each["note"], each["at"]) for each in found] == [row(0, *one)[1:] for one in wanted]
    assert counts.updated == sum(changed)


@pytest.mark.parametrize(
    ("native", "first", "second"),
    [
        ("bigint", 1, 2),
        ("uuid", str(UUID(int=1)), str(UUID(int=2))),
        ("date", date(2026, 1, 1), date(2026, 1, 2)),
        ("timestamp with time zone", NOW, NOW + DAY),
        ("text", "a", "b"),
        ("numeric(4,2)", "1.00", "2.00"),
    ],
)
def test_keys_of_every_type_are_one_key_where_they_are_equal(
    postgres: House, native: str, first: object, second: object
) -> None:
    """R65: a key that comes twice is one record, and what comes without is rejected."""
    kinds: dict[str, pa.DataType] = {
        "bigint": pa.int64(),
        "date": pa.date32(),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
    }
    logical = {"uuid": Logical.UUID, "numeric(4,2)": Logical.DECIMAL}.get(native)
    spelled = Native(dialect="postgresql", type=native)
    key = field("id", kinds.get(native, pa.string()), native=spelled, logical=logical)
    schema = pa.schema([key, NOTE, AT])
    target = postgres.target(schema=schema)
    postgres.sync(target, (first, "one", NOW), (second, "two", NOW), schema=schema)

    counts = postgres.sync(
        replace(target, execution="second"),
        (first, "old", NOW),
        (first, "new", NOW + DAY),
        (None, "lost", NOW),
        schema=schema,
    )

    assert (counts.created, counts.updated, counts.rejected) == (0, 1, 1)
    assert postgres.query(f"SELECT note FROM {postgres.table()} ORDER BY id") == [
        ("new",),
        ("two",),
    ]


@pytest.mark.parametrize("filled", [False, True])
def test_of_one_key_staged_twice_the_newest_wins_then_the_last(house: House, filled: bool) -> None:
    if filled:
        house.sync(house.target(), row(9, "there"))

    with closing(house.open(house.target(execution="second"))) as writer:
        writer.write(house.batch([row(1, "new", 2), row(1, "old", 1), row(2, "first", 1)]))
        writer.write(house.batch([row(2, "last", 1), row(3, "dated", 1), row(3, "undated", None)]))
        counts = writer.commit(None, finished=True).counts

    assert house.rows()[:3] == [(1, "new"), (2, "last"), (3, "dated")]
    assert (counts.processed, counts.created) == (6, 3)


@pytest.mark.parametrize("filled", [False, True])
def test_a_record_without_a_key_is_rejected_and_counted(house: House, filled: bool) -> None:
    """R65."""
    if filled:
        house.sync(house.target(), row(1, "a"))

    counts = house.sync(house.target(execution="second"), row(None, "lost"), row(2, "b"))

    assert (counts.processed, counts.created, counts.rejected) == (1, 1, 1)
    assert (2, "b") in house.rows()


def test_what_the_source_rejected_is_counted_with_what_was_written(house: House) -> None:
    """R65."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")], rejected=(Rejection(key="7", reason="odd"),)))
        counts = writer.commit(None, finished=True).counts

    assert (counts.processed, counts.rejected) == (1, 1)
    assert counts.bytes > 0


def test_an_append_takes_each_version_of_a_record_once(house: House) -> None:
    """R70."""
    append = house.target(write_mode=WriteMode.APPEND)
    house.sync(append, row(1, "a", 1), row(2, "b", 2), row(3, "c", None))

    again = replace(append, execution="second")
    counts = house.sync(again, row(2, "b", 2), row(1, "A", 3), row(3, "c", None), row(4, "d", None))

    assert counts.created == 2
    assert sorted(house.rows()) == [(1, "A"), (1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_an_append_with_a_key_keeps_one_of_a_version_that_comes_twice_at_once(house: House) -> None:
    append = house.target(write_mode=WriteMode.APPEND)

    first = house.sync(append, row(1, "a", 1), row(1, "a", 1), row(1, "b", 2))
    more = replace(append, execution="second")
    second = house.sync(more, row(2, "c", 3), row(2, "c", 3), row(1, "b", 2))

    assert (first.created, second.created) == (2, 1)
    assert house.rows() == [(1, "a"), (1, "b"), (2, "c")]


def test_an_append_without_a_key_keeps_as_many_equal_rows_as_the_source_has(house: House) -> None:
    append = house.target(write_mode=WriteMode.APPEND, primary_key=())
    house.sync(append, row(1, "a", 1), row(2, "b", 2), row(2, "b", 2), row(3, None, None))

    again = replace(append, execution="second")
    counts = house.sync(
        again, row(2, "b", 2), row(2, "b", 2), row(2, "b", 2), row(4, "d", 3), row(3, None, None)
    )

    assert counts.created == 2
    assert house.rows() == [(1, "a"), (2, "b"), (2, "b"), (2, "b"), (3, None), (4, "d")]


def test_a_snapshot_append_adds_every_row_each_time(house: House) -> None:
    append = house.target(write_mode=WriteMode.APPEND, distinct=False)
    house.sync(append, row(1, "a"))

    counts = house.sync(replace(append, execution="second"), row(1, "a"))

    assert counts.created == 1
    assert house.rows() == [(1, "a"), (1, "a")]


def test_missing_records_are_marked_counted_and_cleared_when_they_return(house: House) -> None:
    soft = house.target(complete=True, deletes=Deletes.SOFT)
    house.sync(soft, row(1, "a"), row(2, "b"))

    gone = house.sync(replace(soft, execution="second"), row(2, "b"))
    marked = house.rows("id, _deleted_at IS NOT NULL")
    again = house.sync(replace(soft, execution="third"), row(2, "b"))
    back = house.sync(replace(soft, execution="fourth"), row(1, "a"), row(2, "b"))

    assert (gone.deleted, gone.updated, again.deleted) == (1, 0, 0)
    assert [(id, bool(mark)) for id, mark in marked] == [(1, True), (2, False)]
    assert (back.created, back.updated) == (0, 1)
    assert house.query(f"SELECT count(*) FROM {house.table()} WHERE _deleted_at IS NULL") == [(2,)]


def test_missing_records_are_deleted_though_the_read_was_committed_in_parts(house: House) -> None:
    hard = house.target(complete=True, deletes=Deletes.HARD)
    house.sync(hard, row(1, "a"), row(2, "b"), row(3, "c"))

    with closing(house.open(replace(hard, execution="second"))) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}))
        writer.write(house.batch([row(3, "C", 1)]))
        writer.commit(State(version=1, value={"watermark": "2"}))
        counts = writer.commit(None, finished=True).counts

    assert (counts.updated, counts.deleted) == (1, 1)
    assert house.rows() == [(1, "a"), (3, "C")]


def test_missing_records_stay_when_the_read_was_not_complete(house: House) -> None:
    house.sync(house.target(), row(1, "a"), row(2, "b"))

    counts = house.sync(
        house.target(execution="second", deletes=Deletes.HARD, complete=False), row(2, "b")
    )

    assert counts.deleted == 0
    assert house.rows() == [(1, "a"), (2, "b")]
