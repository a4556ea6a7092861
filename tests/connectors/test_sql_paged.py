"""What is read page by page, on a server that is here."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from connectors.contract import Encoding, Selection, SyncMode
from connectors.errors import TransientError
from connectors.testing.rows import at, row, rows_of
from connectors.testing.source_suite import SourceContract
from tests.connectors.paged import PagedSource, paged


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "not indexed"])
class TestAPagedSource(SourceContract):
    @pytest.fixture
    def system(self, postgres_url: str, indexed: bool) -> PagedSource:
        system = PagedSource(postgres_url)
        system.make_orders(indexed=indexed)
        return system


def read(source, state=None, mode=SyncMode.INCREMENTAL, rows=2):
    selection = Selection(stream=source.stream("orders"), mode=mode, batch_rows=rows)
    return list(source.read(selection, state, Encoding.ARROW))


@pytest.fixture
def there(postgres_url: str) -> PagedSource:
    system = PagedSource(postgres_url)
    system.make_orders(indexed=False)
    return system


@pytest.mark.parametrize("mode", list(SyncMode))
def test_a_row_that_changes_behind_the_page_is_met_by_the_next_read(there, mode):
    """Pages are no snapshot: the watermark must not pass what changed meanwhile."""
    there.put([row(n, seconds=n) for n in range(1, 7)])
    with closing(paged(there.url)) as source:
        selection = Selection(stream=source.stream("orders"), mode=mode, batch_rows=2)
        reading = source.read(selection, None, Encoding.ARROW)
        found: list[Any] = [next(reading)]
        there.put([row(1, seconds=20, note="changed"), row(6, seconds=30, note="changed")])
        found += reading
        later = read(source, found[-1].state)

    seen = [one for batch in (*found, *later) for one in rows_of(batch.data.to_pylist())]
    assert row(1, seconds=20, note="changed") in seen
    assert row(6, seconds=30, note="changed") in seen


def test_many_rows_of_one_moment_are_read_page_by_page(there):
    """A bulk update gives thousands of rows the same time."""
    there.put([row(n, seconds=1) for n in range(1, 8)])
    with psycopg.connect(there.url, autocommit=True) as connection:
        connection.execute("CREATE INDEX ON orders (changed_at)")
    with closing(paged(there.url)) as source:
        found = read(source)

    assert [one.id for batch in found for one in rows_of(batch.data.to_pylist())] == [*range(1, 8)]
    assert [batch.data.num_rows for batch in found][:4] == [2, 2, 2, 1]


def test_a_table_without_a_key_is_read_whole(there):
    with psycopg.connect(there.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE orders DROP CONSTRAINT orders_pkey")
        connection.execute("INSERT INTO orders VALUES (1, now(), 'a'), (1, now(), 'a')")
    with closing(paged(there.url)) as source:
        found = read(source, mode=SyncMode.FULL, rows=1)

    assert [batch.data.num_rows for batch in found if batch.data.num_rows] == [1, 1]


def test_a_read_that_is_ended_ends_after_its_page(there):
    there.put([row(n) for n in range(1, 7)])
    with closing(paged(there.url)) as source:
        selection = Selection(stream=source.stream("orders"), mode=SyncMode.FULL, batch_rows=2)
        reading = source.read(selection, None, Encoding.ARROW)
        next(reading)
        source.interrupt()

        with pytest.raises(TransientError):
            list(reading)


def test_a_column_that_cannot_be_read_is_left_out(there):
    with psycopg.connect(there.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE orders ADD COLUMN shape point")
    with closing(paged(there.url)) as source:
        assert source.stream("orders").schema.names == ["id", "changed_at", "note"]


def test_a_clock_that_is_behind_bounds_the_watermark(there):
    """A row dated in the far future would hide all later ones."""
    there.put([row(1), row(2, seconds=10**9)])
    with closing(paged(there.url)) as source:
        state = read(source)[-1].state

    assert state is not None
    assert at(0) < datetime.fromisoformat(str(state.watermark)) <= datetime.now(UTC)
