"""Values from SQLite and DuckDB into Arrow: exact, or the record is rejected with a reason."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest

from connectors.arrow import Logical, logical_of
from connectors.contract import Encoding, Selection, State, SyncMode
from connectors.registry import get
from tests.connectors.sql_reading import read, rejected, values

ZONED = pa.timestamp("us", "UTC")


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
