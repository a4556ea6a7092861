import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from threading import Thread

import pyarrow as pa
import pytest
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from connectors import registry
from connectors.arrow import field as column
from connectors.contract import Counts, Deletes, Stream, SyncMode, WriteMode
from connectors.errors import ConfigError, RateLimitedError, TransientError
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
from sync_pipelines.catalog import executions
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import StateRow
from sync_pipelines.engine import reporter
from sync_pipelines.engine.dispatch import ready, trigger
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.engine.run import Engine, NotStartedError
from sync_pipelines.engine.settle import cancel, settle_lost
from sync_pipelines.model.execution import Request, Status
from sync_pipelines.model.mapping import parse_mapping
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import SyncStream
from tests.world import World, make_catalog

SCHEMA = pa.schema(
    [column("id", pa.int64()), column("seq", pa.int64()), column("note", pa.string())]
)

UPSERT = SyncStream(
    name="orders",
    sync_mode=SyncMode.INCREMENTAL,
    write_mode=WriteMode.UPSERT,
    cursor_field="seq",
)


class NoConfig(BaseModel):
    """The memory connector needs none."""


def stream(name="orders", rows=3, ordered=False):
    offered = Stream(
        name=name, schema=SCHEMA, primary_key=("id",), cursor_field="seq", ordered=ordered
    )
    records = [{"id": n, "seq": n, "note": f"{name} {n}"} for n in range(1, rows + 1)]
    return MemoryStream(offered, list(records))


@dataclass
class Systems:
    """A source and a destination in memory, and the scripts of their faults."""

    streams: list[MemoryStream] = field(default_factory=lambda: [stream()])
    store: MemoryStore = field(default_factory=MemoryStore)
    reading: Script = field(default_factory=Script)
    writing: Script = field(default_factory=Script)

    def connector(self, name):
        return registry.Connector(
            name=name,
            title="Memory",
            config=NoConfig,
            source=lambda _: MemorySource(self.streams, script=self.reading),
            destination=lambda _: MemoryDestination(store=self.store, script=self.writing),
        )

    def rows(self, table="orders"):
        return sorted(
            (row["id"], row["seq"], row["note"])
            for row in self.store.records("orders", table) or ()
        )


@pytest.fixture
def systems(monkeypatch):
    made = Systems()
    monkeypatch.setattr(registry, "get", made.connector)
    return made


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


@pytest.fixture
def engine(world):
    return Engine(catalog=world.catalog, clock=world.clock, rng=Random(7))


def run(world, engine, sync, **request):
    identity = trigger(
        world.catalog, sync, now=world.clock(), request=Request(**request), queued=True
    )
    return engine.run(identity, attempt=1, run_id="run-1")


def entry(world, sync):
    with world.catalog.begin() as db:
        (found, *_) = histories.history(db, sync.id, tenant_id=sync.tenant_id)
    return found


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


def test_a_run_of_an_attempt_that_is_over_does_nothing(world, engine, systems):
    sync = world.sync(streams=[UPSERT])
    systems.reading.at(Point.READ, 1, failing(TransientError("down")))
    report = run(world, engine, sync)

    with pytest.raises(NotStartedError, match="attempt 1 has nothing to do"):
        engine.run(report.execution.id, attempt=1, run_id="run-2")


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


def test_an_incremental_append_doubles_nothing_at_the_edge_and_a_full_one_keeps_snapshots(
    world, engine, systems
):
    """R55, R70."""
    edge = SyncStream(
        name="orders",
        sync_mode=SyncMode.INCREMENTAL,
        write_mode=WriteMode.APPEND,
        cursor_field="seq",
        table="edge",
    )
    snapshots = SyncStream(name="orders", write_mode=WriteMode.APPEND, table="snapshots")
    for stream in (edge, snapshots):
        sync = world.sync(streams=[stream])
        run(world, engine, sync)
        run(world, engine, sync)

    assert len(systems.rows("edge")) == 3
    assert len(systems.rows("snapshots")) == 6


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


