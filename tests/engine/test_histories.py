"""Histories of schedules on a real catalog, drawn at random, judged by what they must obey.

``SYNC_TEST_HISTORIES`` is how many histories to live through; more than the usual few find
more.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import select

from sync_pipelines.apply import act
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import DecisionRow, ExecutionRow, ScheduleRow
from sync_pipelines.engine import steering
from sync_pipelines.engine.dispatch import LimitReachedError, claim_due, ready, trigger
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.execution import Status
from sync_pipelines.model.policy import Pause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.expecting import LOOK_AHEAD, covered
from tests.engine.living import HOUR, MINUTE, SYNCS, Life, killed_at, live, numbered_catalog, spans
from tests.timing.test_laws import near_changes

HISTORIES = int(os.environ.get("SYNC_TEST_HISTORIES", "15"))


class History(Life):
    """Everything that may happen to a few schedules, and what must hold whatever happens."""

    @initialize(data=st.data(), near=near_changes())
    def begin(self, data: st.DataObject, near: tuple[str, datetime]) -> None:
        self.furnish(data, near)

    # --- what people do ----------------------------------------------------------------

    @precondition(lambda self: self.number < 6)
    @rule(data=st.data(), key=st.sampled_from(SYNCS))
    def add(self, data: st.DataObject, key: str) -> None:
        self._put(key, self._drawn(data))

    @rule(data=st.data(), kind=st.sampled_from(["all", "policies", "spread", "cadence", "off"]))
    def edit(self, data: st.DataObject, kind: str) -> None:
        if (one := self._one(data)) is not None:
            self._put(one.key, self._changed(one, data, kind))

    @rule(data=st.data(), until=st.none() | st.timedeltas(-HOUR, timedelta(days=4)))
    def pause(self, data: st.DataObject, until: timedelta | None) -> None:
        if (one := self._one(data)) is None:
            return
        pause = Pause(
            reason="stocktaking", until=self.clock() + until if until is not None else None
        )
        with self._change([one]) as db:
            steering.pause_schedule(db, self._stored(one, db), pause, now=self.clock())
        policies = replace(one.version.policies, pause=pause)
        one.become(replace(one.version, policies=policies), self.clock())

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        if (one := self._one(data)) is None:
            return
        with self._change([one]) as db:
            steering.resume_schedule(db, self._stored(one, db), now=self.clock())
        policies = replace(one.version.policies, pause=None)
        opened = replace(one.version, policies=policies, is_open=self.is_active[one.key])
        one.become(opened, self.clock())
        self.is_off.discard(one.name)

    @rule(key=st.sampled_from(SYNCS), on=st.booleans(), by_file=st.booleans())
    def turn_sync(self, key: str, on: bool, by_file: bool) -> None:
        affected = self._of(key)
        if by_file and on is self.is_active[key]:
            return
        with self._change(affected) as db:
            if not by_file:
                self._steer(db, key, on)
        if by_file:
            act.apply(self.catalog, self._file(key, [], on=on), now=self.clock(), actor="test")
        self.is_active[key] = on
        for one in affected:
            is_open = on and one.name not in self.is_off
            one.become(replace(one.version, is_open=is_open), self.clock())

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if (one := self._one(data)) is None:
            return
        with self._change([one]) as db:
            steering.remove_schedule(db, self._stored(one, db), now=self.clock())
        one.is_removed = True

    @rule(key=st.sampled_from(SYNCS))
    def ask(self, key: str) -> None:
        try:
            trigger(self.catalog, self.syncs[key], now=self.clock())
        except LimitReachedError:
            assert self.limits.executions_per_hour is not None

    # --- what time and machines do -----------------------------------------------------

    @rule(span=spans)
    def wait(self, span: timedelta) -> None:
        self.clock.now += span

    @rule()
    def dispatch(self) -> None:
        claim_due(self.catalog, "database", self.clock(), tick=self.tick())
        self.nothing_is_left_due()

    @rule(span=spans)
    def wait_and_dispatch(self, span: timedelta) -> None:
        self.clock.now += span
        self.dispatch()

    @rule(statement=st.integers(1, 25))
    def die_while_dispatching(self, statement: int) -> None:
        tick = self.tick()
        with killed_at(self.catalog, statement):
            claim_due(self.catalog, "database", self.clock(), tick=tick)
        claim_due(self.catalog, "database", self.clock(), tick=tick)
        self.nothing_is_left_due()

    @rule()
    def die_before_the_launches_are_handed_over(self) -> None:
        tick = self.tick()
        lost = claim_due(self.catalog, "database", self.clock(), tick=tick)
        again = claim_due(self.catalog, "database", self.clock(), tick=tick)

        assert {launch.key for launch in lost} <= {launch.key for launch in again}

    @rule(data=st.data(), span=spans, editing=st.booleans())
    def dispatch_from_three_at_once(
        self, data: st.DataObject, span: timedelta, editing: bool
    ) -> None:
        self.clock.now += span
        one = self._one(data) if editing else None
        changed = self._changed(one, data, "all") if one else None
        dispatching: Callable[[str], object] = lambda tick: claim_due(  # noqa: E731
            self.catalog, "database", self.clock(), tick=tick
        )
        with ThreadPoolExecutor(4) as pool:
            turns = [pool.submit(dispatching, self.tick()) for _ in range(3)]
            if changed is not None:
                self._put(one.key, changed)
            for turn in turns:
                turn.result()
        self.nothing_is_left_due()

    @rule(
        data=st.data(),
        how=st.sampled_from([*Status, None]),
        takes=st.timedeltas(timedelta(0), HOUR),
    )
    def work(self, data: st.DataObject, how: Status | None, takes: timedelta) -> None:
        """Some of what is queued starts, and some of what runs ends, or is retried."""
        ready(self.catalog, self.clock())
        self.let_work(data.draw(st.integers(0, 3)), how)
        self.clock.now += takes

    @rule(data=st.data())
    def cancel_something(self, data: st.DataObject) -> None:
        with self.catalog.begin() as db:
            query = select(ExecutionRow.id).where(ExecutionRow.completed_at.is_(None))
            ids = list(db.scalars(query.order_by(ExecutionRow.id)))
        if ids:
            cancel(self.catalog, data.draw(st.sampled_from(ids)), now=self.clock())

    # --- what must hold ----------------------------------------------------------------

    @invariant()
    def every_instant_has_one_decision_and_every_start_one_execution(self) -> None:
        if not hasattr(self, "followed"):
            return
        with self.catalog.begin() as db:
            rows = {
                row["name"]: row for row in db.execute(select(ScheduleRow.__table__)).mappings()
            }
            found = db.execute(select(DecisionRow.__table__).order_by(DecisionRow.due_at))
            decided = list(found.mappings())
            scheduled = select(ExecutionRow.id, ExecutionRow.due_at)
            scheduled = scheduled.where(ExecutionRow.due_at.is_not(None))
            claimed = {row.id: row.due_at for row in db.execute(scheduled)}
        for one in self.followed.values():
            mine = [row for row in decided if row["schedule_name"] == one.name]
            if one.is_removed:
                assert one.name not in rows
                covered(mine, one.past, one)
                continue
            row = rows[one.name]
            assert row["decided_until"] >= one.cut, one
            covered(mine, one.expected(row["decided_until"]), one)
            expected = one.version.next_start(row["decided_until"])
            if expected is not None:
                assert row["next_run_at"] == expected, one
            else:
                beyond = row["decided_until"] + LOOK_AHEAD + one.version.offset
                is_far = row["next_run_at"] is None or row["next_run_at"] > beyond
                assert is_far, one
        starts = [row for row in decided if Outcome(row["outcome"]).starts]
        assert {row["execution_id"]: row["due_at"] for row in starts} == claimed
        assert all(row["execution_id"] is None for row in decided if row not in starts)

    def teardown(self) -> None:
        """Everything is let go on, and comes to its end."""
        if not hasattr(self, "followed"):
            return
        for key in SYNCS:
            self.turn_sync(key, True, False)
        for days in (0, 1, 3):
            self.clock.now += timedelta(days=days)
            for _ in range(4):
                self.dispatch()
                self._drain()
        self.every_instant_has_one_decision_and_every_start_one_execution()
        with self.catalog.begin() as db:
            left = db.scalars(select(ExecutionRow.id).where(ExecutionRow.completed_at.is_(None)))
            assert list(left) == []

    def _drain(self) -> None:
        for _ in range(60):
            self.attend()
            ready(self.catalog, self.clock())
            self.let_work(100, Status.COMPLETED)
            self.let_work(100, Status.COMPLETED)
            self.nothing_runs_beside_itself_or_beyond_a_limit()
            self.clock.now += 8 * MINUTE
            with self.catalog.begin() as db:
                query = select(ExecutionRow.id).where(ExecutionRow.completed_at.is_(None))
                if not list(db.scalars(query)):
                    return


@pytest.fixture(scope="module")
def catalog(postgres_url: str) -> Iterator[Catalog]:
    with numbered_catalog(postgres_url) as opened:
        yield opened


@pytest.mark.timeout(1200)
def test_whatever_happens_every_instant_is_decided_once(catalog: Catalog):
    """R74, R92, R94, T14, laws 2 and 5."""
    live(History, catalog, histories=HISTORIES)
