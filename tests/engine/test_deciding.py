"""What a dispatcher decides on a real catalog of an instant that is due."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_pipelines.catalog import executions
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.timetables import next_start, timetable_of
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import start
from tests.engine.limits import executed
from tests.engine.turning import EVERY_15, MINUTE, dispatch, next_start_of, told
from tests.world import START


@pytest.mark.parametrize(
    ("overlap", "outcome", "cause", "statuses"),
    [
        ("skip", Outcome.SKIPPED, Cause.OVERLAP, [Status.QUEUED]),
        ("queue", Outcome.QUEUED, None, [Status.QUEUED, Status.PENDING]),
        ("cancel", Outcome.CANCEL_RUNNING_AND_RUN, None, [Status.CANCELLED, Status.QUEUED]),
    ],
)
def test_an_instant_that_meets_what_has_not_ended_does_as_its_schedule_says(
    world, overlap: str, outcome: Outcome, cause: Cause | None, statuses: Sequence[Status]
):
    """R74."""
    sync = world.sync()
    world.schedule(sync, EVERY_15, policies=parse_policies({"overlap": overlap}))
    dispatch(world)
    world.clock.advance(minutes=15)

    dispatch(world)

    assert told(world, sync)[1:] == [("12:15", 1, outcome, cause)]
    assert [status for *_, status in executed(world)] == statuses


def test_a_third_instant_is_told_that_one_waits_already(world):
    """R74."""
    sync = world.sync()
    world.schedule(sync, EVERY_15, policies=parse_policies({"overlap": "queue"}))
    for _ in range(3):
        dispatch(world)
        world.clock.advance(minutes=15)

    assert told(world, sync)[2] == ("12:30", 1, Outcome.COLLAPSED, Cause.WAITING)
    assert len(executed(world)) == 2


def test_what_runs_is_asked_to_stop_and_what_a_person_asked_for_is_left_alone(world):
    """R74, R82."""
    sync = world.sync()
    world.schedule(sync, EVERY_15, policies=parse_policies({"overlap": "cancel"}))
    (running,) = dispatch(world)
    start(world, running)
    asked = trigger(world.catalog, sync, now=world.clock())
    world.clock.advance(minutes=15)

    dispatch(world)

    with world.catalog.begin() as db:
        rows = dict(db.execute(select(ExecutionRow.id, ExecutionRow.cancel_requested_at)).all())
        manual = executions.lock_for_all_tenants(db, asked)
    assert rows[running] == world.clock()
    assert rows[asked] is None
    assert manual.status is Status.PENDING


def test_of_two_schedules_due_in_one_turn_the_second_cancels_what_the_first_started(world):
    sync = world.sync()
    for name in ("one", "two"):
        policies = parse_policies({"overlap": "cancel"})
        world.schedule(sync, EVERY_15, name=name, policies=policies)

    launched = dispatch(world)

    assert sorted(status for *_, status in executed(world)) == [Status.CANCELLED, Status.QUEUED]
    assert len(launched) == 1


def test_what_is_caught_up_in_a_turn_is_not_cancelled_by_the_instant_of_that_turn(world):
    """R74, R92."""
    sync = world.sync()
    policies = parse_policies({"overlap": "cancel", "missed": {"policy": "all", "most": 2}})
    world.schedule(sync, EVERY_15, policies=policies)
    dispatch(world)
    world.clock.advance(minutes=60)

    dispatch(world)

    assert [status for *_, status in executed(world)] == [
        Status.CANCELLED,
        Status.PENDING,
        Status.PENDING,
        Status.QUEUED,
    ]


@pytest.mark.parametrize(
    ("missed", "started", "left_out"),
    [
        ("once", ["13:45"], [("13:30", 7, Outcome.COLLAPSED, Cause.MISSED)]),
        (
            {"policy": "all", "most": 3},
            ["13:15", "13:30", "13:45"],
            [("13:00", 5, Outcome.SKIPPED, Cause.TOO_MANY)],
        ),
        ("skip", [], [("13:45", 8, Outcome.SKIPPED, Cause.MISSED)]),
        (
            {"policy": "all", "window": "40m"},
            ["13:15", "13:30", "13:45"],
            [("13:00", 5, Outcome.SKIPPED, Cause.TOO_OLD)],
        ),
    ],
)
def test_what_nobody_dispatched_is_caught_up_as_the_schedule_says(
    world, missed: Any, started: list[str], left_out: list[Any]
):
    """R92, T14: two hours without a dispatcher, ending ten minutes after an instant."""
    sync = world.sync()
    world.schedule(sync, EVERY_15, policies=parse_policies({"missed": missed}))
    world.clock.advance(minutes=115)

    dispatch(world)

    found = told(world, sync)
    with world.catalog.begin() as db:
        waiting_since = set(db.scalars(select(ExecutionRow.next_attempt_at)))
    assert waiting_since <= {world.clock()}, "it came into the line now, not when it was due"
    assert [one for one in found if not one[2].starts] == left_out
    assert [at for at, _, outcome, _ in found if outcome is Outcome.CATCH_UP] == started
    assert [(f"{due_at:%H:%M}", why) for _, due_at, why, _ in executed(world)] == [
        (at, Trigger.CATCHUP) for at in started
    ]


def test_a_spread_moves_the_start_and_not_the_instant(world):
    """T14."""
    sync = world.sync()
    policies = parse_policies({"spread": "2h"})
    daily = {"type": "daily", "at": "18:00"}
    schedule_id = world.schedule(sync, daily, policies=policies)
    with world.catalog.begin() as db:  # the schedule's own id is known only now
        schedule = lock_armed_for_all_tenants(db, [schedule_id])[0].schedule
    at = next_start(timetable_of(schedule, pause=None), after=START)
    with world.catalog.begin() as db:
        db.execute(update(ScheduleRow).values(next_run_at=at))

    world.clock.now = at - MINUTE
    early = dispatch(world)
    world.clock.now = at
    launched = dispatch(world)

    six = datetime(2026, 3, 2, 18, tzinfo=UTC)
    assert early == []
    assert len(launched) == 1
    assert at != six and abs(at - six) <= timedelta(hours=2)
    assert told(world, sync) == [("18:00", 1, Outcome.RUN, None)]
    assert next_start_of(world, schedule_id) == at + timedelta(days=1)


@pytest.mark.parametrize(
    ("written", "skipped"),
    [
        ({"blackouts": [{"from": "11:00", "to": "12:30"}]}, Cause.BLACKOUT),
        ({"starts_at": "2026-03-02T12:30:00Z"}, Cause.NOT_STARTED),
        ({"pause": {"reason": "stocktaking", "until": "2026-03-02T12:30:00Z"}}, Cause.PAUSED),
    ],
)
def test_what_is_barred_starts_nothing_and_is_told_of_when_the_schedule_goes_on(
    world, written: dict[str, Any], skipped: Cause
):
    """R25, R74, R94: the bar's end is outside of it."""
    sync = world.sync()
    schedule_id = world.schedule(sync, EVERY_15, policies=parse_policies(written))
    wakes_at = next_start_of(world, schedule_id)

    for _ in range(31):
        dispatch(world)
        world.clock.advance(minutes=1)

    assert wakes_at == START + 30 * MINUTE
    assert told(world, sync) == [
        ("12:15", 2, Outcome.SKIPPED, skipped),
        ("12:30", 1, Outcome.RUN, None),
    ]


def test_a_schedule_that_has_ended_starts_nothing_more(world):
    """R25."""
    sync = world.sync()
    ended = parse_policies({"ends_at": "2026-03-02T12:15:00Z"})
    schedule_id = world.schedule(sync, EVERY_15, policies=ended)

    dispatch(world)
    world.clock.advance(hours=3)
    dispatch(world)

    assert told(world, sync) == [("12:00", 1, Outcome.RUN, None)]
    assert next_start_of(world, schedule_id) is None


def test_when_a_schedule_last_started_something_stays_known_while_it_skips(world):
    """R23."""
    sync = world.sync()
    schedule_id = world.schedule(sync, EVERY_15)
    dispatch(world)
    world.clock.advance(minutes=15)

    dispatch(world)

    with world.catalog.begin() as db:
        last = db.scalar(select(ScheduleRow.last_run_at).where(ScheduleRow.id == schedule_id))
    assert last == START
