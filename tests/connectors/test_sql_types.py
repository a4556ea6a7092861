"""Values from databases into Arrow: exact, or the record is rejected with a reason."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.arrow import Logical, digits_of, logical_of, native_of
from connectors.contract import Batch, Encoding, Rejection, Selection, State, Stream, SyncMode
from connectors.registry import get

ZONED = pa.timestamp("us", "UTC")


def read(url: str, name: str, **chosen: Any) -> tuple[Stream, list[Batch]]:
    with closing(get("database").open_source({"url": url})) as source:
        stream = source.stream(name)
        selection = Selection(stream=stream, mode=SyncMode.FULL, **chosen)
        return stream, list(source.read(selection, None, Encoding.ARROW))


def values(batches: Sequence[Batch], column: str = "v") -> list[Any]:
    found: list[Any] = []
    for batch in batches:
        assert isinstance(batch.data, pa.Table)
        found += batch.data.column(column).to_pylist()
    return found


def rejected(batches: Sequence[Batch]) -> list[Rejection]:
    return [one for batch in batches for one in batch.rejected]


@pytest.fixture
def server(postgres_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database in which nothing is left of other tests."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield connection


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
INSTANTS = st.datetimes(timezones=st.just(UTC))
POSTGRES_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "double precision": st.floats(allow_nan=False),
    "real": st.floats(allow_nan=False, width=32),
    "boolean": st.booleans(),
    "text": TEXTS,
    "bytea": st.binary(max_size=30),
    "date": st.dates(),
    "time without time zone": st.times(),
    "timestamp without time zone": st.datetimes(),
    "timestamp with time zone": INSTANTS,
    "bigint[]": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4),
    "text[]": st.lists(st.none() | TEXTS, max_size=4),
    "timestamp with time zone[]": st.lists(st.none() | INSTANTS, max_size=4),
}
PER_EXAMPLE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("type", POSTGRES_VALUES)
def test_what_postgres_holds_arrives_in_arrow_exactly(
    postgres_url: str, server: psycopg.Connection, type: str
):
    """Also beside NULL, where weaker encodings turn integers into floats."""
    server.execute(f"CREATE TABLE t (n integer, v {type})".encode())

    @PER_EXAMPLE
    @given(st.lists(st.none() | POSTGRES_VALUES[type], max_size=8))
    def check(written: list[Any]) -> None:
        server.execute("TRUNCATE t")
        insert = f"INSERT INTO t VALUES (%s, %s::{type})".encode()
        server.cursor().executemany(insert, list(enumerate([*written, None])))

        stream, got = read(postgres_url, "t")

        native = native_of(stream.schema.field("v"))
        assert native is not None
        assert native.type == type
        assert values(got) == [*written, None]

    check()


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).filter(
    lambda number: -300 < number.adjusted() < 300
) | st.sampled_from([Decimal(w) for w in ("NaN", "Infinity", "-Infinity", "0.00", "1E+40")])


def test_numbers_without_bounds_keep_every_digit(postgres_url: str, server: psycopg.Connection):
    server.execute("CREATE TABLE t (n integer, v numeric)")

    @PER_EXAMPLE
    @given(st.lists(st.none() | NUMBERS, max_size=8))
    def check(written: list[Decimal | None]) -> None:
        server.execute("TRUNCATE t")
        insert = b"INSERT INTO t VALUES (%s, %s::numeric)"
        texts = [None if number is None else str(number) for number in written]
        server.cursor().executemany(insert, list(enumerate(texts)))
        shown = server.execute("SELECT v::text FROM t ORDER BY n").fetchall()

        stream, got = read(postgres_url, "t")

        assert logical_of(stream.schema.field("v")) is Logical.DECIMAL
        assert digits_of(stream.schema.field("v")) is None
        assert values(got) == [row[0] for row in shown]

    check()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("type", ["json", "jsonb"])
def test_json_survives_byte_for_byte(postgres_url: str, server: psycopg.Connection, type: str):
    """Integers past 2**53, every letter, the spelling and order of json."""
    from json import dumps

    server.execute(f"CREATE TABLE t (n integer, v {type})".encode())

    @PER_EXAMPLE
    @given(st.lists(JSON, max_size=5))
    def check(written: list[Any]) -> None:
        server.execute("TRUNCATE t")
        texts = [dumps(value, ensure_ascii=False).replace("\\u0000", "") for value in written]
        insert = f"INSERT INTO t VALUES (%s, %s::{type})".encode()
        server.cursor().executemany(insert, list(enumerate(texts)))
        shown = server.execute("SELECT v::text FROM t ORDER BY n").fetchall()

        _, got = read(postgres_url, "t")

        assert values(got) == [row[0] for row in shown]

    check()


@pytest.mark.parametrize(
    ("type", "value", "logical", "text"),
    [
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", Logical.UUID, None),
        ("numeric(12,2)", "-1.50", Logical.DECIMAL, None),
        ("interval", "1 year 2 mons 3 days -04:05:06.000007", Logical.INTERVAL, None),
        ("time with time zone", "12:00:00.000001+05:30", Logical.TIME_TZ, None),
        ("inet", "10.1.2.3/8", Logical.OTHER, None),
        ("oid", "4294967295", Logical.OTHER, None),
        ("int4range", "[1,5)", Logical.OTHER, None),
        ("numeric(5,2)[]", "{1.10,NULL}", Logical.OTHER, None),
        ("bit varying(5)", "10101", Logical.OTHER, None),
        ("mood", "so so", Logical.ENUM, None),
        ("mood[]", '{ok,"so so"}', Logical.USER, None),
        ("positive", "7", Logical.USER, None),
        ("pair", '(1,"a b")', Logical.USER, None),
        ("character varying(7)", "ab ", None, None),
        ("character(4)", "ab", None, "ab  "),
    ],
)
def test_other_types_are_carried_as_the_servers_own_text(
    postgres_url: str,
    server: psycopg.Connection,
    type: str,
    value: str,
    logical: Logical | None,
    text: str | None,
):
    server.execute("CREATE TYPE mood AS ENUM ('ok', 'so so')")
    server.execute("CREATE DOMAIN positive AS integer CHECK (value > 0)")
    server.execute("CREATE TYPE pair AS (a integer, b text)")
    server.execute(f"CREATE TABLE t (id integer, v {type})".encode())
    server.execute("INSERT INTO t VALUES (1, %s), (2, NULL)", (value,))

    stream, got = read(postgres_url, "t")

    native = native_of(stream.schema.field("v"))
    assert native is not None
    assert native.type == type
    assert logical_of(stream.schema.field("v")) is logical
    assert values(got) == [text or value, None]


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("timestamptz", "2026-01-01T00:00:00+00", ["infinity", "-infinity", "294276-12-31"]),
        ("timestamp", "0044-03-15 12:00:00 BC", ["infinity", "-infinity", "294260-01-01"]),
        ("date", "2026-01-01", ["infinity", "-infinity"]),
        ("time", "23:59:59.999999", ["24:00"]),
        ("integer[]", "{1,NULL}", ["{{1,2},{3,4}}", "[0:1]={1,2}"]),
        ("timestamptz[]", "{2026-01-01T00:00:00+00}", ["{NULL,infinity}"]),
    ],
)
def test_values_that_arrow_cannot_hold_reject_their_record(
    postgres_url: str, server: psycopg.Connection, type: str, good: str, bad: list[str]
):
    """R65: the others arrive; the reason names the column and not the value."""
    server.execute(f"CREATE TABLE t (id integer PRIMARY KEY, v {type})".encode())
    rows = list(enumerate([good, *bad, None], start=1))
    server.cursor().executemany("INSERT INTO t VALUES (%s, %s)", rows)

    _, got = read(postgres_url, "t")

    ids = values(got, "id")
    assert ids == [1, len(rows)]
    assert [one.key for one in rejected(got)] == [str(n) for n in range(2, len(rows))]
    assert all("'v'" in one.reason and "infinity" not in one.reason for one in rejected(got))


def test_infinite_cursors_are_rejected_each_time_and_hide_nothing(
    postgres_url: str, server: psycopg.Connection
):
    server.execute("CREATE TABLE t (id integer PRIMARY KEY, updated_at timestamptz)")
    server.execute("CREATE INDEX ON t (updated_at)")
    server.execute(
        "INSERT INTO t VALUES (1, 'infinity'), (2, '2026-01-01'), (3, '-infinity'), (4, NULL)"
    )
    with closing(get("database").open_source({"url": postgres_url})) as source:
        stream = source.stream("t")
        selection = Selection(stream=stream, mode=SyncMode.INCREMENTAL)
        first = list(source.read(selection, None, Encoding.ARROW))
        state = first[-1].state
        assert isinstance(state, State)
        again = list(source.read(selection, state, Encoding.ARROW))

    assert state.watermark == "2026-01-01T00:00:00.000000+00:00"
    for got in (first, again):
        assert sorted(values(got, "id")) == [2, 4]
        assert sorted(one.key for one in rejected(got)) == ["1", "3"]


def test_sqlite_values_are_read_by_their_declared_types(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.execute(
            "CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB, at DATETIME, z TIMESTAMPTZ, "
            "d DATE, o BOOLEAN, p DECIMAL(12,2), j JSON, u)"
        )
        row = (2**63 - 1, 0.1, "ü\U0001f600", b"\0\xff", "2026-01-31 12:00:00.5")
        more = ("2026-01-31T12:00:00.000001+02:00", "2026-01-31", 1, 12.5, '{"a": 1}', "x")
        connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * 11)})", row + more)
        connection.execute("INSERT INTO t (i) VALUES (NULL)")
        connection.commit()

    stream, got = read(f"sqlite:///{tmp_path}/s.db", "t")

    assert isinstance(got[0].data, pa.Table)
    first, second = got[0].data.to_pylist()
    assert first == {
        "i": 2**63 - 1,
        "r": 0.1,
        "s": "ü\U0001f600",
        "b": b"\0\xff",
        "at": datetime(2026, 1, 31, 12, 0, 0, 500_000),  # noqa: DTZ001
        "z": datetime(2026, 1, 31, 10, 0, 0, 1, tzinfo=UTC),
        "d": date(2026, 1, 31),
        "o": True,
        "p": "12.5",
        "j": '{"a": 1}',
        "u": "x",
    }
    assert set(second.values()) == {None}
    assert logical_of(stream.schema.field("p")) is Logical.DECIMAL
    assert stream.schema.field("z").type == ZONED


@pytest.mark.parametrize(
    ("declared", "bad"),
    [
        ("INTEGER", ["'abc'", "1.5", "x'00'"]),
        ("REAL", ["'abc'", "x'00'"]),
        ("TEXT", ["x'00'", "CAST(x'ff' AS TEXT)"]),
        ("BLOB", ["'text'", "1"]),
        ("BOOLEAN", ["2", "'yes'", "1.5"]),
        ("DATE", ["'2026-02-30'", "20260101", "'2026-01-01 10:00'"]),
        ("DATETIME", ["'2026-01-01T00:00:00Z'", "'soon'", "1767225600", "'2026-01-01 0:0'"]),
        ("DATETIME", ["'2026-01-01 00:00:00.1234567'"]),
        ("TIMESTAMPTZ", ["'2026-01-01 00:00:00'"]),
        ("TIME", ["'25:00'", "12"]),
        ("DECIMAL(5,2)", ["'abc'", "9e999", "x'00'"]),
        ("UUID", ["7"]),
    ],
)
def test_sqlite_values_that_do_not_fit_their_column_reject_their_record(
    tmp_path: Path, declared: str, bad: list[str]
):
    """R65: SQLite takes any value into any column; we alter none of them to fit."""
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
        for n, value in enumerate([*bad, "NULL"], start=1):
            connection.execute(f"INSERT INTO t VALUES ({n}, {value})")
        connection.commit()

    _, got = read(f"sqlite:///{tmp_path}/s.db", "t")

    assert values(got, "id") == [len(bad) + 1]
    assert [one.key for one in rejected(got)] == [str(n) for n in range(1, len(bad) + 1)]
    assert all("'v'" in one.reason for one in rejected(got))


def test_sqlite_cursors_are_found_however_they_are_spelled(tmp_path: Path):
    """T6: with T or space, with or without a fraction, in UTC or a zone of their own."""
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TIMESTAMPTZ)")
        connection.execute("CREATE INDEX i ON t (updated_at)")
        connection.execute("INSERT INTO t VALUES (1, '2026-01-31T12:00:00+00:00')")
        connection.commit()
        with closing(get("database").open_source({"url": f"sqlite:///{tmp_path}/s.db"})) as source:
            selection = Selection(stream=source.stream("t"), mode=SyncMode.INCREMENTAL)
            state = list(source.read(selection, None, Encoding.ARROW))[-1].state
            assert isinstance(state, State)
            later = ("12:00:00.5Z", "12:00:01+00:00", "08:00:05-05:00", "14:00:01+02:00")
            for n, at in enumerate(later, start=2):
                connection.execute(f"INSERT INTO t VALUES ({n}, '2026-01-31 {at}')")
            connection.execute("INSERT INTO t VALUES (9, '2026-01-30 12:00:00+00:00')")
            connection.commit()
            got = list(source.read(selection, state, Encoding.ARROW))

    assert state.watermark == "2026-01-31T12:00:00.000000+00:00"
    assert set(values(got, "id")) == {1, 2, 3, 4, 5}
    assert got[-1].state == State(
        version=1, value={"watermark": "2026-01-31T13:00:05.000000+00:00"}
    )


def test_duckdb_values_are_exact_or_rejected(tmp_path: Path):
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, h HUGEINT, p DECIMAL(30,4), z TIMESTAMPTZ, "
            "ts TIMESTAMP, d DATE, u UUID, l BIGINT[], s STRUCT(a INTEGER), n TIMESTAMP_NS, "
            "ub UBIGINT, b BLOB, e ENUM('x', 'y'), j JSON)"
        )
        connection.execute(
            "INSERT INTO t VALUES (1, 170141183460469231731687303715884105727, 1.5, "
            "'2026-01-31 12:00:00.000001+02', '2026-01-31', '2026-01-31', "
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', [9007199254740993, NULL], {'a': 1}, "
            "'2026-01-31 00:00:00.123456789', 18446744073709551615, '\\xFF'::BLOB, 'y', "
            "'{\"a\": 9007199254740993}')"
        )
        connection.execute("INSERT INTO t (id, z) VALUES (2, 'infinity')")
        connection.execute("INSERT INTO t (id, d) VALUES (3, '-infinity')")

    stream, got = read(f"duckdb:///{tmp_path}/d.duckdb", "t")

    assert isinstance(got[0].data, pa.Table)
    (row,) = got[0].data.to_pylist()
    assert row == {
        "id": 1,
        "h": "170141183460469231731687303715884105727",
        "p": "1.5000",
        "z": datetime(2026, 1, 31, 10, 0, 0, 1, tzinfo=UTC),
        "ts": datetime(2026, 1, 31),  # noqa: DTZ001
        "d": date(2026, 1, 31),
        "u": str(UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        "l": [9007199254740993, None],
        "s": "{'a': 1}",
        "n": "2026-01-31 00:00:00.123456789",
        "ub": 18446744073709551615,
        "b": b"\xff",
        "e": "y",
        "j": '{"a": 9007199254740993}',
    }
    assert stream.schema.field("z").type == ZONED
    assert [one.key for one in rejected(got)] == ["2", "3"]


_MEMORY = """
import sys, resource
from connectors.contract import Encoding, Selection, SyncMode
from connectors.registry import get
url, encoding = sys.argv[1:3]
source = get("database").open_source({"url": url})
def run(name):
    selection = Selection(stream=source.stream(name), mode=SyncMode.INCREMENTAL, batch_rows=5_000)
    rows = 0
    for batch in source.read(selection, None, Encoding(encoding)):
        data = batch.data
        rows += len(data) if encoding == "arrow" else sum(map(len, data.chunks))
    return rows
