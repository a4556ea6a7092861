"""How the laws of a destination write and look: targets, writers, and another way in."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pyarrow as pa
import pytest

from connectors.contract import (
    Batch,
    Committed,
    Destination,
    Encoding,
    State,
    Target,
    WriteMode,
    Writer,
)
from connectors.testing.features import Lacking
from connectors.testing.rows import SCHEMA, Row, rows_of, table

DATASET, TABLE = "shop", "orders"


class DestinationSystem(Protocol):
    """What a connector's test supplies: a real system, and another way into it."""

    def open(self) -> Destination:
        """The destination under test, newly opened on the system."""
        ...

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        """What a table holds, seen as another program sees it; None if there is no such table.

        Times may be ISO text; JSON is text.
        """
        ...

    def tables(self) -> list[str]:
        """The names of all tables there are."""
        ...

    def drop(self, dataset: str, table: str) -> None:
        """Drop a table as another program would."""
        ...


def target(write_mode: WriteMode, **changes: Any) -> Target:
    """Where the suite writes, unless a test says otherwise."""
    usual = Target(
        owner="acme/orders",
        stream="orders",
        execution="first",
        dataset=DATASET,
        table=TABLE,
        schema=SCHEMA,
        write_mode=write_mode,
        primary_key=("id",),
        cursor_field="changed_at",
        complete=write_mode is WriteMode.REPLACE,
        distinct=write_mode is not WriteMode.REPLACE,
    )
    return replace(usual, **changes)


APPEND, UPSERT, REPLACE = (target(mode) for mode in WriteMode)

MODES = pytest.mark.parametrize("usual", [APPEND, UPSERT, REPLACE], ids=[*WriteMode])


def state(mark: str) -> State:
    """A state that a source might have made."""
    return State(version=1, value={"watermark": mark, "page": [1, None, "ü'\""]})


@contextmanager
def writing(destination: Destination, to: Target) -> Iterator[Writer]:
    """A writer, closed in the end."""
    with closing(destination.open(to, Encoding.ARROW)) as writer:
        yield writer


def put(destination: Destination, to: Target, *rows: Row, mark: str | None = None) -> Committed:
    """Write records, and finish."""
    return put_tables(destination, to, table(*rows), mark=mark)


def put_tables(
    destination: Destination, to: Target, *tables: pa.Table, mark: str | None = None
) -> Committed:
    """Write batches, and finish."""
    with writing(destination, to) as writer:
        for data in tables:
            writer.write(Batch(data=data))
        return writer.commit(None if mark is None else state(mark), finished=True)


def stored(system: DestinationSystem) -> list[Row] | None:
    """The suite's records, as another program sees them."""
    found = system.records(DATASET, TABLE)
    return None if found is None else rows_of(found)


def seen(destination: Destination, to: Target) -> Committed:
    """What the destination says is durable."""
    with writing(destination, to) as writer:
        return writer.committed


class Opened(Lacking):
    """A suite for a destination, opened for every test and closed in the end."""

    @pytest.fixture
    def destination(self, system: DestinationSystem) -> Iterator[Destination]:
        """The destination under test, closed in the end."""
        with closing(system.open()) as destination:
            yield destination
