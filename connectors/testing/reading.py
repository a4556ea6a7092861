"""How the laws of a source read: selections, readings, and another way in."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pyarrow as pa
import pytest

from connectors.contract import (
    Batch,
    Encoding,
    Selection,
    Source,
    State,
    SyncMode,
)
from connectors.testing.features import Lacking
from connectors.testing.rows import Row, rows_of


class SourceSystem(Protocol):
    """What a connector's test supplies: a real system, and another way into it."""

    stream: str
    """A stream with the columns ``id`` (its key), ``changed_at`` and ``note``; empty at first."""

    def open(self) -> Source:
        """The source under test, newly opened on the system."""
        ...

    def put(self, rows: Sequence[Row]) -> None:
        """Add records as another program would; one whose id is known takes its place."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one read brought."""

    batches: tuple[Batch, ...]

    @property
    def rows(self) -> list[Row]:
        """The records, by id."""
        return rows_of(record for table in self.tables for record in table.to_pylist())

    @property
    def tables(self) -> list[pa.Table]:
        """The batches' data; Arrow it must be."""
        data = [batch.data for batch in self.batches]
        assert all(isinstance(table, pa.Table) for table in data)
        return [table for table in data if isinstance(table, pa.Table)]

    @property
    def state(self) -> State:
        """The state to continue from."""
        assert self.batches, "a read without batches carries no state"
        state = self.batches[-1].state
        assert isinstance(state, State), "the last batch must carry the state"
        return state


def read(source: Source, selection: Selection, state: State | None = None) -> Reading:
    """Read to the end, in Arrow."""
    return Reading(tuple(source.read(selection, state, Encoding.ARROW)))


def select(source: Source, system: SourceSystem, mode: SyncMode, **changes: Any) -> Selection:
    """The system's stream with key and cursor, as a tenant would choose them."""
    stream = replace(source.stream(system.stream), primary_key=("id",), cursor_field="changed_at")
    return Selection(stream=stream, mode=mode, **changes)


def full(source: Source, system: SourceSystem, **changes: Any) -> Selection:
    """All of it."""
    return select(source, system, SyncMode.FULL, **changes)


def incremental(source: Source, system: SourceSystem, **changes: Any) -> Selection:
    """What is new."""
    return select(source, system, SyncMode.INCREMENTAL, **changes)


class Opened(Lacking):
    """A suite for a source, opened for every test and closed in the end."""

    @pytest.fixture
    def source(self, system: SourceSystem) -> Iterator[Source]:
        """The source under test, closed in the end."""
        with closing(system.open()) as source:
            yield source
