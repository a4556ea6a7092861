"""Raw COPY: what is handed through without being looked at."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from connectors.contract import Batch, Encoding, Greatest, PgCopy, Selection, State, Stream
from connectors.described import arrow_schema
from connectors.errors import ConfigError
from tests.connectors.sql_source.database import NOON, Database, full, incremental, orders


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
