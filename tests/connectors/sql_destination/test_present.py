"""The watermark, and records that the table has already."""

from contextlib import closing
from dataclasses import replace

import pytest

from connectors.contract import Deletes, Encoding, Greatest, State, WriteMode
from connectors.errors import ConfigError
from connectors.sql.postgres.writer import PostgresStore
from tests.connectors.sql_destination.house import DAY, NOW, House, Row, row


def test_the_greatest_staged_cursor_becomes_the_watermark(postgres: House) -> None:
    copy = replace(postgres, encoding=Encoding.PGCOPY)
    ceiling = (NOW + 3 * DAY).isoformat()
    marks = []

    for day, wanted in ((1, None), (9, ceiling), (2, None)):
        target = copy.target(execution=f"day {day}")
        with closing(copy.open(target)) as writer:
            writer.write(copy.batch([row(day, "x", day)]))
            mark = Greatest(column="at", version=1, ceiling=wanted)
            state = writer.commit(mark, finished=True).state
            marks.append(state and state.watermark)

    assert marks == [
        "2026-05-02T12:00:00.000000+00:00",
        "2026-05-04T12:00:00.000000+00:00",
        "2026-05-04T12:00:00.000000+00:00",
    ]


def test_a_record_that_is_there_moves_the_watermark_as_far_as_the_clock_allows(
    postgres: House,
) -> None:
    """It is dated in the future, and comes again unchanged."""
    copy = replace(postgres, encoding=Encoding.PGCOPY)
    marks = []

    for day in (1, 2):
        with closing(copy.open(copy.target(execution=f"day {day}"))) as writer:
            mark = Greatest(column="at", version=1, ceiling=(NOW + day * DAY).isoformat())
            writer.write(replace(copy.batch([row(1, "x", 9)]), state=mark))
            state = writer.commit(mark, finished=True).state
            marks.append(state and state.watermark)

    assert marks == ["2026-05-02T12:00:00.000000+00:00", "2026-05-03T12:00:00.000000+00:00"]


@pytest.mark.parametrize("encoding", Encoding)
def test_records_that_the_table_has_are_counted_and_neither_staged_nor_merged(
    postgres: House, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = replace(postgres, encoding=encoding)
    house.sync(house.target(), row(1, "a", 0), row(2, None, 1))
    staged: list[object] = []
    monkeypatch.setattr(PostgresStore, "stage", lambda *told: staged.append(told))

    counts = house.sync(house.target(execution="second"), row(2, None, 1), row(1, "a", 0))

    assert (counts.processed, counts.created, counts.updated) == (2, 0, 0)
    assert staged == []


@pytest.mark.parametrize(
    "other", [row(2, "B", 1), row(2, None, 1), row(2, "b", 2), row(3, "b", 1), row(1, "b", 1)]
)
def test_one_record_that_is_new_or_other_is_written_beside_one_that_is_there(
    house: House, other: Row
) -> None:
    """R56: also if its time is the same as before."""
    house.sync(house.target(), row(1, "a", 0), row(2, "b", 1))

    counts = house.sync(house.target(execution="second"), row(1, "a", 0), other)

    assert counts.created + counts.updated == 1
    assert other[:2] in house.rows()


@pytest.mark.parametrize("encoding", Encoding)
def test_a_record_that_a_table_without_a_key_has_twice_does_not_stand_for_another(
    postgres: House, encoding: Encoding
) -> None:
    house = replace(postgres, encoding=encoding)
    house.sync(house.target(write_mode=WriteMode.REPLACE, primary_key=()), *[row(1, "a")] * 2)

    with closing(house.open(house.target(execution="second"))) as writer:
        writer.write(house.batch([row(1, "a"), row(2, "b")]))
        with pytest.raises(ConfigError, match="several rows for one"):
            writer.commit(State(version=1, value={}))


def test_a_record_that_was_removed_at_the_destination_is_written_again(house: House) -> None:
    house.sync(house.target(), row(1, "a"), row(2, "b"))
    house.query(f"DELETE FROM {house.table()} WHERE id = 2")

    counts = house.sync(house.target(execution="second"), row(2, "b"))

    assert counts.created == 1
    assert house.rows() == [(1, "a"), (2, "b")]


def test_a_record_that_comes_back_as_it_was_loses_the_mark_of_an_earlier_soft_delete(
    house: House,
) -> None:
    soft = house.target(complete=True, deletes=Deletes.SOFT)
    house.sync(soft, row(1, "a"), row(2, "b"))
    house.sync(replace(soft, execution="second"), row(2, "b"))

    counts = house.sync(house.target(execution="third"), row(1, "a"))

    assert counts.updated == 1
    assert house.rows("id, _deleted_at") == [(1, None), (2, None)]


def test_no_staged_row_leaves_the_watermark(postgres: House) -> None:
    copy = replace(postgres, encoding=Encoding.PGCOPY)

    with closing(copy.open(copy.target())) as writer:
        writer.write(copy.batch([]))
        committed = writer.commit(Greatest(column="at", version=1), finished=True)

    assert committed.state is None