run("small")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read = run("large")
print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["arrow", "pgcopy", "sqlite", "duckdb"])
def test_memory_does_not_grow_with_the_rows(postgres_url: str, tmp_path: Path, kind: str):
    """R58, R81: ten times the rows of a run that has reached its size, in the same memory."""
    url = f"{kind}:///{tmp_path}/m.db" if kind in ("sqlite", "duckdb") else postgres_url
    rows = {"small": 30_000, "large": 300_000}
    for name, count in rows.items():
        _numbered(url, name, count)

    encoding = "pgcopy" if kind == "pgcopy" else "arrow"
    command = [sys.executable, "-c", _MEMORY, url, encoding]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    read_rows, grown_kib = map(int, done.stdout.split())

    assert read_rows >= rows["large"]
    assert grown_kib < 16_000  # the rows themselves are 60 MB and more


def _numbered(url: str, name: str, count: int) -> None:
    """A table of ``count`` rows of 200 bytes."""
    columns = "(id bigint, updated_at timestamp, note text)"
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as pg:
            pg.execute(f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} {columns}".encode())
            source = f"generate_series(1, {count}) g"
            select = f"SELECT g, timestamp '2026-01-01' + g * interval '1 s', {_NOTE} FROM {source}"
            pg.execute(f"INSERT INTO {name} {select}".encode())
            pg.execute(f"CREATE INDEX ON {name} (updated_at)".encode())
    elif url.startswith("duckdb"):
        with duckdb.connect(url.removeprefix("duckdb:///")) as duck:
            source = f"range({count}) r(g)"
            stamp = "TIMESTAMP '2026-01-01' + to_seconds(g)"
            duck.execute(
                f"CREATE TABLE {name} AS SELECT g AS id, {stamp} AS updated_at, "
                f"{_NOTE} AS note FROM {source}"
            )
    else:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite:
            lite.execute(f"CREATE TABLE {name} {columns}")
            stamps = (
                (n, str(datetime.fromtimestamp(n, UTC))[:19], "x" * 200) for n in range(count)
            )
            lite.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", stamps)
            lite.execute(f"CREATE INDEX i_{name} ON {name} (updated_at)")
            lite.commit()


_NOTE = "repeat('x', 200)"


@pytest.mark.parametrize("encoding", [Encoding.PGCOPY, Encoding.ARROW])
def test_finding_nothing_new_takes_milliseconds(postgres_url: str, encoding: Encoding):
    """The budget of a whole sync that changes nothing is 20 ms in a warm process."""
    _numbered(postgres_url, "quiet", 20_000)
    state = State(version=1, value={"watermark": "2026-01-01 05:33:20"})
    spent = []
    for _ in range(8):
        began = time.perf_counter()
        with closing(get("database").open_source({"url": postgres_url})) as source:
            selection = Selection(stream=source.stream("quiet"), mode=SyncMode.INCREMENTAL)
            for batch in source.read(selection, state, encoding):
                assert isinstance(batch.data, pa.Table) or list(batch.data.chunks)
        spent.append(time.perf_counter() - began)

    assert min(spent) < 0.04, spent
