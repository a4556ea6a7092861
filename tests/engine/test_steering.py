"""Pausing, resuming, removing, editing: no instant is lost, and none comes twice."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text

from sync_pipelines.apply import act
from sync_pipelines.apply.manifest import End, Manifest, WantedSchedule, WantedSync
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.catalog import decisions, schedules
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.tables import DecisionRow, ScheduleRow
from sync_pipelines.engine import steering
from sync_pipelines.engine.dispatch import claim_due
from sync_pipelines.engine.timetables import rearmed, timetable_of
from sync_pipelines.model.cadence import Daily, Every, parse_cadence
from sync_pipelines.model.execution import Trigger
from sync_pipelines.model.policy import Pause, Policies, Priority, parse_policies
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Sync
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import end
from tests.engine.limits import executed, until_somebody_waits
from tests.world import START, World

MINUTE = timedelta(minutes=1)
HOURLY = {"type": "every", "minutes": 60}


def stored(world: World, name: str = "main") -> Schedule:
    with world.catalog.begin() as db:
        return schedules.find_schedule(db, f"acme/orders/{name}")


def dispatch(world: World) -> None:
    for launch in claim_due(world.catalog, "database", world.clock(), tick=f"{world.clock()}"):
        end(world, launch.execution_id)


def told(world: World, sync: Sync) -> list[tuple[str, int, Outcome, Cause | None]]:
    with world.catalog.begin() as db:
        found = decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id)
    return [
        (f"{one.due_at:%H:%M}", one.count, one.outcome, one.cause)
        for one in (decided.decision for decided in reversed(found))
    ]


def apply(world: World, sync: Sync, wanted: WantedSchedule) -> None:
    written = WantedSync(
        name=sync.name,
        line=1,
        source=End(role="source", name=sync.source.name, line=1),
        destination=End(role="destination", name=sync.destination.name, line=1),
        dataset=sync.dataset,
        streams=sync.streams,
        retry=sync.retry,
        schedules=(wanted,),
    )
    manifest = Manifest(file="acme.yaml", tenant=sync.tenant, syncs=(written,))
    parsed = Parsed(manifest=manifest, problems=())
    act.apply(world.catalog, parsed, now=world.clock(), actor="tester")


def test_a_pause_decides_what_was_due_before_it_and_a_resume_what_was_due_in_it(world):
    """R94, law 5: three hours of an hourly schedule, paused from 12:30 to 15:30."""
    sync = world.sync()
    world.schedule(sync, HOURLY)
    world.clock.advance(minutes=30)

    with world.catalog.begin() as db:
        pause = Pause(reason="stocktaking")
        steering.pause_schedule(db, stored(world), pause, now=world.clock())
    paused = stored(world).next_run_at
    world.clock.advance(hours=3)
    dispatch(world)
    with world.catalog.begin() as db:
        steering.resume_schedule(db, stored(world), now=world.clock())
    dispatch(world)

    assert paused is None
    assert stored(world).next_run_at == START + timedelta(hours=4)
    assert told(world, sync) == [
        ("12:00", 1, Outcome.CATCH_UP, None),
        ("15:00", 3, Outcome.SKIPPED, Cause.PAUSED),
    ]


def test_a_paused_sync_says_why_until_it_is_resumed(world):
    """R94."""
    sync = world.sync()
    world.schedule(sync, HOURLY)
    dispatch(world)
    with world.catalog.begin() as db:
        steering.pause_sync(
            db, sync.id, tenant_id=sync.tenant_id, reason="stocktaking", now=world.clock()
        )
    asleep = stored(world).next_run_at
    world.clock.advance(hours=2)
    with world.catalog.begin() as db:
        steering.resume_sync(db, sync.id, tenant_id=sync.tenant_id, now=world.clock())

    with world.catalog.begin() as db:
        reason = db.scalar(select(DecisionRow.reason).where(DecisionRow.cause == Cause.PAUSED))
    assert asleep is None
    assert reason == "paused: stocktaking"
    assert stored(world).next_run_at == START + timedelta(hours=3)


def test_a_pause_keeps_what_somebody_changed_since_the_schedule_was_looked_at(world):
    world.schedule(world.sync(), HOURLY)
    seen = stored(world)
    with world.catalog.begin() as db:
        urgent = replace(seen, policies=Policies(priority=Priority.HIGH))
        schedules.put_schedule(db, urgent, now=world.clock())

    with world.catalog.begin() as db:
        steering.pause_schedule(db, seen, Pause(reason="stocktaking"), now=world.clock())

    assert stored(world).policies.priority is Priority.HIGH


def test_a_pause_that_ends_does_not_switch_a_schedule_on(world):
    world.schedule(world.sync(), HOURLY, is_active=False)
    pause = Pause(reason="stocktaking", until=START + timedelta(hours=1))

    with world.catalog.begin() as db:
        steering.pause_schedule(db, stored(world), pause, now=world.clock())
    still = stored(world)
    with world.catalog.begin() as db:
        steering.resume_schedule(db, stored(world), now=world.clock())

    assert (still.is_active, still.next_run_at) == (False, None)
    assert stored(world).is_active


def test_removing_a_schedule_decides_what_was_due_and_keeps_its_history(world):
    """R24, law 5."""
    sync = world.sync()
    world.schedule(sync, HOURLY)

    with world.catalog.begin() as db:
        steering.remove_schedule(db, stored(world), now=world.clock.advance(minutes=1))
    dispatch(world)

    assert told(world, sync) == [("12:00", 1, Outcome.RUN, None)]
    assert [(due_at, why) for _, due_at, why, _ in executed(world)] == [(START, Trigger.SCHEDULED)]


def _far_spread(schedule: Schedule) -> tuple[Policies, timedelta]:
    """A spread that moves that schedule by more than an hour, and by how much."""
    for hours in range(2, 13):
        policies = parse_policies({"spread": f"{hours}h"})
        offset = timetable_of(replace(schedule, policies=policies), pause=None).offset
        if abs(offset) > timedelta(hours=1):
            return policies, offset
    raise AssertionError("no spread moves it")


@pytest.mark.parametrize("later", [True, False])
def test_an_instant_whose_start_an_edit_moves_into_the_past_starts_at_once(world, later: bool):
    """Law 5: neither forgotten nor run twice, when a spread is given up, or moves it forward."""
    sync = world.sync()
    wanted = WantedSchedule(name="main", line=1, cadence=Daily())
    apply(world, sync, wanted)
    policies, offset = _far_spread(stored(world))
    due_at = datetime(2026, 3, 3, 2, tzinfo=UTC)
    first, second = (policies, Policies()) if offset > timedelta(0) else (Policies(), policies)
    apply(world, sync, replace(wanted, policies=first))
    world.clock.now = due_at + (30 * MINUTE if offset > timedelta(0) else -30 * MINUTE)
    dispatch(world)

    apply(world, sync, replace(wanted, policies=second))
    dispatch(world)
    if later:
        apply(world, sync, replace(wanted, policies=first))
        world.clock.now = due_at + timedelta(hours=12)
        dispatch(world)

    assert [at for _, at, _, _ in executed(world)] == [due_at]


def test_an_edit_to_other_slots_starts_none_that_lie_before_it(world):
    """R21: nor any that was run already."""
    sync = world.sync()
    quarter = parse_cadence({"type": "hourly", "minute": 15})
    wanted = WantedSchedule(name="main", line=1, cadence=quarter)
    apply(world, sync, wanted)
    world.clock.advance(minutes=20)
    dispatch(world)

    apply(world, sync, replace(wanted, cadence=Every(minutes=5)))
    apply(world, sync, wanted)
    dispatch(world)

    assert told(world, sync) == [("12:15", 1, Outcome.RUN, None)]
    assert stored(world).next_run_at == START + timedelta(minutes=75)


def test_a_new_schedule_misses_no_instant_that_its_spread_leaves_ahead(world):
    """T14: created between an instant and its start, it starts."""
    made = []
    for number in range(12):
        wanted = WantedSchedule(
            name="main",
            line=1,
            cadence=parse_cadence({"type": "hourly", "minute": 0}),
            policies=parse_policies({"spread": "50m"}),
        )
        apply(world, world.sync(f"acme/sync-{number}"), wanted)
        with world.catalog.begin() as db:
            made.append(schedules.find_schedule(db, f"acme/sync-{number}/main"))

    for schedule in made:
        offset = timetable_of(schedule, pause=None).offset
        hour = START - timedelta(hours=2)
        due = [hour + number * timedelta(hours=1) for number in range(6)]
        expected = next(at + offset for at in due if at + offset > START)
        assert schedule.next_run_at == expected


def test_rearming_never_goes_back_before_what_was_decided():
    decided = START + timedelta(hours=1)
    schedule = Schedule(
        id=UUID(int=1),
        tenant_id=UUID(int=2),
        sync_id=UUID(int=3),
        name="main",
        cadence=Every(minutes=15),
        created_at=START,
        decided_until=decided,
    )

    for has_new_slots in (False, True):
        ready = rearmed(schedule, pause=None, now=START, has_new_slots=has_new_slots)
        assert ready.decided_until == decided
        assert ready.next_run_at == decided + 15 * MINUTE


def test_applying_a_file_waits_for_schedules_in_the_order_that_dispatchers_do(world):
    """Whoever waits for the first of them holds none of the others."""
    sync = world.sync()
    ids = sorted(world.schedule(sync, HOURLY, name=f"s{number}") for number in range(6))
    with world.catalog.begin() as db:  # the first in order is the last on disk
        db.execute(
            text("UPDATE sync.sync_schedules SET name = name WHERE id = :id"), {"id": ids[0]}
        )

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            query = select(ScheduleRow.id).where(ScheduleRow.id == ids[0]).with_for_update()
            db.execute(query)
            wanted = WantedSchedule(name="s0", line=1, cadence=Every(minutes=30))
            applying = pool.submit(apply, world, sync, wanted)
            until_somebody_waits(world)
            rest = select(ScheduleRow.id).where(ScheduleRow.id != ids[0])
            free = db.scalars(rest.with_for_update(skip_locked=True)).all()
        applying.result()

    assert len(free) == 5


def test_holding_schedules_twice_in_a_transaction_is_no_wait(world):
    one = world.schedule(world.sync(), HOURLY)

    with world.catalog.begin() as db:
        assert lock_armed_for_all_tenants(db, [one]) == lock_armed_for_all_tenants(db, [one])
