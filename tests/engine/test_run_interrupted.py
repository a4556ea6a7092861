"""Cancelled or interrupted, an execution says so, and what was committed stays."""

import signal
from contextlib import contextmanager, suppress
from threading import Thread

import pytest
from sqlalchemy.exc import OperationalError

from connectors.errors import TransientError
from connectors.testing.memory import (
    MemorySource,
    Pause,
    Point,
    failing,
)
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine import reporter
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.execution import Status
from tests.engine.moving import UPSERT, entry, run, stream


def test_cancelling_keeps_what_was_committed_and_says_so(world, engine, systems, monkeypatch):
    """R82."""
    monkeypatch.setattr(reporter, "INTERVAL_SECONDS", 0.01)
    systems.streams = [stream(rows=120_000, ordered=True)]
    sync = world.sync(streams=[UPSERT])
    pause = Pause()
    systems.writing.at(Point.WRITE, 2, pause)
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    reports = []
    running = Thread(target=lambda: reports.append(engine.run(identity, attempt=1, run_id="run-1")))
    running.start()
    pause.reached.wait(60)

    cancel(world.catalog, identity, now=world.clock(), tenant_id=sync.tenant_id)
    Thread(target=lambda: (pause.go_on.wait(0.5), pause.go_on.set())).start()
    running.join()

    (report,) = reports
    assert report.outcome.status is Status.CANCELLED
    assert "committed stays" in report.outcome.failure.message
    assert 0 < len(systems.rows()) < 120_000


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), (Status.CANCELLED, 1)),
        (OperationalError("COMMIT", {}, Exception("gone")), (Status.PENDING, 2)),
    ],
    ids=["interruption", "lost connection"],
)
def test_whatever_comes_right_after_the_claim_settles_the_attempt(
    world, engine, systems, monkeypatch, error, expected
):
    """The claim is durable, and nothing has begun: it must not look as if it ran on."""
    sync = world.sync(streams=[UPSERT])
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    begin, errors = Catalog.begin, [error]

    @contextmanager
    def interrupted(catalog):
        with begin(catalog) as db:
            yield db
        while errors:
            raise errors.pop()

    monkeypatch.setattr(Catalog, "begin", interrupted)
    with pytest.raises(type(error)):
        engine.run(identity, attempt=1, run_id="run-1")

    found = entry(world, sync).execution
    assert (found.status, found.attempt) == expected


def test_an_interruption_before_the_claim_leaves_the_attempt_to_be_run(
    world, engine, systems, monkeypatch
):
    sync = world.sync(streams=[UPSERT])
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    begin, errors = Catalog.begin, [KeyboardInterrupt()]

    @contextmanager
    def interrupted(catalog):
        with begin(catalog) as db:
            yield db
            while errors:
                raise errors.pop()

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Catalog, "begin", interrupted)
        engine.run(identity, attempt=1, run_id="run-1")
    report = engine.run(identity, attempt=1, run_id="run-2")

    assert report.outcome.status is Status.COMPLETED


def test_an_interruption_from_outside_settles_the_execution_and_goes_on(world, engine, systems):
    sync = world.sync(streams=[UPSERT])
    systems.reading.at(Point.READ, 1, failing(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        run(world, engine, sync)

    found = entry(world, sync)
    assert found.execution.status is Status.CANCELLED
    assert found.error_details["streams"]["orders"]["error_class"] == "cancelled"


def swallowed():
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def made_into_another_error():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__") from error


@pytest.mark.parametrize("lost", [swallowed, made_into_another_error])
def test_an_interruption_that_was_lost_on_its_way_is_heeded_all_the_same(
    world, engine, systems, lost
):
    """In a destructor or while a class is made, Python loses it."""
    sync = world.sync(streams=[UPSERT])
    systems.reading.at(Point.READ, 1, lost)
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(world, engine, sync)

    assert entry(world, sync).execution.status is Status.CANCELLED
    assert signal.getsignal(signal.SIGINT) is before


def test_cancelling_ends_a_read_that_waits(world, engine, systems, monkeypatch):
    """R82: a source that can be interrupted is, and the execution ends at once."""
    waits, interrupted = Pause(), []

    def interrupt(self):
        interrupted.append(True)
        waits.go_on.set()

    monkeypatch.setattr(MemorySource, "interrupt", interrupt, raising=False)
    systems.streams = [stream(rows=120_000, ordered=True)]
    systems.reading.at(Point.READ, 3, waits)
    systems.writing.at(Point.WRITE, 2, failing(TransientError("the disk is full")))

    report = run(world, engine, world.sync(streams=[UPSERT]))

    assert interrupted
    assert report.outcome.failure.message == "the disk is full"
