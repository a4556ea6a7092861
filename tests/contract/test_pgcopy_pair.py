"""From PostgreSQL to PostgreSQL, pgcopy and Arrow give identical tables, states and counts."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Json, Jsonb

from connectors.contract import Committed, Destination, Encoding, Source, SyncMode, WriteMode
from tests.contract.moving import moved, planned
from tests.contract.systems import Postgres

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001
LOCAL = st.datetimes(FIRST, LAST)
INSTANTS = st.datetimes(FIRST, LAST, timezones=ZONES)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "1e-300", "0.000", f"{'1' * 200}.{'9' * 50}"]
)


def ints(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


COLUMNS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "i2": ("smallint", ints(16)),
    "i4": ("integer", ints(32)),
    "i8": ("bigint", ints(64)),
    "f4": ("real", st.floats(width=32)),
    "f8": ("double precision", st.floats()),
    "yes": ("boolean", st.booleans()),
    "exact": ("numeric", NUMBERS),
    "price": ("numeric(12,2)", st.decimals(-(10**9), 10**9, places=2)),
    "words": ("text", TEXT),
    "short": ("character varying(40)", TEXT),
    "padded": ("character(40)", TEXT),
    "blob": ("bytea", st.binary(max_size=40)),
    "day": ("date", st.dates(date(1, 1, 2), date(9999, 12, 30))),
    "hour": ("time without time zone", st.times()),
    "hour_there": ("time with time zone", st.times(timezones=ZONES)),
    "local": ("timestamp without time zone", LOCAL),
    "instant": ("timestamp with time zone", INSTANTS),
    "document": ("json", JSON.map(Json)),
    "binary_document": ("jsonb", JSON.map(Jsonb)),
    "identity": ("uuid", st.uuids()),
    "span": ("interval", st.timedeltas(timedelta(days=-(10**5)), timedelta(days=10**5))),
    "address": ("inet", st.ip_addresses()),
    "numbers": ("bigint[]", st.lists(st.none() | ints(64), max_size=3)),
    "labels": ("text[]", st.lists(st.none() | TEXT, max_size=3)),
    "exacts": ("numeric[]", st.lists(st.none() | NUMBERS, max_size=3)),
    "moments": ("timestamp with time zone[]", st.lists(st.none() | INSTANTS, max_size=2)),
}
"""Types, each with the values that are easily altered."""

RECORDS = st.fixed_dictionaries(
    {
        "id": st.integers(1, 12),
        "changed_at": st.integers(0, 3),
        **{name: st.none() | values for name, (_, values) in COLUMNS.items()},
    }
)

PGCOPY_AND_ARROW = (Encoding.PGCOPY, Encoding.ARROW)

PAIRS = [
    (SyncMode.FULL, WriteMode.REPLACE),
    (SyncMode.INCREMENTAL, WriteMode.UPSERT),
    (SyncMode.INCREMENTAL, WriteMode.APPEND),
]


@dataclass(frozen=True, slots=True)
class Pair:
    """One database with a source table, and a dataset for each encoding."""

    system: Postgres
    source: Source
    destination: Destination

    def put(self, records: Sequence[dict[str, Any]], tick: int) -> None:
        names = list(records[0]) if records else []
        insert = sql.SQL(
            "INSERT INTO wide ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET ({}) = ROW ({})"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.SQL("%s") for _ in names),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.SQL("excluded.{}").format(sql.Identifier(n)) for n in names),
        )
        with self.system.connect() as connection:
            for record in records:
                moment = datetime(2024, 1, 1, 0, 0, record["changed_at"] + tick, 7, tzinfo=UTC)
                values = {**record, "changed_at": moment}
                connection.execute(insert, [values[name] for name in names])

    def move(self, encoding: Encoding, execution: str, modes: tuple[Any, Any]) -> Committed:
        selection, target = planned(
            self.source,
            "wide",
            mode=modes[0],
            write_mode=modes[1],
            execution=execution,
            dataset=str(encoding),
            batch_rows=3,
        )
        return moved(self.source, self.destination, selection, target, encoding)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Every row as the server itself spells it."""
        columns = ", ".join(f'"{name}"::text' for name in ("id", "changed_at", *COLUMNS))
        query = f"SELECT {columns} FROM {table} ORDER BY id, changed_at"
        with self.system.connect() as connection:
            return [tuple(row.values()) for row in connection.execute(query.encode())]

    def shape(self, schema: str) -> list[Any]:
        """Columns, types, nullability and keys."""
        columns = """
            SELECT attname, format_type(atttypid, atttypmod), attnotnull
              FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"""
        keys = """SELECT pg_get_indexdef(indexrelid, 1, true), indisprimary, indisunique
                    FROM pg_index WHERE indrelid = %s::regclass ORDER BY 1"""
        with self.system.connect() as connection:
            return [
                tuple(row.values())
                for query in (columns, keys)
                for row in connection.execute(query.encode(), [f"{schema}.orders"])
            ]

    def clear(self) -> None:
        with self.system.connect() as connection:
            connection.execute("TRUNCATE wide")
            for encoding in Encoding:
                connection.execute(f"DROP SCHEMA IF EXISTS {encoding} CASCADE".encode())


