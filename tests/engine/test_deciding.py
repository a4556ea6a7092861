"""What a dispatcher decides on a real catalog, and that it stays so whatever happens beside it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from sync_pipelines.catalog import breakers, decisions, executions, syncs
from sync_pipelines.catalog.due import lock_armed_for_all_tenants, lock_due_for_all_tenants
from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow
from sync_pipelines.engine.dispatch import LimitReachedError, claim_due, trigger
from sync_pipelines.engine.timetables import next_start, timetable_of
from sync_pipelines.model.breaker import Breaker, BreakerPolicy
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.model.sync import Sync
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import end, start
from tests.engine.limits import executed, limit, until_somebody_waits
from tests.world import START, World, make_catalog

MINUTE = timedelta(minutes=1)
EVERY_15 = {"type": "every", "minutes": 15}


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


def dispatch(world: World, connector: str = "database") -> list[UUID]:
    """One turn; what it handed over."""
    launches = claim_due(world.catalog, connector, world.clock(), tick=f"{world.clock()}")
    return [launch.execution_id for launch in launches]


def told(world: World, sync: Sync) -> list[tuple[str, int, Outcome, Cause | None]]:
    """Its decisions, oldest first: the last instant of each, how many, what and why."""
    with world.catalog.begin() as db:
        found = decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id)
    return [
        (f"{one.due_at:%H:%M}", one.count, one.outcome, one.cause)
        for one in (decided.decision for decided in reversed(found))
    ]


def next_start_of(world: World, schedule_id: UUID) -> datetime | None:
    with world.catalog.begin() as db:
        return db.scalar(select(ScheduleRow.next_run_at).where(ScheduleRow.id == schedule_id))


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


def test_a_quota_lets_so_many_start_in_an_hour_and_says_so(world):
    """R134."""
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 10})
    limit(world, sync, executions_per_hour=2)

    for _ in range(8):
        for execution_id in dispatch(world):
            end(world, execution_id)
        world.clock.advance(minutes=10)

    outcomes = [(at, cause) for at, _, _, cause in told(world, sync)]
    assert outcomes == [
        ("12:00", None),
        ("12:10", None),
        ("12:20", Cause.QUOTA),
        ("12:30", Cause.QUOTA),
        ("12:40", Cause.QUOTA),
        ("12:50", Cause.QUOTA),
        ("13:00", None),
        ("13:10", None),
    ]


def test_a_person_is_told_when_the_hour_is_used_up(world):
    """R134."""
    sync = world.sync()
    other = world.sync("zeta/orders")
    limit(world, sync, executions_per_hour=1)
    trigger(world.catalog, sync, now=world.clock())

    with pytest.raises(LimitReachedError, match="'acme' may have 1 executions an hour"):
        trigger(world.catalog, sync, now=world.clock.advance(minutes=59))

    trigger(world.catalog, other, now=world.clock())
    trigger(world.catalog, sync, now=world.clock.advance(minutes=1))


def test_dispatchers_of_several_connectors_at_once_stay_within_a_quota(world):
    """R134."""
    connectors = [f"connector-{number}" for number in range(4)]
    for connector in connectors:
        for number in range(5):
            sync = world.sync(f"acme/{connector}-{number}", connector=connector)
            world.schedule(sync, EVERY_15)
    limit(world, sync, executions_per_hour=3)

    with ThreadPoolExecutor(8) as pool:
        turns = [pool.submit(dispatch, world, connector) for connector in connectors]
        asked = [pool.submit(trigger, world.catalog, sync, now=START) for _ in range(4)]

    refusals = [type(one.exception()) for one in asked if one.exception() is not None]
    assert len(executed(world)) == 3
    assert all(turn.exception() is None for turn in turns)
    assert set(refusals) <= {LimitReachedError}


def test_an_open_breaker_lets_nothing_start_but_a_probe_in_its_time(world):
    """R91."""
    sync = world.sync()
    policy = BreakerPolicy(failures=2, probe_after=timedelta(minutes=30))
    with world.catalog.begin() as db:
        failing = replace(sync, breaker=policy)
        syncs.put_sync(db, sync.tenant_id, sync=failing, description=None, now=START)
    world.schedule(sync, EVERY_15)

    for _ in range(6):
        for execution_id in dispatch(world):
            end(world, execution_id, Status.FAILED)
        world.clock.advance(minutes=15)

    with world.catalog.begin() as db:
        breaker = breakers.find(db, sync.id, tenant_id=sync.tenant_id)
    assert [(at, cause) for at, _, _, cause in told(world, sync)] == [
        ("12:00", None),
        ("12:15", None),
        ("12:30", Cause.BREAKER),
        ("12:45", None),
        ("13:00", Cause.BREAKER),
        ("13:15", Cause.BREAKER),
    ]
    assert breaker.probe_at == START + 105 * MINUTE


def test_a_success_closes_the_breaker(world):
    """R91."""
    sync = world.sync()
    opened = Breaker(failures=9, opened_at=START, probes=1, probe_at=START)
    with world.catalog.begin() as db:
        breakers.put(db, sync.id, opened, tenant_id=sync.tenant_id)
    world.schedule(sync, EVERY_15)

    (probe,) = dispatch(world)
    end(world, probe)

    with world.catalog.begin() as db:
        assert breakers.find(db, sync.id, tenant_id=sync.tenant_id) == Breaker()


def test_ten_thousand_are_caught_up_in_one_turn(world):
    """R92: more than one statement takes parameters for."""
    policies = parse_policies({"missed": {"policy": "all", "most": 1000}})
    for number in range(10):
        sync = world.sync(f"acme/sync-{number}")
        world.schedule(sync, {"type": "every", "minutes": 1}, policies=policies)
    world.clock.advance(minutes=999)

    dispatch(world)

    with world.catalog.begin() as db:
        assert db.scalar(select(func.count()).select_from(ExecutionRow)) == 10_000


@pytest.mark.parametrize(
    "spoilt",
    [
        'config = \'{"cadence": {"type": "lunar"}}\'',
        "config = '{}'",
        "timezone = 'Mars/Olympus'",
    ],
)
def test_a_schedule_that_cannot_be_read_holds_up_no_other(world, spoilt: str):
    """Law 8."""
    bad = world.schedule(world.sync("acme/orders"), EVERY_15)
    world.schedule(world.sync("zeta/orders"), EVERY_15)
    with world.catalog.begin() as db:
        db.execute(text(f"UPDATE sync.sync_schedules SET {spoilt} WHERE id = :id"), {"id": bad})

    (launched,) = dispatch(world)

    with world.catalog.begin() as db:
        assert executions.lock_for_all_tenants(db, launched).sync_key == "zeta/orders"


def test_who_waits_for_a_sync_holds_none_of_its_schedules(world):
    """Two dispatchers that want two schedules of one sync never wait for each other."""
    sync = world.sync()
    one, two = (world.schedule(sync, EVERY_15, name=name) for name in ("one", "two"))

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            lock_armed_for_all_tenants(db, [one])
            waiting = pool.submit(_hold, world, [two])
            until_somebody_waits(world)
            both = lock_armed_for_all_tenants(db, [one, two])
            meanwhile = _due(world)
        waiting.result()

    assert len(both) == 2
    assert meanwhile == 0


def _hold(world: World, ids: list[UUID]) -> None:
    with world.catalog.begin() as db:
        lock_armed_for_all_tenants(db, ids)


def _due(world: World) -> int:
    """How many a dispatcher finds that passes over what others hold."""
    with world.catalog.begin() as db:
        return len(lock_due_for_all_tenants(db, "database", world.clock(), limit=10))


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


def test_a_turn_waits_for_what_another_holds_and_decides_on_what_that_leaves(world):
    """The other may be gone without a word, or may only have looked."""
    schedule_id = world.schedule(world.sync(), EVERY_15)

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            lock_armed_for_all_tenants(db, [schedule_id])
            turn = pool.submit(dispatch, world)
            until_somebody_waits(world)
        launched = turn.result()

    assert len(launched) == 1


def test_a_probe_that_proves_nothing_is_followed_by_the_next_in_its_time_only(world):
    """R91."""
    sync = world.sync()
    opened = Breaker(failures=9, opened_at=START, probe_at=START)
    patient = replace(sync, breaker=BreakerPolicy(probe_after=timedelta(minutes=30)))
    with world.catalog.begin() as db:
        syncs.put_sync(db, sync.tenant_id, sync=patient, description=None, now=START)
        breakers.put(db, sync.id, opened, tenant_id=sync.tenant_id)
    world.schedule(sync, EVERY_15)

    for _ in range(3):
        for execution_id in dispatch(world):
            end(world, execution_id, Status.CANCELLED)
        world.clock.advance(minutes=15)

    assert [cause for *_, cause in told(world, sync)] == [None, Cause.BREAKER, None]
