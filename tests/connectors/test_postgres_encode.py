"""Arrow as binary COPY: the server stores the very bytes that it makes of the value's text."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from connectors.errors import ConfigError
from connectors.sql.postgres import encode, ingest

STRINGS: Any = pa.string()

CASES: dict[str, tuple[Any, list[Any], list[str | None]]] = {
    "boolean": (pa.bool_(), [True, False, None], ["t", "f", None]),
    "smallint": (pa.int16(), [-(2**15), None, 7], ["-32768", None, "7"]),
    "double precision": (pa.float64(), [-0.0, 1e300, None], ["-0", "1e300", None]),
    "bytea": (pa.binary(), [b"", b"\0\xff", None], ["\\x", "\\x00ff", None]),
    "jsonb": (STRINGS, ['{"a": [1, 2.50]}', None, '"é"'], ['{"a": [1, 2.50]}', None, '"é"']),
    "uuid": (
        STRINGS,
        ["00112233-4455-6677-8899-AABBCCDDEEFF", None],
        ["00112233-4455-6677-8899-aabbccddeeff", None],
    ),
    "date": (pa.date32(), [-719_162, 0, None], ["0001-01-01", "1970-01-01", None]),
    "timestamp with time zone": (
        pa.timestamp("us", "UTC"),
        [-1, None, 946_684_800_000_001],
        ["1969-12-31 23:59:59.999999+00", None, "2000-01-01 00:00:00.000001+00"],
    ),
    **{
        f"numeric({digits})": (STRINGS, texts, texts)
        for digits, texts in {
            "12,2": ["0.00", "-0.01", "9999999999.99", None, "10000.00", "100000000.10"],
            "4,4": ["0.0000", "0.0001", "-0.9999"],
            "5,3": ["-12.345", "0.100"],
            "18,0": ["999999999999999999", "-1", "10000"],
            "2,5": ["0.00099", "-0.00001"],
            "38,0": ["9" * 38, "-" + "9" * 38, "1" + "0" * 37],
            "38,37": ["-9." + "9" * 37, "0." + "0" * 36 + "1"],
        }.items()
    },
    "integer[]": (pa.list_(pa.int32()), [[1, None, -3], [], None], ["{1,NULL,-3}", "{}", None]),
    "text[]": (
        pa.list_(STRINGS),
        [None, ["", "a,b", None], [], ["é"]],
        [None, '{"","a,b",NULL}', "{}", "{é}"],
    ),
    "date[]": (pa.list_(pa.date32()), [[], None, []], ["{}", None, "{}"]),
    "character varying(9)[]": (pa.list_(STRINGS), [["abc"]], ["{abc}"]),
}


@pytest.fixture
def server(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def load(server: psycopg.Connection, data: pa.Table, native: str) -> None:
    """Into a new table ``sent (n bigint, v <native>)``."""
    server.execute(f"CREATE TEMPORARY TABLE sent (n bigint, v {native})".encode())
    ready, texts = ingest.prepared(data, {"n": "bigint", "v": native})
    assert not texts
    with server.cursor().copy("COPY sent FROM STDIN (FORMAT binary)") as copy:
        for chunk in encode.copied(ready, ["bigint", ingest.unbounded(native)]):
            copy.write(chunk)


@pytest.mark.parametrize("native", CASES)
def test_a_value_is_stored_as_the_server_stores_its_text(
    server: psycopg.Connection, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nulls, empties and extremes; the data come in slices, chunks and pieces."""
    monkeypatch.setattr(encode, "PIECE_BYTES", 48)
    kind, sent, texts = CASES[native]
    values = pa.array(sent, pa.int32()).cast(kind) if native == "date" else pa.array(sent, kind)
    sliced = pa.concat_arrays([values, values, values])[len(values) :]
    data = pa.table({"n": pa.array(range(len(sliced))), "v": sliced})

    load(server, pa.concat_tables([data[:1], data[1:]]), native)

    for n, text in enumerate([*texts, *texts]):
        query = f"SELECT ROW(v)::record *= ROW(%s::{native})::record, v::text FROM sent WHERE n=%s"
        same, found = server.execute(query.encode(), [text, n]).fetchone() or (None, None)
        assert same, f"{found} is not {text}"


def test_each_decimal_of_many_is_exact(server: psycopg.Connection) -> None:
    numbers = [Decimal(n * 7_919 - 40_000_000).scaleb(-3) for n in range(10_000)]
    data = pa.table({"n": pa.array(range(10_000)), "v": pa.array(numbers, pa.decimal128(15, 3))})

    load(server, data, "numeric(15,3)")

    rows = server.execute("SELECT v FROM sent ORDER BY n").fetchall()
    assert [row[0] for row in rows] == numbers


def test_a_time_before_postgresqls_calendar_is_refused_and_its_column_named() -> None:
    early = pa.array([-(2**63)], pa.int64()).cast(pa.timestamp("us"))
    data = pa.table({"born_at": early})

    with pytest.raises(ConfigError, match="'born_at'"):
        list(encode.copied(data, ["timestamp without time zone"]))


def test_no_rows_are_a_stream_that_the_server_accepts(server: psycopg.Connection) -> None:
    data = pa.table({"n": pa.array([], pa.int64()), "v": pa.array([], pa.list_(STRINGS))})

    load(server, data, "text[]")

    assert server.execute("SELECT count(*) FROM sent").fetchone() == (0,)