@pytest.fixture(scope="module")
def pair(postgres_url: str) -> Iterator[Pair]:
    system = Postgres(postgres_url)
    columns = ", ".join(f'"{name}" {type}' for name, (type, _) in COLUMNS.items())
    with system.connect() as connection:
        key = "id bigint PRIMARY KEY, changed_at timestamptz"
        connection.execute(f"CREATE TABLE wide ({key}, {columns})".encode())
        connection.execute("CREATE INDEX ON wide (changed_at)")
    with closing(system.source()) as source, closing(system.destination()) as destination:
        yield Pair(system, source, destination)


@pytest.mark.parametrize("modes", PAIRS, ids=lambda modes: str(modes[1]))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(first=st.lists(RECORDS, min_size=1, max_size=6), second=st.lists(RECORDS, max_size=4))
def test_both_encodings_make_the_same_table_and_it_is_the_sources(
    pair: Pair, modes: tuple[Any, Any], first: list[Any], second: list[Any]
) -> None:
    """Law 7: integers stay 64-bit beside NULL, decimals exact, instants to the microsecond."""
    pair.clear()

    for tick, records in enumerate((first, second)):
        pair.put(records, tick * 4)
        copied, decoded = (pair.move(encoding, f"e{tick}", modes) for encoding in PGCOPY_AND_ARROW)

        assert pair.rows("pgcopy.orders") == pair.rows("arrow.orders")
        assert pair.shape("pgcopy") == pair.shape("arrow")
        assert _comparable(copied) == _comparable(decoded)
    if modes[1] is not WriteMode.APPEND:
        assert pair.rows("arrow.orders") == pair.rows("public.wide")


def _comparable(committed: Committed) -> Committed:
    """Without the size of the encoding, and the hour."""
    counts = replace(committed.counts, bytes=0)
    return replace(committed, counts=counts, committed_at=None)


def test_columns_and_key_are_the_sources_own(pair: Pair) -> None:
    pair.clear()
    pair.put([{"id": 1, "changed_at": 0}], 0)

    for encoding in PGCOPY_AND_ARROW:
        pair.move(encoding, "e", (SyncMode.INCREMENTAL, WriteMode.UPSERT))

        shape = pair.shape(str(encoding))
        types = {name: type for name, type, _ in shape[: len(COLUMNS) + 2]}
        expected = {name: type for name, (type, _) in COLUMNS.items()}
        assert types == {"id": "bigint", "changed_at": "timestamp with time zone", **expected}
        assert shape[len(COLUMNS) + 2 :] == [("id", True, True)]


def test_what_arrow_cannot_hold_is_rejected_and_never_altered(pair: Pair) -> None:
    """PostgreSQL's own format carries endless times as they are; Arrow has none, and says so."""
    pair.clear()
    with pair.system.connect() as connection:
        connection.execute(
            "INSERT INTO wide (id, changed_at, instant, day) VALUES "
            "(1, '2024-01-01+00', 'infinity', NULL), (2, '2024-01-01+00', NULL, '-infinity'), "
            "(3, '2024-01-01+00', '2024-01-01+00', '2024-01-01')"
        )
    full = (SyncMode.FULL, WriteMode.REPLACE)

    copied, decoded = (pair.move(encoding, "e", full) for encoding in PGCOPY_AND_ARROW)

    whole = pair.rows("public.wide")
    assert pair.rows("pgcopy.orders") == whole
    assert pair.rows("arrow.orders") == whole[2:]
    assert (copied.counts.rejected, decoded.counts.rejected) == (0, 2)


def test_arrow_fills_a_table_that_pgcopy_made_and_the_other_way_round(pair: Pair) -> None:
    upsert = (SyncMode.INCREMENTAL, WriteMode.UPSERT)
    for one, other in (PGCOPY_AND_ARROW, PGCOPY_AND_ARROW[::-1]):
        pair.clear()
        pair.put([{"id": 1, "changed_at": 0, "i8": 2**63 - 1, "exact": "1.50"}], 0)
        pair.move(one, "first", upsert)
        with pair.system.connect() as connection:
            connection.execute(f"ALTER SCHEMA {one} RENAME TO {other}".encode())
        pair.put([{"id": 2, "changed_at": 1, "i8": None, "exact": "NaN"}], 0)

        done = pair.move(other, "second", upsert)

        assert pair.rows(f"{other}.orders") == pair.rows("public.wide")
        assert (done.counts.created, done.counts.updated) == (1, 0)
