"""The short way and the long way of following up an end come to the same."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from sync_pipelines.catalog import breakers, dead_letters, endings, events, executions
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.engine.aftermath import follow_up, follow_up_held
from sync_pipelines.engine.dead_letters import discard, redrive
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.breaker import Breaker
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.policy import Overlap, Policies
from sync_pipelines.model.sync import Sync, SyncStream
from tests.engine.ending import executions_of, finish, start
from tests.engine.sending import ON_WEBHOOK, events_of, processed, send
from tests.engine.settling import run
from tests.world import FakeClock, World, make_catalog

STREAMS = (SyncStream(name="orders"), SyncStream(name="items"))
ADAPTIVE = {"type": "adaptive", "least": "15m", "most": "6h"}
PATIENCE_SECONDS = 0.5
"""How long somebody who ought to wait is given to prove that they do not."""


@pytest.fixture(scope="module")
def catalog(postgres_url):
    catalog = make_catalog(postgres_url)
    yield catalog
    catalog.close()


def uneventful(world, execution_id):
    """Whether the short way is enough; as before afterwards."""
    with world.catalog.engine.connect() as db:
        return endings.mark_uneventful_for_all_tenants(db, execution_id, now=world.clock())


# --- the same, whatever has happened ---------------------------------------------


@dataclass
class Twin:
    """One of two tenants to whom the same happens."""

    world: World
    tenant: str
    orders: Sync = field(init=False)
    report: Sync = field(init=False)
    _numbers: count = field(default_factory=count)

    def __post_init__(self) -> None:
        self.orders = self.world.sync(f"{self.tenant}/orders", streams=STREAMS)
        self.report = self.world.sync(f"{self.tenant}/report")

    def fail(self) -> None:
        run(self.world, self.orders)

    def fail_left_behind(self) -> None:
        run(self.world, self.orders, followed=False)

    def complete(self) -> None:
        run(self.world, self.orders, Status.COMPLETED)

    def complete_left_behind(self) -> None:
        run(self.world, self.orders, Status.COMPLETED, followed=False)

    def complete_one_stream(self) -> None:
        """It closes the breaker, and does not what the letters of whole ones ask for."""
        run(self.world, self.orders, Status.COMPLETED, streams=("items",))

    def fail_report(self) -> None:
        run(self.world, self.report)

    def be_discarded(self) -> None:
        with self.world.catalog.begin() as db:
            discard(db, self._letters(db), tenant_id=self.orders.tenant_id, now=self.world.clock())

    def be_redriven(self) -> None:
        with self.world.catalog.begin() as db:
            redrive(db, self._letters(db), tenant_id=self.orders.tenant_id, now=self.world.clock())

    def cancel_what_waits(self) -> None:
        for one in self._waiting():
            cancel(self.world.catalog, one, now=self.world.clock())

    def follow(self) -> None:
        self._schedule(self.report, "follows", {"type": "after", "sync": "orders"})

    def follow_by_whole_name(self) -> None:
        cadence = {"type": "after", "sync": f"{self.tenant}/orders"}
        self._schedule(self.report, "follows too", cadence)

    def follow_another(self) -> None:
        self._schedule(self.orders, "follows", {"type": "after", "sync": "report"})

    def learn(self) -> None:
        self._schedule(self.orders, "learns", ADAPTIVE)

    def learn_in_report(self) -> None:
        self._schedule(self.report, "learns", ADAPTIVE)

    def run_often(self) -> None:
        self._schedule(self.orders, "often", {"type": "every", "minutes": 15})

    def send(self) -> None:
        self._schedule(self.orders, "listens", ON_WEBHOOK)
        send(self.world, self.orders.tenant_id, f"event {next(self._numbers)}")
        processed(self.world)

    def end(self, way: Callable[..., None], status: Status, *, waiting: bool) -> None:
        """Let the oldest that waits end, or one that is asked for now."""
        self.world.clock.advance(seconds=1)
        found = self._waiting() if waiting else []
        ended = found[0] if found else self._asked()
        self.world.clock.advance(seconds=1)
        start(self.world, ended)
        finish(self.world, ended, status)
        way(self.world.catalog, ended, self.world.clock())

    def _asked(self) -> UUID:
        return trigger(self.world.catalog, self.orders, now=self.world.clock())

    def _waiting(self) -> list[UUID]:
        found = executions_of(self.world, self.orders)
        return [one.id for one in found if one.status is Status.PENDING]

    def _schedule(self, sync: Sync, name: str, cadence: Mapping[str, object]) -> None:
        policies = Policies(overlap=Overlap.QUEUE)
        self.world.schedule(sync, cadence, name=name, policies=policies)

    def _letters(self, db) -> list[UUID]:
        found = dead_letters.list_letters(db, Which(), tenant_id=self.orders.tenant_id)
        return [letter.id for letter in found]


MOVES = [
    name
    for name, value in vars(Twin).items()
    if callable(value) and name != "end" and not name.startswith("_")
]

_TABLES = (
    "(SELECT id, tenant_id, name, is_active, pause_reason FROM sync.syncs)",
    "sync.sync_schedules",
    "sync.sync_executions",
    "sync.sync_decisions",
    "sync.sync_breakers",
    "sync.dead_letters",
    "sync.webhook_events",
)
_IDS = ["id", "tenant_id", "sync_id", "execution_id", "schedule_id", "event_id", "redriven_as"]


def everything(twin):
    """All that the catalog knows of a tenant, but for ids and its name."""
    found = {}
    with twin.world.catalog.begin() as db:
        for table in _TABLES:
            rows = db.scalars(
                text(
                    f"SELECT (to_jsonb(t) - CAST(:ids AS text[])) #- '{{execution_metadata,"
                    f"dead_letters}}' FROM {table} t WHERE tenant_id = :tenant"
                ),
                {"ids": _IDS, "tenant": twin.orders.tenant_id},
            )
            spelled = (json.dumps(row, sort_keys=True) for row in rows)
            found[table] = sorted(each.replace(twin.tenant, "acme") for each in spelled)
    return found


_pairs = count()


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    moves=st.lists(st.sampled_from(MOVES), max_size=6),
    status=st.sampled_from([Status.COMPLETED] * 5 + [Status.FAILED, Status.PARTIAL]),
    waiting=st.booleans(),
)
def test_whatever_has_happened_the_short_way_ends_as_the_long_way(catalog, moves, status, waiting):
    number = next(_pairs)
    outcomes = []
    for way, name in ((follow_up, f"short{number}"), (follow_up_held, f"long{number}")):
        twin = Twin(World(catalog, FakeClock()), name)
        for move in moves:
            twin.world.clock.advance(seconds=1)
            getattr(twin, move)()

        twin.end(way, status, waiting=waiting)

        outcomes.append(everything(twin))

    assert outcomes[0] == outcomes[1]


# --- when the short way is enough ------------------------------------------------


@pytest.mark.parametrize(
    "moves",
    [
        [],
        ["complete"],
        ["run_often", "learn_in_report", "follow_another"],
        ["fail", "complete"],
        ["fail_report"],
        ["send", "cancel_what_waits"],
    ],
)
def test_a_success_that_concerns_nobody_is_marked_by_one_statement(world, moves):
    twin = Twin(world, "acme")
    Twin(world, "globex").follow()
    for move in moves:
        getattr(twin, move)()
    cleared = [one.id for one in executions_of(world, twin.orders) if one.status.is_final]
    for execution_id in cleared:
        follow_up(world.catalog, execution_id, world.clock())

    ended = run(world, twin.orders, Status.COMPLETED, followed=False)

    assert uneventful(world, ended.id)


@pytest.mark.parametrize(
    "moves",
    [
        ["fail", "be_discarded"],
        ["fail", "complete_one_stream"],
        ["fail_left_behind"],
        ["complete_left_behind"],
        ["follow"],
        ["follow_by_whole_name"],
        ["learn"],
    ],
)
def test_a_success_that_may_concern_somebody_goes_the_long_way(world, moves):
    twin = Twin(world, "acme")
    for move in moves:
        world.clock.advance(seconds=1)
        getattr(twin, move)()

    ended = run(world, twin.orders, Status.COMPLETED, followed=False)

    assert not uneventful(world, ended.id)


def test_a_success_that_answers_an_event_goes_the_long_way(world):
    twin = Twin(world, "acme")
    twin.send()
    (answer,) = executions_of(world, twin.orders)

    finish(world, answer.id)

    assert not uneventful(world, answer.id)


@pytest.mark.parametrize("status", [Status.FAILED, Status.PARTIAL, Status.CANCELLED])
def test_what_did_not_succeed_goes_the_long_way(world, status):
    ended = run(world, world.sync(), status, followed=False)

    assert not uneventful(world, ended.id)


def test_what_has_not_ended_is_not_marked(world):
    running = trigger(world.catalog, world.sync(), now=world.clock())
    start(world, running)

    assert not uneventful(world, running)


# --- at the same time ------------------------------------------------------------


def test_a_success_that_concerns_nobody_waits_for_nobody(world):
    """Dispatchers hold a sync while they decide, and pass over one that is held."""
    sync = world.sync()
    ended = run(world, sync, Status.COMPLETED, followed=False)

    with ThreadPoolExecutor(1) as pool, world.catalog.begin() as db:
        endings.hold_sync(db, sync.id, tenant_id=sync.tenant_id)
        marked = pool.submit(follow_up, world.catalog, ended.id, world.clock())
        done, _ = wait([marked], timeout=30)

    assert done
    marked.result()


def test_a_failure_before_it_that_is_just_being_followed_up_is_waited_for(world):
    """Its breaker's memory is not to be seen yet, and is forgotten all the same."""
    sync = world.sync()
    failed = run(world, sync, followed=False)
    success = run(world, sync, Status.COMPLETED, followed=False)

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            endings.hold_sync(db, sync.id, tenant_id=sync.tenant_id)
            endings.mark_followed_up(db, failed, now=world.clock())
            breakers.put(db, sync.id, Breaker(failures=1), tenant_id=sync.tenant_id)
            following = pool.submit(follow_up, world.catalog, success.id, world.clock())
            wait([following], timeout=PATIENCE_SECONDS)
        following.result()

    with world.catalog.begin() as db:
        assert breakers.find(db, sync.id, tenant_id=sync.tenant_id) == Breaker()
        assert endings.find_ended_for_all_tenants(db, success.id) is None


