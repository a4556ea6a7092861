"""What an execution does while nothing goes wrong: it moves data, keeps state, shows progress."""

from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import select

from connectors.testing.memory import (
    Pause,
    Point,
)
from sync_pipelines.catalog.tables import StateRow
from sync_pipelines.engine import reporter
from sync_pipelines.engine.dispatch import ready, trigger
from sync_pipelines.engine.run import NotStartedError
from sync_pipelines.model.execution import Status
from tests.engine.moving import UPSERT, entry, run


def test_an_execution_moves_data_and_tells_what_it_did(world, engine, systems):
    """R62, R107."""
    sync = world.sync(streams=[UPSERT])

    report = run(world, engine, sync)

    found = entry(world, sync)
    assert report.outcome.status is Status.COMPLETED
    assert systems.rows() == [(n, n, f"orders {n}") for n in (1, 2, 3)]
    assert found.execution.status is Status.COMPLETED
    assert (found.counts.processed, found.counts.created, found.counts.updated) == (3, 3, 0)
    assert found.duration == timedelta(0)
    assert found.metadata["streams"][0]["watermark_to"] == "3"


def test_the_second_execution_moves_only_what_is_new(world, engine, systems):
    """R55, R57."""
    sync = world.sync(streams=[UPSERT])
    run(world, engine, sync)
    systems.streams[0].put({"id": 4, "seq": 4, "note": "new"})

    report = run(world, engine, sync)

    (result,) = report.results
    assert result.counts.created == 1
    assert result.counts.processed <= 2
    assert result.state_from == "3"
    assert result.watermark == "4"


def test_state_is_mirrored_where_people_see_it(world, engine, systems):
    """R54."""
    sync = world.sync(streams=[UPSERT])
    run(world, engine, sync)

    with world.catalog.begin() as db:
        rows = db.execute(select(StateRow.stream, StateRow.watermark)).all()

    assert rows == [("orders", "3")]


def test_an_attempt_starts_once(world, engine, systems):
    sync = world.sync(streams=[UPSERT])
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    engine.run(identity, attempt=1, run_id="run-1")

    with pytest.raises(NotStartedError, match="completed"):
        engine.run(identity, attempt=1, run_id="run-2")


def test_an_execution_whose_sync_is_busy_waits_and_comes_again(world, engine, systems):
    """R74."""
    sync = world.sync(streams=[UPSERT])
    pause = Pause()
    systems.reading.at(Point.READ, 1, pause)
    first = trigger(world.catalog, sync, now=world.clock(), queued=True)
    second = trigger(world.catalog, sync, now=world.clock(), queued=True)
    running = Thread(target=lambda: engine.run(first, attempt=1, run_id="run-1"))
    running.start()
    pause.reached.wait(60)

    with pytest.raises(NotStartedError, match="waits"):
        engine.run(second, attempt=1, run_id="run-2")

    pause.go_on.set()
    running.join()
    (launch,) = ready(world.catalog, world.clock.advance(seconds=10))
    assert launch.execution_id == second
    assert launch.attempt == 1


def test_live_progress_is_written_to_the_execution(world, engine, systems, monkeypatch):
    """R108."""
    monkeypatch.setattr(reporter, "INTERVAL_SECONDS", 0.01)
    sync = world.sync(streams=[UPSERT])
    pause = Pause()
    systems.writing.at(Point.WRITE, 1, pause)
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    running = Thread(target=lambda: engine.run(identity, attempt=1, run_id="run-1"))
    running.start()
    pause.reached.wait(60)

    found = entry(world, sync)
    for _ in range(200):
        if found.progress.get("rows_read"):
            break
        pause.go_on.wait(0.01)
        found = entry(world, sync)
    pause.go_on.set()
    running.join()

    assert found.progress["stream"] == "orders"
    assert found.progress["rows_read"] == 3
    assert found.progress["phase"] == "reading"
