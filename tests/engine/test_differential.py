"""What the simulator foretells is what the dispatcher does on a real catalog."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest
from sqlalchemy import delete, select

from sync_pipelines.catalog import executions
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.tables import DecisionRow, ExecutionRow, SyncRow
from sync_pipelines.engine.deciding import decide_before_change
from sync_pipelines.engine.dispatch import claim_due, ready
from sync_pipelines.engine.steering import rearm
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.cadence import to_mapping
from sync_pipelines.model.execution import Status
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.timing.bars import TICK
from sync_pipelines.timing.decisions import Outcome
from sync_pipelines.timing.instants import instants
from sync_pipelines.timing.simulate import Simulated
from tests.engine.ending import end, start
from tests.timing.test_differential import FIRST, LAST, Seen, schedules, shifts, simulated
from tests.world import World

MINUTE = timedelta(minutes=1)
ZONES = (
    "America/Edmonton",
    "America/Denver",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Nuuk",
    "Antarctica/Troll",
    "Europe/London",
)


class Loop:
    """A dispatcher's minutes, and executions that take as long as they are said to."""

    def __init__(self, world: World, wanted: Simulated, name: str, after: datetime) -> None:
        self.world, self.duration = world, wanted.duration
        table = wanted.timetable
        world.clock.now = after
        with world.catalog.begin() as db:  # what is left of the one before
            db.execute(delete(SyncRow))
        sync = world.sync(f"acme/{name}")
        self.id: UUID = world.schedule(
            sync,
            to_mapping(table.cadence),
            timezone=table.zone,
            clock_change=table.clock_change,
            policies=table.policies,
            created_at=table.anchor,
            decided_until=after,
        )
        with world.catalog.begin() as db:  # the spread is its own id's
            rearm(db, [self.id], after)
        self.running: tuple[UUID, datetime] | None = None

    @property
    def schedule(self) -> Schedule:
        with self.world.catalog.begin() as db:
            return lock_armed_for_all_tenants(db, [self.id])[0].schedule

    def run(self, until: datetime) -> list[Seen]:
        """Everything due up to an instant, as it came out."""
        clock, table = self.world.clock, timetable_of(self.schedule, pause=None)
        # A spread may start the first before it is due.
        clock.now += min(table.offset, timedelta(0))
        last = until + table.policies.spread + 2 * self.duration
        while clock.now <= last:
            self._minute(is_over=clock.now - table.offset > until)
            coming = self.schedule.next_run_at or last + MINUTE
            if self.running is not None:
                coming = min(coming, self.running[1])
            clock.now = max(coming, clock.now + MINUTE)
        with self.world.catalog.begin() as db:
            decide_before_change(db, [self.id], last)
        return list(self._seen(until))

    def _minute(self, *, is_over: bool) -> None:
        world, now = self.world, self.world.clock.now
        if self.running is not None and self.running[1] <= now:
            end(world, self.running[0])
            self.running = None
        if not is_over:  # what is due later may not cut short what is compared
            claim_due(world.catalog, "database", now, tick=f"{self.id} {now}")
        if self.running is not None and self._is_to_stop():
            end(world, self.running[0], Status.CANCELLED)
            self.running = None
        ready(world.catalog, now)
        with world.catalog.begin() as db:
            queued = db.scalar(select(ExecutionRow.id).where(ExecutionRow.status == Status.QUEUED))
        if queued is not None:
            start(world, queued)
            self.running = queued, now + self.duration

    def _is_to_stop(self) -> bool:
        with self.world.catalog.begin() as db:
            row = select(ExecutionRow.cancel_requested_at).where(ExecutionRow.id == self.running[0])
            return db.scalar(row) is not None

    def _seen(self, until: datetime) -> Iterator[Seen]:
        schedule = self.schedule
        query = select(DecisionRow.__table__).where(DecisionRow.schedule_id == self.id)
        with self.world.catalog.begin() as db:
            for row in db.execute(query.order_by(DecisionRow.due_at)).mappings().all():
                ran = row["execution_id"] and executions.lock_for_all_tenants(
                    db, row["execution_id"]
                )
                each = instants(
                    schedule.cadence,
                    schedule.timezone,
                    schedule.clock_change,
                    after=row["first_due_at"] - TICK,
                    until=min(row["due_at"], until),
                    anchor=schedule.anchor,
                )
                for due_at in each:
                    yield Seen(
                        due_at,
                        Outcome(row["outcome"]),
                        ran.started_at if ran else None,
                        ran.completed_at if ran else None,
                    )


@pytest.mark.parametrize("number", range(len(ZONES)))
def test_the_dispatcher_does_what_was_foretold_around_a_clock_change(world: World, number: int):
    """R12, R14, R22: a night about it, for several kinds of schedule."""
    zone, compared = ZONES[number], 0
    moments = [shift.at for shift in shifts(zone) if FIRST < shift.at < LAST]
    kinds = islice(schedules(), number * 3, number * 3 + 3)
    for kind, (_, wanted) in enumerate(kinds):
        moment = moments[kind % len(moments)]
        after, until = moment - timedelta(hours=9), moment + timedelta(hours=9)
        wanted = replace(wanted, timetable=replace(wanted.timetable, zone=zone))
        loop = Loop(world, wanted, f"sync-{kind}", after)
        table = timetable_of(loop.schedule, pause=None)

        found = loop.run(until)

        assert found == simulated(replace(wanted, timetable=table), after, until), (zone, table)
        compared += len(found)
    assert compared > 5
