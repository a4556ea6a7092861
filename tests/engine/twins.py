"""Tenants to whom the same happens, and whose ends are followed up in different ways."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import text

from sync_pipelines.catalog import dead_letters, endings, executions
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.engine.aftermath import follow_up, follow_up_held
from sync_pipelines.engine.dead_letters import discard, redrive
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.outcome import ErrorClass, Failure, Outcome
from sync_pipelines.engine.settle import cancel, settle
from sync_pipelines.model.execution import Status
from sync_pipelines.model.policy import Overlap, Policies
from sync_pipelines.model.sync import Sync, SyncStream
from tests.engine.ending import executions_of, start
from tests.engine.sending import ON_WEBHOOK, processed, send
from tests.engine.settling import left_behind, run
from tests.world import World

STREAMS = (SyncStream(name="orders"), SyncStream(name="items"))
Way: TypeAlias = Callable[[World, UUID, Outcome], None]
ADAPTIVE = {"type": "adaptive", "least": "15m", "most": "6h"}


def uneventful(world, ended):
    """Whether the short ways are enough, which agree; as before afterwards."""
    with world.catalog.engine.connect() as db:
        unnoticed = endings.mark_unnoticed(db, ended, now=world.clock())
        db.rollback()
        uneventful = endings.mark_uneventful_for_all_tenants(db, ended.id, now=world.clock())
    assert unnoticed == uneventful
    return uneventful


def as_it_is_settled(world: World, execution_id: UUID, outcome: Outcome) -> None:
    """What can be marked with its outcome, is."""
    with world.catalog.begin() as db:
        running = executions.lock_for_all_tenants(db, execution_id)
        settled = settle(db, running, outcome, (), now=world.clock())
    if settled.is_to_follow_up:
        follow_up(world.catalog, execution_id, world.clock())


def by_one_statement(world: World, execution_id: UUID, outcome: Outcome) -> None:
    """What can be marked after its outcome, is."""
    _leave_behind(world, execution_id, outcome)
    follow_up(world.catalog, execution_id, world.clock())


def with_all_held(world: World, execution_id: UUID, outcome: Outcome) -> None:
    """The long way."""
    _leave_behind(world, execution_id, outcome)
    follow_up_held(world.catalog, execution_id, world.clock())


def _leave_behind(world: World, execution_id: UUID, outcome: Outcome) -> None:
    with world.catalog.begin() as db:
        running = executions.lock_for_all_tenants(db, execution_id)
        left_behind(db, running, outcome, now=world.clock())


WAYS = (as_it_is_settled, by_one_statement, with_all_held)


@dataclass
class Twin:
    """One of some tenants to whom the same happens."""

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

    def end(self, way: Way, status: Status, *, waiting: bool) -> None:
        """Let the oldest that waits end, or one that is asked for now."""
        self.world.clock.advance(seconds=1)
        found = self._waiting() if waiting else []
        ended = found[0] if found else self._asked()
        self.world.clock.advance(seconds=1)
        start(self.world, ended)
        failure = Failure(error_class=ErrorClass.TRANSIENT, message="no luck")
        completed = status is Status.COMPLETED
        way(self.world, ended, Outcome(status=status, failure=None if completed else failure))

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
