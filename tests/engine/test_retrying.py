from dataclasses import replace
from datetime import timedelta
from random import Random

import pyarrow as pa
import pytest
from pydantic import BaseModel

from connectors import registry
from connectors.arrow import field as column
from connectors.contract import Committed, State, Stream, SyncMode, WriteMode
from connectors.errors import AuthError, ConfigError, RateLimitedError, TransientError
from connectors.testing.memory import (
    MemoryDestination,
    MemorySource,
    MemoryStore,
    MemoryStream,
    Point,
    Script,
    failing,
)
from sync_pipelines.catalog import executions
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine import move
from sync_pipelines.engine.dispatch import ready, trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retry import PATIENCE, RetryPolicy
from sync_pipelines.model.sync import SyncStream
from tests.world import START

SCHEMA = pa.schema([column("id", pa.int64()), column("seq", pa.int64())])
ORDERS = SyncStream(
    name="orders",
    sync_mode=SyncMode.INCREMENTAL,
    write_mode=WriteMode.UPSERT,
    cursor_field="seq",
)
TWO = RetryPolicy(max_attempts=2, initial=timedelta(seconds=2), jitter=0)


class NoConfig(BaseModel):
    """The memory connector needs none."""


class Pages(MemorySource):
    """Gives a few records at a time."""

    rows = 10

    def read(self, selection, state, encoding):
        return super().read(replace(selection, batch_rows=self.rows), state, encoding)


class Flaky:
    """A source of 2000 records whose line is cut at the n-th page of every attempt."""

    def __init__(self, rows=10):
        offered = Stream(
            name="orders", schema=SCHEMA, primary_key=("id",), cursor_field="seq", ordered=True
        )
        self.records = MemoryStream(offered, [{"id": n, "seq": n} for n in range(1, 2001)])
        self.store = MemoryStore()
        self.error = TransientError("the line was cut")
        self.fails_at = 1
        self.rows = rows

    def connector(self, name):
        return registry.Connector(
            name=name,
            title="Memory",
            config=NoConfig,
            source=lambda _: self.source(),
            destination=lambda _: MemoryDestination(store=self.store),
        )

    def source(self):
        script = Script().at(Point.READ, self.fails_at, failing(self.error))
        opened = Pages([self.records], script=script)
        Pages.rows = self.rows
        return opened

    @property
    def arrived(self):
        return len(self.store.records("orders", "orders") or ())


@pytest.fixture
def flaky(monkeypatch):
    made = Flaky()
    monkeypatch.setattr(registry, "get", made.connector)
    monkeypatch.setattr(move, "CHECKPOINT_ROWS", 1)
    return made


class Attempts:
    """Runs an execution's attempts, each as soon as the dispatcher lets it start."""

    def __init__(self, world, sync):
        self.world = world
        self.engine = Engine(catalog=world.catalog, clock=world.clock, rng=Random(7))
        self.id = trigger(world.catalog, sync, now=world.clock(), queued=True)
        self.number = 1
        self.waits = []

    def next(self):
        report = self.engine.run(self.id, attempt=self.number, run_id=f"run-{self.number}")
        if report.outcome.retry_at is not None:
            self.waits.append((report.outcome.retry_at - self.world.clock()).total_seconds())
            self.world.clock.now = report.outcome.retry_at
            (launch,) = ready(self.world.catalog, self.world.clock())
            self.number = launch.attempt
        return report.execution

    def all(self):
        while not (ended := self.next()).status.is_final:
            pass
        return ended


def test_an_execution_that_gets_further_each_time_has_ten_times_the_attempts(world, flaky):
    """R86: the budget is larger while attempts make progress; backoff starts again."""
    flaky.fails_at = 3
    attempts = Attempts(world, world.sync(streams=[ORDERS], retry=TWO))

    ended = attempts.all()

    assert ended.status is Status.FAILED
    assert ended.attempt == PATIENCE * 2
    assert attempts.waits == [2.0] * (PATIENCE * 2 - 1)
    assert flaky.arrived > 150


def test_an_execution_that_moves_nothing_stops_after_its_attempts(world, flaky):
    """R85, R86."""
    policy = replace(TWO, max_attempts=4)
    attempts = Attempts(world, world.sync(streams=[ORDERS], retry=policy))

    ended = attempts.all()

    assert ended.status is Status.FAILED
    assert ended.attempt == 4
    assert attempts.waits == [2, 4, 8]


def test_an_attempt_that_moved_data_gives_the_whole_budget_back(world, flaky):
    attempts = Attempts(world, world.sync(streams=[ORDERS], retry=replace(TWO, max_attempts=3)))
    fruitless = []

    for fails_at in (1, 1, 3, 1, 1, 1):
        flaky.fails_at = fails_at
        ended = attempts.next()
        fruitless.append(ended.fruitless)

    assert fruitless == [1, 2, 0, 1, 2, 2]
    assert attempts.waits == [2, 4, 2, 2, 4]
    assert (ended.status, ended.attempt) == (Status.FAILED, 6)


