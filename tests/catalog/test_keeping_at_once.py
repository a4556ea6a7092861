"""Housekeeping that is interrupted, fails, or meets others at its work."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DataError

from sync_pipelines.catalog import keeping
from sync_pipelines.catalog.tables import ExecutionRow, SummaryRow
from sync_pipelines.model.execution import Status
from tests.catalog.ended import OLD, add, forget, left


def totals(world, sync):
    """What is known of a sync: how many ended how, and what they moved, over both tables."""
    known: Counter[tuple[object, str]] = Counter()
    with world.catalog.begin() as db:
        for row in db.execute(select(ExecutionRow.__table__)).mappings():
            day = row["completed_at"].date()
            known[day, row["status"]] += 1
            known[day, "records"] += row["records_processed"]
            known[day, "ms"] += row["duration_ms"] or 0
        for summary in keeping.summaries(db, sync.id, tenant_id=sync.tenant_id):
            known.update({(summary.day, s.value): n for s, n in summary.endings.items() if n})
            known[summary.day, "records"] += summary.records_processed
            known[summary.day, "ms"] += int(summary.duration / timedelta(milliseconds=1))
    return known


def test_interrupted_half_way_nothing_is_lost_and_nothing_is_counted_twice(world, monkeypatch):
    """The summary and the rows that are left together say what the rows said."""
    monkeypatch.setattr(keeping, "BATCH", 7)
    sync = world.sync()
    for hours in range(60):
        add(world, sync, ago=OLD + timedelta(hours=hours), records_processed=hours)
    before = totals(world, sync)
    turns = iter([False, False, False, True])  # a page, and two batches of it

    interrupted = forget(world, stop=lambda: next(turns))
    halfway = totals(world, sync)
    rest = forget(world)

    assert interrupted == keeping.Forgotten(rows=14, finished=False)
    assert halfway == before
    assert rest == keeping.Forgotten(rows=44, finished=True)
    assert totals(world, sync) == before


def test_a_batch_that_fails_changes_nothing(world, monkeypatch):
    sync = world.sync()
    # Too much for the summary of the day they ended on; they came to be on two.
    for took in (timedelta(), timedelta(days=1)):
        cancelled = {"status": Status.CANCELLED, "ago": OLD + took, "took": took}
        add(world, sync, **cancelled, bytes_moved=2**62)
    before = left(world)

    with pytest.raises(DataError, match="out of range"):
        forget(world)

    assert left(world) == before
    with world.catalog.begin() as db:
        assert db.execute(select(SummaryRow.__table__)).all() == []


def test_rows_that_somebody_holds_are_left_for_the_next_time_without_waiting(world):
    sync = world.sync()
    held, free = (add(world, sync, status=Status.CANCELLED) for _ in range(2))
    with world.catalog.begin() as db:
        db.execute(select(ExecutionRow).where(ExecutionRow.id == held).with_for_update())

        first = forget(world)
    second = forget(world)

    assert (first.rows, second.rows) == (1, 1)
    assert free not in left(world)


def test_a_sync_that_is_being_removed_is_left_alone_without_a_deadlock(world):
    sync = world.sync()
    identity = add(world, sync, status=Status.CANCELLED)
    with world.catalog.begin() as db:
        db.execute(text("SELECT 1 FROM sync.syncs FOR UPDATE"))

        forgotten = forget(world)

    assert forgotten.rows == 0
    assert left(world) == {identity}


def test_two_housekeepers_at_once_forget_each_execution_once(world, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr(keeping, "BATCH", 5)
    sync = world.sync()
    for hours in range(80):
        add(world, sync, ago=OLD + timedelta(hours=hours))
    before = totals(world, sync)

    with ThreadPoolExecutor(3) as pool:
        turns = list(pool.map(lambda _: forget(world).rows, range(3)))
    turns.append(forget(world).rows)

    assert sum(turns) == 78
    assert totals(world, sync) == before
