"""What becomes of an attempt that fails: settled once, retried in time, nothing done twice."""

from datetime import timedelta
from random import Random

import pytest

from connectors import registry
from connectors.contract import Counts, WriteMode
from connectors.errors import ConfigError, RateLimitedError, TransientError
from connectors.testing.memory import (
    MemorySource,
    Point,
    failing,
)
from sync_pipelines.catalog import executions
from sync_pipelines.engine.dispatch import ready, trigger
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.engine.run import NotStartedError
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import SyncStream
from tests.engine.moving import UPSERT, entry, run, stream


def test_a_run_of_an_attempt_that_is_over_does_nothing(world, engine, systems):
    sync = world.sync(streams=[UPSERT])
    systems.reading.at(Point.READ, 1, failing(TransientError("down")))
    report = run(world, engine, sync)

    with pytest.raises(NotStartedError, match="attempt 1 has nothing to do"):
        engine.run(report.execution.id, attempt=1, run_id="run-2")


def test_a_failed_attempt_is_retried_later_and_goes_on_from_its_checkpoint(world, engine, systems):
    """R63, R85: what was committed is not read again, counts go on."""
    systems.streams = [stream(rows=120_000, ordered=True)]
    sync = world.sync(streams=[UPSERT])
    systems.reading.at(Point.READ, 3, failing(TransientError("the line was cut")))

    first = run(world, engine, sync)
    held = len(systems.rows())
    world.clock.advance(seconds=5)
    (launch,) = ready(world.catalog, world.clock())
    second = engine.run(launch.execution_id, attempt=launch.attempt, run_id="run-2")

    found = entry(world, sync)
    assert first.outcome.status is Status.PENDING
    assert 0 < held < 120_000
    assert launch.attempt == 2
    assert second.outcome.status is Status.COMPLETED
    assert len(systems.rows()) == 120_000
    assert found.counts.created == 120_000
    assert found.attempts[0]["error_class"] == "transient"
    assert found.attempts[0]["status"] == "retried"


def test_a_config_error_is_final_at_once(world, engine, systems):
    sync = world.sync(streams=[SyncStream(name="ordrs")])

    report = run(world, engine, sync)

    found = entry(world, sync)
    assert report.outcome.status is Status.FAILED
    assert found.execution.status is Status.FAILED
    assert "orders" in found.error_message
    assert found.error_details["streams"]["ordrs"]["error_class"] == "config"


def test_a_stream_that_fails_does_not_stop_the_others(world, engine, systems):
    """R65."""
    systems.streams.append(stream("refunds"))
    sync = world.sync(streams=[SyncStream(name="missing"), SyncStream(name="refunds")])

    report = run(world, engine, sync)

    assert report.outcome.status is Status.PARTIAL
    assert len(systems.rows("refunds")) == 3


def test_a_stream_that_was_finished_is_not_done_again_by_the_retry(world, engine, systems):
    systems.streams.append(stream("refunds"))
    sync = world.sync(streams=[SyncStream(name="orders"), SyncStream(name="refunds")])
    systems.reading.at(Point.READ, 2, failing(TransientError("down")))
    run(world, engine, sync)
    reads = systems.reading.reached(Point.READ)

    world.clock.advance(seconds=5)
    (launch,) = ready(world.catalog, world.clock())
    report = engine.run(launch.execution_id, attempt=2, run_id="run-2")

    assert report.outcome.status is Status.COMPLETED
    assert systems.reading.reached(Point.READ) == reads + 1
    assert [result.counts.processed for result in report.results] == [3, 3]


def test_a_provider_that_asks_to_wait_is_waited_for(world, engine, systems):
    """R78, R93."""
    sync = world.sync(streams=[UPSERT])
    slow = RateLimitedError("slow down", retry_after=timedelta(minutes=20))
    systems.reading.at(Point.READ, 1, failing(slow))

    report = run(world, engine, sync)

    assert report.outcome.retry_at >= world.clock() + timedelta(minutes=20)
    assert ready(world.catalog, world.clock.advance(minutes=19)) == []


def test_a_commit_whose_answer_was_lost_is_not_done_twice(world, engine, systems):
    """R70: the data is durable, the attempt does not know; the retry finds it finished."""
    sync = world.sync(streams=[SyncStream(name="orders", write_mode=WriteMode.APPEND)])
    systems.writing.at(Point.AFTER_COMMIT, 1, failing(TransientError("connection lost")))
    run(world, engine, sync)

    world.clock.advance(seconds=5)
    (launch,) = ready(world.catalog, world.clock())
    report = engine.run(launch.execution_id, attempt=2, run_id="run-2")

    assert report.outcome.status is Status.COMPLETED
    assert systems.rows() == [(n, n, f"orders {n}") for n in (1, 2, 3)]
    assert entry(world, sync).counts.created == 3


def test_an_attempt_whose_process_died_is_settled_once_and_retried(world, engine, systems):
    sync = world.sync(streams=[UPSERT])
    identity = trigger(world.catalog, sync, now=world.clock(), queued=True)
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, identity)
        executions.save(db, found, found.started(world.clock(), "run-1"))
    lost = {"attempt": 1, "now": world.clock(), "rng": Random(1)}

    first = settle_lost(world.catalog, identity, **lost)
    second = settle_lost(world.catalog, identity, **lost)
    with world.catalog.begin() as db:
        executions.save(db, first, first.started(world.clock(), "run-2"))
    third = settle_lost(world.catalog, identity, **lost)

    assert first.status is Status.PENDING
    assert first.attempt == 2
    assert second is None
    assert third is None
    assert entry(world, sync).execution.status is Status.RUNNING
    assert entry(world, sync).attempts[0]["error_class"] == str(ErrorClass.LOST)


def test_an_error_while_its_ends_are_closed_is_retried_and_not_taken_for_a_cancellation(
    world, engine, systems, monkeypatch
):
    sync = world.sync(streams=[UPSERT])

    def close(self):
        raise ConnectionError("the server went away")

    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(MemorySource, "close", close)
        run(world, engine, sync)

    found = entry(world, sync).execution
    assert (found.status, found.attempt) == (Status.PENDING, 2)


def test_a_policy_of_one_attempt_never_retries(world, engine, systems):
    """R86."""
    sync = world.sync(streams=[UPSERT], retry=RetryPolicy(max_attempts=1))
    systems.reading.at(Point.READ, 1, failing(TransientError("down")))

    assert run(world, engine, sync).outcome.status is Status.FAILED


def test_a_failure_before_the_first_record_names_what_helps(world, engine, systems, monkeypatch):
    def refuse(name):
        raise ConfigError(f"unknown connector {name!r}")

    monkeypatch.setattr(registry, "get", refuse)
    sync = world.sync(streams=[UPSERT])

    report = run(world, engine, sync)

    assert report.outcome.status is Status.FAILED
    assert report.results[0].counts == Counts()
