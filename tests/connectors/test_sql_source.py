"""Databases as sources: which rows come, with which state, and that no value changes."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from connectors.contract import (
    Batch,
    Encoding,
    Greatest,
    PgCopy,
    Selection,
    Source,
    State,
    Stream,
    SyncMode,
    Window,
)
from connectors.described import arrow_schema, schema_of
from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.registry import get

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Database:
    """A real database of one dialect, with a source on it."""

    def __init__(self, url: str, run: Callable[[str], object]) -> None:
        self.url = url
        self.run = run

    def source(self) -> Source:
        return get("database").open_source({"url": self.url})

    def read(
        self, selection: Selection, state: State | None = None, encoding: Encoding = Encoding.ARROW
    ) -> list[Batch]:
        with closing(self.source()) as source:
            return list(source.read(selection, state, encoding))

    def stream(self, name: str = "t") -> Stream:
        with closing(self.source()) as source:
            return source.stream(name)


@pytest.fixture
def postgres(postgres_url: str) -> Database:
    def run(sql: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql.encode())

    run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return Database(postgres_url, run)


def _sqlite(path: Path) -> Database:
    def run(sql: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(sql)

    return Database(f"sqlite:///{path}", run)


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return _sqlite(tmp_path / "shop.db")


def _duckdb(path: Path) -> Database:
    def run(sql: str) -> None:
        with duckdb.connect(str(path)) as connection:
            connection.execute(sql)

    return Database(f"duckdb:///{path}", run)


@pytest.fixture
def duck(tmp_path: Path) -> Database:
    return _duckdb(tmp_path / "shop.duckdb")


@pytest.fixture(params=["postgres", "sqlite", "duck"])
def database(request: pytest.FixtureRequest) -> Database:
    """The same test on every dialect."""
    found: Database = request.getfixturevalue(request.param)
    return found


def incremental(stream: Stream, **chosen: Any) -> Selection:
    return Selection(stream=stream, mode=SyncMode.INCREMENTAL, **chosen)


def full(stream: Stream, **chosen: Any) -> Selection:
    return Selection(stream=stream, mode=SyncMode.FULL, **chosen)


def ids(batches: Sequence[Batch]) -> list[int]:
    found: list[Any] = []
    for batch in batches:
        assert isinstance(batch.data, pa.Table)
        found += batch.data.column("id").to_pylist()
    return found


def rows(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for batch in batches:
        assert isinstance(batch.data, pa.Table)
        found += batch.data.to_pylist()
    return found


def last_state(batches: Sequence[Batch]) -> State:
    state = batches[-1].state
    assert isinstance(state, State)
    return state


def orders(database: Database, stamps: Sequence[datetime | None], *, index: bool = True) -> Stream:
    """A table of rows 1, 2, ... with these times as ``updated_at``."""
    database.run("CREATE TABLE t (id integer PRIMARY KEY, updated_at timestamp, note text)")
    if index:
        database.run("CREATE INDEX t_updated ON t (updated_at)")
    add(database, 1, stamps)
    return database.stream()


def add(database: Database, first: int, stamps: Sequence[datetime | None]) -> None:
    shown = ["NULL" if at is None else f"'{at:%Y-%m-%d %H:%M:%S.%f}'" for at in stamps]
    values = ", ".join(f"({first + n}, {at}, 'n')" for n, at in enumerate(shown))
    database.run(f"INSERT INTO t VALUES {values}")


def test_a_stream_says_what_a_table_is(database: Database):
    stream = orders(database, [NOON])

    assert stream.name == "t"
    assert stream.primary_key == ("id",)
    assert stream.cursor_field == "updated_at"
    assert stream.modes == set(SyncMode)
    assert stream.schema.names == ["id", "updated_at", "note"]
    assert "every time" in stream.note


def test_a_table_without_key_and_cursor_says_what_it_cannot_do(database: Database):
    database.run("CREATE TABLE t (a integer)")

    stream = database.stream()

    assert stream.primary_key == ()
    assert stream.modes == {SyncMode.FULL}
    assert "no primary key" in stream.note
    assert "full reads only" in stream.note


def test_a_view_is_a_stream(database: Database):
    orders(database, [NOON])
    database.run("CREATE VIEW v AS SELECT id, updated_at FROM t")

    with closing(database.source()) as source:
        names = [stream.name for stream in source.discover()]
        stream = source.stream("v")
    got = database.read(incremental(stream))

    assert names == ["t", "v"]
    assert ids(got) == [1]


def test_a_misspelled_table_is_answered_with_the_nearest(database: Database):
    database.run("CREATE TABLE customers (id integer)")

    with closing(database.source()) as source, pytest.raises(ConfigError) as caught:
        source.stream("custmers")

    assert "'custmers'" in str(caught.value)
    assert "did you mean 'customers'?" in str(caught.value)


def test_odd_names_keep_their_spelling(database: Database):
    database.run('CREATE TABLE "Odd.Name ""x" ("Id" integer, "order" text, "ü,;" text)')
    database.run("""INSERT INTO "Odd.Name ""x" VALUES (1, 'a', 'b')""")

    with closing(database.source()) as source:
        name = source.discover()[0].name
        stream = source.stream(name)
    got = database.read(full(stream))

    assert name == '"Odd.Name ""x"'
    assert rows(got) == [{"Id": 1, "order": "a", "ü,;": "b"}]


def test_only_selected_columns_are_read(database: Database):
    stream = orders(database, [NOON])
    chosen = schema_of([stream.schema.field("note"), stream.schema.field("id")])
    narrow = Stream(name="t", schema=chosen, primary_key=("id",))

    got = database.read(full(narrow))

    assert rows(got) == [{"note": "n", "id": 1}]


def test_a_column_that_is_gone_is_named(database: Database):
    stream = orders(database, [NOON])
    nota = pa.field("nota", pa.string())
    lost = Stream(name="t", schema=arrow_schema(stream.schema).append(nota))

    with pytest.raises(ConfigError, match="no column 'nota'; did you mean 'note'"):
        database.read(full(lost))


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


def test_a_late_row_is_seen_within_the_lag_and_the_watermark_does_not_go_back(
    database: Database,
):
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
        name=stream.name,
        schema=stream.schema,
        primary_key=stream.primary_key,
        cursor_field=cursor,
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


def test_a_filter_narrows_every_read_and_cannot_swallow_the_rest(database: Database):
    stream = orders(database, [NOON, NOON, NOON - timedelta(days=1)])
    state = State(version=1, value={"watermark": "2026-01-01T12:00:00"})

    got = database.read(incremental(stream, row_filter="id <> 1 OR id = 1 -- all"), state)
    one = database.read(full(stream, row_filter="id = 2"))

    assert sorted(ids(got)) == [1, 2]
    assert ids(one) == [2]


def test_a_broken_filter_is_the_tenants_to_mend(database: Database):
    stream = orders(database, [NOON])

    with pytest.raises(ConfigError):
        database.read(full(stream, row_filter="nothing = 1"))


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


def test_check_says_to_what_it_is_connected_without_the_password(database: Database):
    database.run("CREATE TABLE t (id integer)")

    with closing(database.source()) as source:
        told = source.check()

    assert told.startswith(("PostgreSQL 1", "SQLite 3", "DuckDB "))


def test_a_source_can_be_closed_twice_and_in_the_middle_of_a_read(database: Database):
    stream = orders(database, [NOON] * 50)
    source = database.source()

    reading = source.read(full(stream, batch_rows=5), None, Encoding.ARROW)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    again = list(source.read(full(stream), None, Encoding.ARROW))
    source.close()
    source.close()

    assert len(ids(again)) == 50


def test_connection_errors_are_told_by_what_to_do(postgres: Database, tmp_path: Path):
    def check(url: str) -> None:
        with closing(get("database").open_source({"url": url})) as source:
            source.check()

    here = make_url(postgres.url)
    unknown_database = here.set(database="nowhere_at_all")
    unknown_user = here.set(username="nobody_here", password="s3cret-word")
    (tmp_path / "text.db").write_text("not a database at all, only text" * 100)

    with pytest.raises(ConfigError, match="nowhere_at_all"):
        check(unknown_database.render_as_string(hide_password=False))
    with pytest.raises(AuthError) as refused:
        check(unknown_user.render_as_string(hide_password=False))
    with pytest.raises(TransientError):
        check("postgresql://someone:s3cret-word@127.0.0.1:1/postgres")
    with pytest.raises(ConfigError) as unreadable:
        check("postgresql://someone:s3cret-w%ord@127.0.0.1/postgres")
    for scheme in ("sqlite", "duckdb"):
        with pytest.raises(ConfigError, match="there is no file"):
            check(f"{scheme}:///{tmp_path}/missing.db")
        with pytest.raises(ConfigError, match="not a"):
            check(f"{scheme}:///{tmp_path}/text.db")
    assert "s3cret" not in str(refused.value) + str(unreadable.value)


def test_a_source_cannot_write(postgres: Database):
    postgres.run("CREATE TABLE t (id integer); CREATE SEQUENCE s; INSERT INTO t VALUES (1)")
    stream = postgres.stream()

    with pytest.raises(ConnectorError, match="read-only"):
        postgres.read(full(stream, row_filter="nextval('s') > 0"))


def test_an_error_in_the_middle_of_a_read_is_told_without_the_content(postgres: Database):
    postgres.run("CREATE TABLE t (id integer, secret text)")
    postgres.run("INSERT INTO t SELECT g, '7' FROM generate_series(1, 1000) g")
    postgres.run("INSERT INTO t VALUES (0, 'hidden-word')")

    with pytest.raises(ConnectorError) as caught:
        postgres.read(full(postgres.stream(), row_filter="secret::integer = 7"))

    assert "PostgreSQL" in str(caught.value)
    assert "hidden-word" not in str(caught.value)


# --- pgcopy -----------------------------------------------------------------------------


def copied(database: Database, batches: Iterator[Batch]) -> list[tuple[list[int], Any]]:
    """The ids of each batch, loaded by the server itself, and the batch's state."""
    found = []
    with psycopg.connect(database.url, autocommit=True) as connection:
        for batch in batches:
            assert isinstance(batch.data, PgCopy)
            connection.execute("CREATE TEMP TABLE c (LIKE public.t)")
            names = ", ".join(f'"{name}"' for name in batch.data.columns)
            with connection.cursor().copy(f"COPY c ({names}) FROM STDIN BINARY".encode()) as copy:
                for chunk in batch.data.chunks:
                    copy.write(chunk)
            loaded = connection.execute("SELECT id FROM c ORDER BY id").fetchall()
            found.append(([row[0] for row in loaded], batch.state))
            connection.execute("DROP TABLE c")
    return found


