"""The systems in memory fail when a script says so, and store what they would have stored."""

from dataclasses import asdict
from threading import Thread

import pytest

from connectors.contract import Batch, Encoding, Stream, SyncMode, Target, WriteMode
from connectors.errors import ContractError, TransientError
from connectors.testing.memory import (
    MemoryDestination,
    MemorySource,
    MemoryStore,
    MemoryStream,
    Pause,
    Point,
    Script,
    failing,
)
from connectors.testing.rows import SCHEMA, Row, row, table
from tests.contract.moving import moved, planned

TARGET = Target(
    owner="acme/orders",
    stream="orders",
    execution="first",
    dataset="shop",
    table="orders",
    schema=SCHEMA,
    write_mode=WriteMode.UPSERT,
    primary_key=("id",),
)


def source(*rows: Row, script: Script | None = None) -> MemorySource:
    stream = Stream(
        name="orders", schema=SCHEMA, primary_key=("id",), cursor_field="changed_at", ordered=True
    )
    return MemorySource([MemoryStream(stream, [asdict(row) for row in rows])], script or Script())


@pytest.mark.parametrize(
    ("point", "stored"), [(Point.BEFORE_COMMIT, None), (Point.AFTER_COMMIT, 1)]
)
def test_a_commit_fails_before_or_after_it_became_durable(point: Point, stored: int | None) -> None:
    store = MemoryStore()
    script = Script().at(point, 1, failing(TransientError("the line went dead")))
    writer = MemoryDestination(store, script).open(TARGET, Encoding.ARROW)
    writer.write(Batch(data=table(row(1))))

    with pytest.raises(TransientError, match="went dead"):
        writer.commit(None, finished=True)

    found = store.records("shop", "orders")
    assert (None if found is None else len(found)) == stored
    assert MemoryDestination(store).open(TARGET, Encoding.ARROW).committed.finished == bool(stored)


def test_a_read_that_fails_at_its_third_batch_goes_on_from_the_second() -> None:
    script = Script().at(Point.READ, 3, failing(TransientError("too many requests")))
    offered = source(*(row(number, seconds=number) for number in range(5)), script=script)
    store = MemoryStore()
    destination = MemoryDestination(store)
    plan = planned(
        offered,
        "orders",
        mode=SyncMode.INCREMENTAL,
        write_mode=WriteMode.UPSERT,
        execution="first",
        dataset="shop",
        batch_rows=1,
    )
    with pytest.raises(TransientError):
        moved(offered, destination, *plan)
    before = len(store.records("shop", "orders") or ())

    done = moved(offered, destination, *plan)

    assert before == 1
    assert (done.counts.created, done.finished) == (5, True)


def test_a_write_fails_at_the_nth_batch_only() -> None:
    script = Script().at(Point.WRITE, 2, failing(TransientError("full")))
    writer = MemoryDestination(MemoryStore(), script).open(TARGET, Encoding.ARROW)
    writer.write(Batch(data=table(row(1))))

    with pytest.raises(TransientError):
        writer.write(Batch(data=table(row(2))))

    writer.write(Batch(data=table(row(3))))
    assert writer.commit(None, finished=True).counts.created == 2
    assert script.reached(Point.WRITE) == 3


def test_a_pause_holds_a_commit_until_it_is_let_go() -> None:
    pause, store = Pause(), MemoryStore()
    script = Script().at(Point.BEFORE_COMMIT, 1, pause)
    writer = MemoryDestination(store, script).open(TARGET, Encoding.ARROW)
    writer.write(Batch(data=table(row(1))))
    committing = Thread(target=writer.commit, args=(None,))
    committing.start()

    assert pause.reached.wait(10)
    during = store.records("shop", "orders")
    pause.go_on.set()
    committing.join(10)

    assert during is None
    assert len(store.records("shop", "orders") or ()) == 1


def test_memory_speaks_arrow_only() -> None:
    with pytest.raises(ContractError, match="pgcopy"):
        MemoryDestination(MemoryStore()).open(TARGET, Encoding.PGCOPY)
