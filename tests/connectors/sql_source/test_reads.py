"""Which rows come, and with which state."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from connectors.contract import State, Stream, Window
from connectors.errors import ConfigError
from tests.connectors.sql_source.database import (
    NOON,
    Database,
    add,
    full,
    ids,
    incremental,
    last_state,
    orders,
    rows,
)


def test_a_full_read_brings_every_row_and_the_greatest_cursor_with_the_last_batch(
    database: Database,
):
    stream = orders(database, [NOON + timedelta(seconds=n % 7) for n in range(25)])

    got = database.read(full(stream, batch_rows=10))

    assert sorted(ids(got)) == list(range(1, 26))
    assert [batch.state is None for batch in got] == [True] * (len(got) - 1) + [False]
    assert last_state(got).watermark == "2026-01-01T12:00:06.000000"
    assert all(batch.data.num_rows <= 10 for batch in got if isinstance(batch.data, pa.Table))


def test_a_full_read_of_an_emptied_table_forgets_the_old_watermark(database: Database):
    stream = orders(database, [NOON])
    before = last_state(database.read(full(stream)))
    database.run("DELETE FROM t")

    after = last_state(database.read(full(stream), before))
    add(database, 1, [NOON - timedelta(days=900)])
    got = database.read(incremental(stream), after)

    assert after.watermark is None
    assert ids(got) == [1]


def test_rows_that_share_the_watermark_come_again(database: Database):
    """R55, R56, T6: a row committed later with the same timestamp is not lost."""
    stream = orders(database, [NOON, NOON + timedelta(seconds=1)])
    state = last_state(database.read(incremental(stream)))
    add(database, 3, [NOON + timedelta(seconds=1), NOON + timedelta(seconds=2)])

    got = database.read(incremental(stream), state)

    assert sorted(ids(got)) == [2, 3, 4]
    assert last_state(got).watermark == "2026-01-01T12:00:02.000000"


@pytest.mark.parametrize("index", [True, False])
def test_a_read_killed_after_any_batch_goes_on_without_loss(database: Database, index: bool):
    """R56, R63: equal timestamps straddle the edges of batches, in and out of order."""
    stamps = [NOON + timedelta(seconds=(n * 7 % 30) // 4) for n in range(30)]
    stream = orders(database, stamps, index=index)
    selection = incremental(stream, batch_rows=4)
    whole = database.read(selection)

    for killed_after in range(1, len(whole)):
        kept = whole[:killed_after]
        states = [batch.state for batch in kept]
        durable = max((n for n, state in enumerate(states) if state), default=-1)
        state = states[durable] if durable >= 0 else None
        assert state is None or isinstance(state, State)
        rest = database.read(selection, state)
        assert {*ids(kept[: durable + 1]), *ids(rest)} == set(range(1, 31))


def test_an_indexed_cursor_makes_every_batch_a_checkpoint(postgres: Database, sqlite: Database):
    """R63."""
    for database in (postgres, sqlite):
        stream = orders(database, [NOON - timedelta(seconds=n) for n in range(20)])

        got = database.read(incremental(stream, batch_rows=5))
        marks = [b.state.watermark for b in got if isinstance(b.state, State) and b.data]

        assert stream.ordered
        assert len(marks) >= 4
        assert marks == sorted(marks, key=str)
        assert len(set(marks)) >= 4


def test_a_read_that_finds_nothing_keeps_the_state(database: Database):
    stream = orders(database, [NOON])
    state = last_state(database.read(incremental(stream)))
    database.run("DELETE FROM t")

    got = database.read(incremental(stream), state)

    assert ids(got) == []
    assert last_state(got) == state


def test_an_empty_table_without_state_has_none(database: Database):
    stream = orders(database, [NOON])
    database.run("DELETE FROM t")

    got = database.read(incremental(stream))

    assert rows(got) == []
    assert all(batch.state is None for batch in got)


def test_a_late_row_is_seen_within_the_lag_and_the_watermark_does_not_go_back(database: Database):
    """R55: a transaction may commit after a later one was read."""
    stream = orders(database, [NOON])
    state = last_state(database.read(incremental(stream)))
    database.run("DELETE FROM t")
    add(database, 2, [NOON - timedelta(seconds=30), NOON - timedelta(seconds=90)])

    without = database.read(incremental(stream), state)
    within = database.read(incremental(stream, lag=timedelta(minutes=1)), state)

    assert ids(without) == []
    assert ids(within) == [2]
    assert last_state(within) == state


def test_a_lag_is_refused_for_a_cursor_that_is_no_time(database: Database):
    orders(database, [NOON])
    stream = by(database.stream(), "id")

    with pytest.raises(ConfigError, match="set the lag to 0"):
        database.read(incremental(stream, lag=timedelta(seconds=1)))


def by(stream: Stream, cursor: str) -> Stream:
    return Stream(
        name=stream.name, schema=stream.schema, primary_key=stream.primary_key, cursor_field=cursor
    )


def test_rows_without_a_cursor_are_read_every_time(database: Database):
    stream = orders(database, [NOON, None, NOON + timedelta(seconds=1), None])
    state = last_state(database.read(incremental(stream)))

    got = database.read(incremental(stream), state)

    assert sorted(ids(got)) == [2, 3, 4]
    assert last_state(got) == state


def test_a_row_from_the_far_future_does_not_hide_later_ones(database: Database):
    """R56: the watermark stays below the source's own clock (and a day, without zones)."""
    stream = orders(database, [NOON, datetime(9998, 1, 1, tzinfo=UTC)])
    limit = datetime.now(UTC) + timedelta(days=1, minutes=1)

    got = database.read(incremental(stream))
    state = last_state(got)
    add(database, 3, [datetime.now(UTC) + timedelta(days=2)])
    again = database.read(incremental(stream), state)

    assert str(state.watermark) < limit.replace(tzinfo=None).isoformat()
    assert sorted(ids(again)) == [2, 3]