def copy(database: Database, selection: Selection, state: State | None = None) -> Any:
    with closing(database.source()) as source:
        return copied(database, source.read(selection, state, Encoding.PGCOPY))


def test_pgcopy_is_offered_for_types_that_every_server_has(postgres: Database):
    postgres.run("CREATE TYPE mood AS ENUM ('ok')")
    postgres.run("CREATE TABLE t (id integer, a int4range, b inet[], c jsonb, m mood)")
    stream = postgres.stream()
    plain = Stream(name="t", schema=arrow_schema(stream.schema).remove(4))

    with closing(postgres.source()) as source:
        whole = source.encodings(full(stream))
        without = source.encodings(full(plain))

    assert whole == (Encoding.ARROW,)
    assert without == (Encoding.PGCOPY, Encoding.ARROW)


def test_pgcopy_reads_in_full_with_the_greatest_cursor(postgres: Database):
    stream = orders(postgres, [NOON, NOON + timedelta(seconds=2), None])

    got = copy(postgres, full(stream))

    assert [found for found, _ in got] == [[1, 2, 3]]
    assert got[0][1] == State(version=1, value={"watermark": "2026-01-01T12:00:02.000000"})


def test_pgcopy_ranges_are_half_open_and_equal_times_share_one(postgres: Database):
    """R56, R63, T6: a checkpoint lies between different times only."""
    stamps = [NOON + timedelta(seconds=n // 15) for n in range(100)]
    stream = orders(postgres, [*stamps, None])

    got = copy(postgres, incremental(stream, batch_rows=1))
    pieces = [set(found) for found, state in got if state is not None]
    seconds = [{(n - 1) // 15 for n in piece} for piece in pieces]

    assert got[0] == ([101], None)
    assert sorted(n for piece in pieces for n in piece) == list(range(1, 101))
    assert len(pieces) >= 4
    assert all(not (a & b) for n, a in enumerate(seconds) for b in seconds[n + 1 :])
    assert all(isinstance(state, Greatest) for _, state in got[1:])


def test_pgcopy_goes_on_at_the_watermark(postgres: Database):
    stream = orders(postgres, [NOON, NOON + timedelta(seconds=1), NOON + timedelta(seconds=2)])
    state = State(version=1, value={"watermark": "2026-01-01 12:00:01"})

    got = copy(postgres, incremental(stream), state)

    (found, greatest) = got[-1]
    assert found == [2, 3]
    assert isinstance(greatest, Greatest)
    assert greatest.column == "updated_at"
    assert greatest.ceiling is not None
    latest = (datetime.now(UTC) + timedelta(days=1, minutes=1)).replace(tzinfo=None)
    assert datetime.fromisoformat(greatest.ceiling) < latest


@pytest.mark.parametrize("before", [3, 40_000])
def test_an_error_in_the_middle_of_a_copied_stream_is_the_servers_own(
    postgres: Database, before: int
):
    """Whatever part of the stream had arrived; and the connection can be used again."""
    postgres.run("CREATE TABLE t (id integer)")
    postgres.run(f"INSERT INTO t SELECT g FROM generate_series(1, {before + 1}) g")
    selection = full(postgres.stream(), row_filter=f"1 / (id - {before + 1}) < 1")

    with closing(postgres.source()) as source:
        with pytest.raises(ConfigError, match="22012"):
            copied(postgres, source.read(selection, None, Encoding.PGCOPY))
        ((found, _),) = copied(
            postgres, source.read(full(postgres.stream()), None, Encoding.PGCOPY)
        )

    assert len(found) == before + 1


def test_pgcopy_hands_over_large_pieces(postgres: Database):
    postgres.run("CREATE TABLE t (id integer, note text)")
    postgres.run("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 2000) g")

    with closing(postgres.source()) as source:
        (batch,) = source.read(full(source.stream("t")), None, Encoding.PGCOPY)
        assert isinstance(batch.data, PgCopy)
        chunks = batch.data.chunks
        first = next(chunks)
        rest = list(chunks)

    assert 64 * 1024 <= len(first) <= 128 * 1024
    assert len(rest) >= 15


def test_a_duckdb_schema_may_be_called_like_its_file(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute('CREATE SCHEMA "shop"."shop"')
        connection.execute('CREATE TABLE "shop"."shop".orders AS SELECT range AS id FROM range(5)')

    with closing(get("database").open_source({"url": f"duckdb:///{path}"})) as source:
        batches = list(
            source.read(
                Selection(stream=source.stream("shop.orders"), mode=SyncMode.FULL),
                None,
                Encoding.ARROW,
            )
        )

    assert [len(batch.data) for batch in batches if isinstance(batch.data, pa.Table)] == [5]
