"""Values from PostgreSQL into Arrow: exact, or the record is rejected with a reason."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.arrow import Logical, digits_of, logical_of, native_of
from connectors.contract import Encoding, Selection, State, SyncMode
from connectors.registry import get
from tests.connectors.sql_reading import read, rejected, values


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