@pytest.mark.parametrize(
    "state",
    [
        State(version=99, value={"watermark": "2026-01-01T12:00:00"}),
        State(version=1, value={"watermark": "yesterday"}),
        State(version=1, value={"watermark": 17}),
        State(version=1, value={"cursor": "2026-01-01T12:00:00"}),
    ],
)
def test_an_unreadable_state_means_reading_from_the_beginning(sqlite: Database, state: State):
    """R66, R152."""
    stream = orders(sqlite, [NOON - timedelta(days=9), NOON])

    with capture_logs() as logs:
        got = sqlite.read(incremental(stream), state)

    assert sorted(ids(got)) == [1, 2]
    assert [log["event"] for log in logs] == ["state.unreadable"]
    assert last_state(got).watermark == "2026-01-01T12:00:00.000000"


def test_a_window_is_half_open_and_moves_no_state(database: Database):
    stream = orders(database, [NOON + timedelta(hours=n) for n in range(-2, 3)] + [None])
    window = Window(start="2026-01-01T11:00:00", end="2026-01-01T13:00:00")

    got = database.read(incremental(stream, window=window), State(version=1, value={}))
    open_end = database.read(full(stream, window=Window(start="2026-01-01T13:00:00")))

    assert sorted(ids(got)) == [2, 3]
    assert sorted(ids(open_end)) == [4, 5]
    assert all(batch.state is None for batch in got + open_end)


def test_a_window_that_is_no_time_is_refused_with_an_example(database: Database):
    stream = orders(database, [NOON])

    with pytest.raises(ConfigError, match="window's start 'soon' is not timestamp; write it like"):
        database.read(incremental(stream, window=Window(start="soon")))


@pytest.mark.parametrize(
    ("type", "values", "first", "more"),
    [
        ("bigint", ["1", "9007199254740993"], "9007199254740993", "9007199254740994"),
        ("date", ["'2026-01-01'", "'2026-01-02'"], "2026-01-02", "'2026-01-03'"),
        ("text", ["'a'", "'b''c'"], "b'c", "'d'"),
        ("decimal(20,2)", ["1.10", "12.50"], "12.5", "13.00"),
    ],
)
def test_cursors_of_other_types_work(
    database: Database, type: str, values: list[str], first: str, more: str
):
    database.run(f"CREATE TABLE t (id integer PRIMARY KEY, c {type})")
    database.run(f"INSERT INTO t VALUES (1, {values[0]}), (2, {values[1]}), (3, NULL)")
    stream = by(database.stream(), "c")

    state = last_state(database.read(incremental(stream)))
    database.run(f"INSERT INTO t VALUES (4, {more})")
    got = database.read(incremental(stream), state)

    assert str(state.watermark).rstrip("0") == first.rstrip("0")
    assert sorted(ids(got)) == [2, 3, 4]


def test_an_incremental_read_needs_a_cursor(database: Database):
    database.run("CREATE TABLE t (id integer, f double precision)")
    stream = database.stream()

    with pytest.raises(ConfigError, match="no cursor"):
        database.read(incremental(stream))
    with pytest.raises(ConfigError, match="cannot be a cursor"):
        database.read(incremental(by(stream, "f")))
