"""A real database of one dialect, and what is read from it."""

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from connectors.contract import Batch, Encoding, Selection, Source, State, Stream, SyncMode
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
