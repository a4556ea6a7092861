"""Histories in which schedules answer events, follow other syncs, and learn how long to wait.

All that may happen in the other histories happens here too, and what must hold there
must hold here. ``SYNC_TEST_HISTORIES`` is how many histories to live through.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from sqlalchemy import select

from sync_pipelines.catalog import events, executions, schedules
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import DecisionRow, EventRow, ExecutionRow, ScheduleRow
from sync_pipelines.engine import steering
from sync_pipelines.engine.aftermath import LEFT_BEHIND, follow_up, follow_up_left_behind
from sync_pipelines.engine.dispatch import ready
from sync_pipelines.engine.events import process
from sync_pipelines.model.cadence import Adaptive, Every
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.execution import Status
from sync_pipelines.model.kinds import EventTrigger
from sync_pipelines.model.policy import Pause
from tests.engine.living import MINUTE, Life, killed_at, live, numbered_catalog, present
from tests.engine.test_histories import History
from tests.timing import strategies
from tests.timing.test_laws import near_changes
from tests.world import World

HISTORIES = int(os.environ.get("SYNC_TEST_HISTORIES", "10"))
ANSWERING = ("on-webhook", "at-once", "after-orders")

adaptives = st.tuples(st.integers(240, 1500), st.integers(1, 1500)).map(
    lambda pair: Adaptive(least=pair[0], most=sum(pair))
)


class Answers(History):
    """The same, with events, a sync that follows another, and intervals that are learned."""

    cadences = st.one_of(Life.cadences, adaptives)

    @initialize(data=st.data(), near=near_changes())
    def begin(self, data, near) -> None:
        self.furnish(data, near)
        world = World(self.catalog, self.clock)
        for name, key, cadence in (
            ("on-webhook", "acme/orders", {"type": "event", "trigger": "webhook"}),
            ("at-once", "zeta/orders", {"type": "realtime"}),
            ("after-orders", "acme/people", {"type": "after", "sync": "orders"}),
        ):
            policies = data.draw(strategies.policies_about(self.clock()))
            world.schedule(self.syncs[key], cadence, name=name, policies=policies)

    # --- what happens outside ------------------------------------------------------------

    @rule(key=st.sampled_from(["acme/orders", "zeta/orders"]), number=st.integers(1, 9))
    def send(self, key: str, number: int) -> None:
        """Sometimes again, under an id that was there before."""
        with self.catalog.begin() as db:
            events.accept(
                db,
                Event(
                    id=uuid4(),
                    tenant_id=self.syncs[key].tenant_id,
                    source=EventTrigger.WEBHOOK,
                    platform="database",
                    event_id=str(number),
                    event_type="order.paid",
                    received_at=self.clock(),
                ),
            )

    @rule(name=st.sampled_from(ANSWERING), until=st.none() | st.timedeltas(MINUTE, 99 * MINUTE))
    def stop_answering(self, name: str, until: timedelta | None) -> None:
        end = None if until is None else self.clock() + until
        with self.catalog.begin() as db:
            pause = Pause(reason="stocktaking", until=end)
            steering.pause_schedule(db, self._answering(name, db), pause, now=self.clock())

    @rule(name=st.sampled_from(ANSWERING))
    def go_on_answering(self, name: str) -> None:
        with self.catalog.begin() as db:
            steering.resume_schedule(db, self._answering(name, db), now=self.clock())

    # --- what machines do ----------------------------------------------------------------

    @rule()
    def process_events(self) -> None:
        process(self.catalog, self.clock())
        assert EventStatus.PENDING not in self._statuses()

    @rule(statement=st.integers(1, 30))
    def die_while_processing(self, statement: int) -> None:
        with killed_at(self.catalog, statement):
            process(self.catalog, self.clock())
        self.process_events()

    @rule(most=st.integers(1, 3), statement=st.integers(1, 40))
    def die_while_following_up(self, most: int, statement: int) -> None:
        """The execution is settled; what its end brings about is done by whoever looks next."""
        ready(self.catalog, self.clock())
        self.let_work(most, None)
        for execution_id in self._settled(most):
            with self._learning(), killed_at(self.catalog, statement):
                follow_up(self.catalog, execution_id, self.clock())
        self.clock.now += LEFT_BEHIND + MINUTE
        self.attend()

    def follow(self, execution_id: UUID) -> None:
        with self._learning():
            super().follow(execution_id)

    def attend(self) -> None:
        with self._learning():
            follow_up_left_behind(self.catalog, self.clock())
        process(self.catalog, self.clock())

    def _settled(self, most: int) -> list[UUID]:
        with self.catalog.begin() as db:
            running = select(ExecutionRow.id).where(ExecutionRow.status == Status.RUNNING)
            ids = list(db.scalars(running.order_by(ExecutionRow.id)))[:most]
            for execution_id in ids:
                found = executions.lock_for_all_tenants(db, execution_id)
                executions.save(db, found, found.ended(Status.COMPLETED, self.clock()))
        return ids

    @contextmanager
    def _learning(self) -> Iterator[None]:
        """What was due at an interval is expected of it, up to where another was learned."""
        learners = [
            one for one in self.followed.values() if one.version.learns and not one.is_removed
        ]
        before = {one.name: self._row(one.name) for one in learners}
        yield
        for one in learners:
            row = self._row(one.name)
            if row["learned"] == before[one.name]["learned"]:
                continue
            assert one.version.learns is not None
            cadence, anchor = present(one.version.learns, row)
            assert isinstance(cadence, Every)
            assert one.version.learns.least <= cadence.minutes <= one.version.learns.most
            one.close(self.clock(), before[one.name]["decided_until"])
            one.become(replace(one.version, cadence=cadence, anchor=anchor), self.clock())

    # --- what must hold ------------------------------------------------------------------

    @invariant()
    def every_event_is_answered_by_what_started_after_it_or_has_its_reason(self) -> None:
        if not hasattr(self, "followed"):
            return
        with self.catalog.begin() as db:
            found = list(db.execute(select(EventRow.__table__)).mappings())
            answers = {
                row["id"]: row for row in db.execute(select(ExecutionRow.__table__)).mappings()
            }
        for one in found:
            if one["status"] in (EventStatus.IGNORED, EventStatus.DEAD):
                assert one["reason"], one
            if one["status"] not in (EventStatus.DISPATCHED, EventStatus.PROCESSED):
                continue
            answer = answers[one["execution_id"]]
            assert answer["started_at"] is None or answer["started_at"] >= one["received_at"], one
            if one["status"] == EventStatus.PROCESSED:
                assert answer["status"] == Status.COMPLETED, one
        assert len(found) == len({(one["tenant_id"], one["event_id"]) for one in found})

    @invariant()
    def a_follower_fires_once_for_each_success_of_what_it_waits_for(self) -> None:
        if not hasattr(self, "followed"):
            return
        with self.catalog.begin() as db:
            succeeded = select(ExecutionRow.completed_at).where(
                ExecutionRow.sync_id == self.syncs["acme/orders"].id,
                ExecutionRow.status == Status.COMPLETED,
                ExecutionRow.followed_up_at.is_not(None),
            )
            ends = sorted(db.scalars(succeeded))
            fired = select(DecisionRow.__table__).where(DecisionRow.schedule_name == "after-orders")
            rows = list(db.execute(fired.order_by(DecisionRow.due_at)).mappings())
        assert [row["count"] for row in rows] == [1] * len(ends)
        late = [row["due_at"] - end for row, end in zip(rows, ends, strict=True)]
        assert all(timedelta(0) <= one < timedelta(milliseconds=1) for one in late), late

    @invariant()
    def no_instant_of_any_schedule_has_two_executions(self) -> None:
        with self.catalog.begin() as db:
            query = select(ExecutionRow.schedule_id, ExecutionRow.due_at)
            rows = db.execute(query.where(ExecutionRow.due_at.is_not(None))).all()
        assert all(number == 1 for number in Counter(map(tuple, rows)).values())

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "followed"):
            assert not {EventStatus.PENDING, EventStatus.DISPATCHED} & set(self._statuses())

    def _statuses(self) -> list[str]:
        with self.catalog.begin() as db:
            return list(db.scalars(select(EventRow.status)))

    def _answering(self, name: str, db):
        key = db.scalar(select(ScheduleRow.sync_id).where(ScheduleRow.name == name))
        (sync,) = (sync for sync in self.syncs.values() if sync.id == key)
        return schedules.find_schedule(db, f"{sync.tenant}/{sync.name}/{name}")


@pytest.fixture(scope="module")
def catalog(postgres_url: str) -> Iterator[Catalog]:
    with numbered_catalog(postgres_url) as opened:
        yield opened


@pytest.mark.timeout(1200)
def test_whatever_happens_every_event_success_and_learned_interval_is_answered_once(
    catalog: Catalog,
):
    """R15, R40, R43, R74, R80, R94, laws 2 and 5."""
    live(Answers, catalog, histories=HISTORIES)