def test_reading_the_edge_of_the_state_again_is_no_progress(world, flaky):
    """An attempt that commits only what the one before had committed gets nowhere."""
    flaky.rows, flaky.fails_at = 1, 3
    attempts = Attempts(world, world.sync(streams=[ORDERS], retry=TWO))

    ended = attempts.all()

    assert ended.attempt == 3
    assert flaky.arrived == 1


def test_a_finished_stream_is_progress_once_although_another_fails(world, flaky, monkeypatch):
    """What an earlier attempt of the execution has counted is not counted again."""
    other = MemoryStream(replace(flaky.records.stream, name="refunds"), [{"id": 1, "seq": 1}])
    opened: list[Script] = []

    def source():
        cut_at = 1 if opened else 2
        opened.append(Script().at(Point.READ, cut_at, failing(flaky.error)))
        return Pages([other, flaky.records], script=opened[-1])

    monkeypatch.setattr(flaky, "source", source)
    streams = [SyncStream(name="refunds"), ORDERS]
    attempts = Attempts(world, world.sync(streams=streams, retry=TWO))

    fruitless = [attempts.next().fruitless for _ in range(2)]
    last = attempts.next()

    assert fruitless == [0, 1]
    assert (last.status, last.attempt) == (Status.PARTIAL, 3)


def test_a_retry_after_longer_than_the_ceiling_is_obeyed(world, flaky):
    """R78, R93: and nothing is started before."""
    flaky.error = RateLimitedError("slow down", retry_after=timedelta(hours=6))
    attempts = Attempts(world, world.sync(streams=[ORDERS], retry=TWO))

    attempts.next()

    assert attempts.waits == [timedelta(hours=6).total_seconds()]


@pytest.mark.parametrize("error", [ConfigError("no such column"), AuthError("wrong password")])
def test_what_only_the_tenant_can_mend_is_not_retried_even_after_progress(world, flaky, error):
    """R85."""
    flaky.error, flaky.fails_at = error, 3

    ended = Attempts(world, world.sync(streams=[ORDERS], retry=TWO)).all()

    assert (ended.status, ended.attempt) == (Status.FAILED, 1)
    assert flaky.arrived > 0


def test_one_attempt_means_one_even_if_it_moved_data(world, flaky):
    """R86."""
    flaky.fails_at = 3
    never = replace(TWO, max_attempts=1)

    ended = Attempts(world, world.sync(streams=[ORDERS], retry=never)).all()

    assert ended.attempt == 1


def lose(world, execution_id, *, committed_at=None, catalog=None):
    """An attempt whose process dies, after it had committed something or nothing."""
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        running = found.started(world.clock(), f"run-{found.attempt}")
        executions.save(db, found, running)
        if committed_at is not None:
            held = Committed(state=State(version=1, value={"n": 1}), committed_at=committed_at)
            executions.mirror_state(db, running, "orders", held)
    lost = settle_lost(
        catalog or world.catalog,
        execution_id,
        attempt=running.attempt,
        now=world.clock.advance(minutes=1),
        rng=Random(1),
    )
    if lost.status is Status.PENDING:
        world.clock.now = lost.next_attempt_at
        ready(world.catalog, world.clock())
    return lost


def test_a_lost_attempt_that_had_committed_something_is_not_counted_as_fruitless(world):
    sync = world.sync(retry=TWO)
    execution_id = trigger(world.catalog, sync, now=world.clock(), queued=True)

    first = lose(world, execution_id, committed_at=START + timedelta(seconds=30))
    second = lose(world, execution_id)
    third = lose(world, execution_id)

    assert (first.status, first.fruitless) == (Status.PENDING, 0)
    assert first.next_attempt_at == START + timedelta(minutes=1, seconds=2)
    assert (second.status, second.fruitless) == (Status.PENDING, 1)
    assert (third.status, third.attempt) == (Status.FAILED, 3)


def test_what_another_execution_committed_is_no_progress_of_a_lost_one(world):
    sync = world.sync(retry=TWO)
    other = trigger(world.catalog, sync, now=world.clock(), queued=True)
    lose(world, other, committed_at=START + timedelta(days=1))
    execution_id = trigger(world.catalog, sync, now=world.clock(), queued=True)

    lost = lose(world, execution_id)

    assert lost.fruitless == 1


def test_a_lost_attempt_whose_configuration_cannot_be_read_is_settled_all_the_same(world):
    """One tenant's lost key does not keep the others' dead from being found."""
    sync = world.sync(source={"password": "x"})
    execution_id = trigger(world.catalog, sync, now=world.clock(), queued=True)
    blind = Catalog(engine=world.catalog.engine, secrets=SecretBox((new_key(),)))

    lost = lose(world, execution_id, catalog=blind)

    assert lost.status is Status.PENDING