def test_a_full_resync_reads_everything_again_and_doubles_nothing(world, engine, systems):
    """R53."""
    sync = world.sync(streams=[UPSERT])
    run(world, engine, sync)

    report = run(world, engine, sync, full=True)

    assert report.results[0].counts.processed == 3
    assert report.results[0].counts.created == 0
    assert len(systems.rows()) == 3


def test_a_window_is_read_again_without_moving_the_state(world, engine, systems):
    sync = world.sync(streams=[UPSERT])
    run(world, engine, sync)

    report = run(world, engine, sync, window_start="1", window_end="3")

    assert report.results[0].counts.processed == 2
    assert report.results[0].watermark == "3"


def test_only_the_streams_that_were_asked_for_run(world, engine, systems):
    systems.streams.append(stream("refunds"))
    sync = world.sync(streams=[SyncStream(name="orders"), SyncStream(name="refunds")])

    report = run(world, engine, sync, streams=("refunds",))

    assert [result.stream for result in report.results] == ["refunds"]
    assert systems.rows("orders") == []


def test_a_policy_of_one_attempt_never_retries(world, engine, systems):
    """R86."""
    sync = world.sync(streams=[UPSERT], retry=RetryPolicy(max_attempts=1))
    systems.reading.at(Point.READ, 1, failing(TransientError("down")))

    assert run(world, engine, sync).outcome.status is Status.FAILED


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        (SyncStream(name="orders", columns=("id", "sq")), "'seq'"),
        (
            SyncStream(name="orders", write_mode=WriteMode.UPSERT, primary_key=()),
            "no primary key",
        ),
        (SyncStream(name="orders", primary_key=("key",)), "no column 'key'"),
    ],
)
def test_what_the_source_cannot_give_is_refused_before_a_record_moves(
    world, engine, systems, configured, message
):
    sync = world.sync(streams=[configured])

    report = run(world, engine, sync)

    assert report.outcome.failure.error_class is ErrorClass.CONFIG
    assert message in report.outcome.failure.message
    assert systems.rows() == []


def test_an_incremental_replace_is_refused_when_it_is_configured():
    with pytest.raises(ValueError, match="upsert or append"):
        SyncStream(name="orders", sync_mode=SyncMode.INCREMENTAL)


def test_a_failure_before_the_first_record_names_what_helps(world, engine, systems, monkeypatch):
    def refuse(name):
        raise ConfigError(f"unknown connector {name!r}")

    monkeypatch.setattr(registry, "get", refuse)
    sync = world.sync(streams=[UPSERT])

    report = run(world, engine, sync)

    assert report.outcome.status is Status.FAILED
    assert report.results[0].counts == Counts()


def test_what_the_source_says_is_deleted_is_deleted_by_its_mapped_key(world, engine, systems):
    (held,) = systems.streams
    held.stream = replace(held.stream, tells_deletes=True)
    mapping = parse_mapping({"rename": {"id": "number"}, "cast": {"number": "text"}})
    sync = world.sync(streams=[replace(UPSERT, deletes=Deletes.HARD, mapping=mapping)])
    run(world, engine, sync)
    held.delete({"id": 2})

    report = run(world, engine, sync)

    found = systems.store.records("orders", "orders") or ()
    assert sorted(row["number"] for row in found) == ["1", "3"]
    assert report.results[0].counts.deleted == 1


def test_deletes_of_a_source_that_does_not_tell_them_need_a_full_read(world, engine, systems):
    sync = world.sync(streams=[replace(UPSERT, deletes=Deletes.SOFT)])

    report = run(world, engine, sync)

    failure = report.results[0].failure
    assert failure is not None
    assert "does not tell what is deleted, so deletes: soft needs sync_mode full" in failure.message


def test_deletes_are_told_by_the_source_s_own_key_and_by_no_other(world, engine, systems):
    """Its rows would never be found by another one, and stay for ever."""
    (held,) = systems.streams
    held.stream = replace(held.stream, tells_deletes=True)
    other = held.stream.schema.names[1]
    sync = world.sync(streams=[replace(UPSERT, deletes=Deletes.SOFT, primary_key=(other,))])

    report = run(world, engine, sync)

    failure = report.results[0].failure
    assert failure is not None
    assert f"by its own key (id), and primary_key is ({other})" in failure.message
    assert "leave primary_key out" in failure.message
