"""Whatever the times of the rows, read after read brings the destination to the source.

Many rows share a time, pages end in the middle of them, and some rows are committed
late, but within the lag.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Destination, Encoding, Source, Stream, SyncMode, WriteMode
from connectors.testing.memory import MemoryDestination, MemorySource, MemoryStore, MemoryStream
from connectors.testing.rows import SCHEMA, Row, row, rows_of
from tests.contract.moving import moved, planned
from tests.contract.systems import Duckdb, Postgres, Sqlite

LAG = 3
TICKS = st.integers(-LAG, 2)
"""When a row is committed, in seconds after the latest one so far: late ones within the lag."""

ROUNDS = st.lists(
    st.lists(st.tuples(st.integers(1, 9), TICKS, st.sampled_from("ab")), max_size=7),
    min_size=2,
    max_size=4,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and a destination, both empty."""

    put: Callable[[Sequence[Row]], None]
    source: Source
    destination: Destination
    records: Callable[[], Sequence[Any]]
    encoding: Encoding = Encoding.ARROW


@contextmanager
def in_memory(*, ordered: bool) -> Iterator[Pair]:
    stream = Stream(
        name="orders",
        schema=SCHEMA,
        primary_key=("id",),
        cursor_field="changed_at",
        ordered=ordered,
    )
    held, store = MemoryStream(stream), MemoryStore()
    yield Pair(
        lambda rows: held.put(*map(asdict, rows)),
        MemorySource([held]),
        MemoryDestination(store),
        lambda: store.records("shop", "orders") or (),
    )


@contextmanager
def in_postgres(url: str, *, indexed: bool, encoding: Encoding) -> Iterator[Pair]:
    system = Postgres(url)
    system.make_orders(indexed=indexed)
    with closing(system.source()) as source, closing(system.destination()) as destination:
        found = lambda: system.records("shop", "orders") or ()  # noqa: E731
        yield Pair(system.put, source, destination, found, encoding)


@contextmanager
def in_files(kind: type[Sqlite] | type[Duckdb], *, indexed: bool) -> Iterator[Pair]:
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="sync-laws-"))
        stack.callback(shutil.rmtree, home)
        one, other = home / "one", home / "other"
        one.mkdir(), other.mkdir()
        from_, to = kind(one), kind(other)
        from_.make_orders(indexed=indexed)
        yield Pair(
            from_.put,
            stack.enter_context(closing(from_.source())),
            stack.enter_context(closing(to.destination())),
            lambda: to.records("shop", "orders") or (),
        )


def settled(pair: Pair, rounds: list[Any], batch_rows: int, **how: Any) -> dict[int, Row]:
    """Play the rounds, with a sync after each; what the source holds in the end."""
    there: dict[int, Row] = {}
    latest = LAG
    for number, changes in enumerate(rounds):
        for identity, tick, note in changes:
            seconds = latest + tick
            latest = max(latest, seconds)
            held = there.get(identity)
            if held is not None and held.changed_at is not None:
                seconds = max(seconds, _seconds(held))
            there[identity] = row(identity, seconds=seconds, note=note)
        pair.put(list(there.values()))
        selection, target = planned(
            pair.source,
            "orders",
            mode=SyncMode.INCREMENTAL,
            execution=f"e{number}",
            dataset="shop",
            batch_rows=batch_rows,
            lag=timedelta(seconds=LAG),
            **how,
        )
        moved(pair.source, pair.destination, selection, target, pair.encoding)
    return there


def _seconds(held: Row) -> int:
    assert held.changed_at is not None
    return round((held.changed_at - row(0).changed_at).total_seconds())  # type: ignore[operator]


def upserts(pair: Pair, rounds: list[Any], batch_rows: int) -> None:
    there = settled(pair, rounds, batch_rows, write_mode=WriteMode.UPSERT)

    assert rows_of(pair.records()) == sorted(there.values())


def appends_twins(pair: Pair, rounds: list[Any], batch_rows: int) -> None:
    """Without their id rows are twins: as many of each must arrive as there are."""
    fresh = [
        [(10 * number + place, tick, note) for place, (_, tick, note) in enumerate(changes)]
        for number, changes in enumerate(rounds)
    ]

    there = settled(
        pair, fresh, batch_rows, write_mode=WriteMode.APPEND, columns=("changed_at", "note")
    )

    found = rows_of({"id": 0, **record} for record in pair.records())
    assert Counter((r.changed_at, r.note) for r in found) == Counter(
        (r.changed_at, r.note) for r in there.values()
    )


LAWS = pytest.mark.parametrize("law", [upserts, appends_twins])
INDEXED = pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "not indexed"])


def prove(
    law: Callable[[Pair, list[Any], int], None],
    make: Callable[[], AbstractContextManager[Pair]],
    examples: int,
) -> None:
    """Try the law on so many examples, each with a fresh pair."""

    @settings(max_examples=examples, deadline=None)
    @given(rounds=ROUNDS, batch_rows=st.integers(1, 4))
    def proven(rounds: list[Any], batch_rows: int) -> None:
        with make() as pair:
            law(pair, rounds, batch_rows)

    proven()


@LAWS
@INDEXED
def test_late_rows_and_equal_times_arrive_in_memory(law: Any, indexed: bool) -> None:
    prove(law, lambda: in_memory(ordered=indexed), 150)


@LAWS
@INDEXED
@pytest.mark.parametrize("encoding", list(Encoding))
def test_late_rows_and_equal_times_arrive_from_postgresql(
    law: Any, indexed: bool, encoding: Encoding, postgres_url: str
) -> None:
    prove(law, lambda: in_postgres(postgres_url, indexed=indexed, encoding=encoding), 8)


@LAWS
@INDEXED
@pytest.mark.parametrize("kind", [Sqlite, Duckdb])
def test_late_rows_and_equal_times_arrive_from_files(
    law: Any, indexed: bool, kind: type[Sqlite] | type[Duckdb]
) -> None:
    prove(law, lambda: in_files(kind, indexed=indexed), 10)