def test_a_failure_and_the_success_after_it_followed_up_at_once_leave_nothing_open(world):
    syncs = [world.sync(f"acme/orders-{number}") for number in range(12)]
    ended = []
    for sync in syncs:
        ended.append(run(world, sync, followed=False).id)
        ended.append(run(world, sync, Status.COMPLETED, followed=False).id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: follow_up(world.catalog, one, world.clock()), ended))

    with world.catalog.begin() as db:
        known = breakers.find_for_all_tenants(db, [sync.id for sync in syncs])
        letters = dead_letters.list_letters(db, Which(), tenant_id=syncs[0].tenant_id)
    assert known == {}
    assert [str(letter.status) for letter in letters] == ["superseded"] * 12


def test_an_event_that_is_handed_on_to_an_execution_that_is_just_ending_is_processed(world):
    sync = world.sync()
    send(world, sync.tenant_id, "evt_1")
    (event,) = events_of(world, sync.tenant_id)
    success = trigger(world.catalog, sync, now=world.clock(), reason=Trigger.MANUAL)
    start(world, success)

    def ended():
        finish(world, success)
        follow_up(world.catalog, success, world.clock())

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            executions.lock_active(db, sync.id, tenant_id=sync.tenant_id)
            events.put_dispatched(db, event, sync_id=sync.id, execution_id=success)
            ending = pool.submit(ended)
            wait([ending], timeout=PATIENCE_SECONDS)
        ending.result()

    assert [one.status for one in events_of(world, sync.tenant_id)] == [EventStatus.PROCESSED]


def test_a_follower_that_appears_while_the_execution_is_being_settled_fires(world):
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    success = trigger(world.catalog, orders, now=world.clock())
    start(world, success)

    with world.catalog.begin() as db:
        running = executions.lock_for_all_tenants(db, success)
        executions.save(db, running, running.ended(Status.COMPLETED, world.clock()))
        world.schedule(report, {"type": "after", "sync": "orders"})
    follow_up(world.catalog, success, world.clock())

    assert len(executions_of(world, report)) == 1
