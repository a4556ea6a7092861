"""What a tenant's schedules would do, with what is known of their durations."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from connectors.errors import ConfigError
from sync_pipelines.catalog import executions
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.foresight import ASSUMED, coming, find_foreseen, foresee
from sync_pipelines.model.cadence import parse_cadence
from sync_pipelines.model.execution import Status
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.timing.decisions import Outcome
from sync_pipelines.timing.firings import Timetable
from tests.world import START, World, make_catalog

DAY = timedelta(days=1)


@pytest.fixture
def world(postgres_url):
    catalog = make_catalog(postgres_url)
    yield World(catalog)
    catalog.close()


def ran(world, sync, *, seconds, status=Status.COMPLETED):
    execution_id = trigger(world.catalog, sync, now=START, queued=True)
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        running = found.started(START, None)
        ended = running.ended(status, START + timedelta(seconds=seconds))
        executions.save(db, found, running)
        executions.save(db, running, ended, duration_ms=seconds * 1000)


def seen(world, tenant):
    with world.catalog.begin() as db:
        return foresee(db, tenant)


def timetable(cadence, **fields):
    return Timetable(id=uuid4(), cadence=parse_cadence(cadence), zone="UTC", anchor=START, **fields)


def test_a_duration_is_the_median_of_what_got_through_or_assumed(world):
    """R22."""
    measured, new = world.sync("durable/orders"), world.sync("durable/new")
    world.schedule(measured, {"type": "daily"})
    world.schedule(new, {"type": "daily"})
    for seconds in (10, 30, 500):
        ran(world, measured, seconds=seconds)
    ran(world, measured, seconds=9_000, status=Status.FAILED)

    found = {one.scheduled.key: one for one in seen(world, "durable").schedules}

    assert found["durable/orders/main"].simulated.duration == timedelta(seconds=30)
    assert found["durable/orders/main"].measured == 3
    assert found["durable/new/main"].simulated.duration == ASSUMED
    assert found["durable/new/main"].measured == 0


def test_a_tenant_is_played_by_what_its_executions_take(world):
    """R34."""
    sync = world.sync("slow/orders")
    world.schedule(sync, {"type": "every", "minutes": 15})
    world.schedule(world.sync("other/orders"), {"type": "every", "minutes": 15})
    ran(world, sync, seconds=20 * 60)

    played = list(seen(world, "slow").play(after=START, until=START + timedelta(hours=1)))

    assert {one.sync for one in played} == {"slow/orders"}
    assert [one.decision.outcome for one in played] == [Outcome.RUN, Outcome.SKIPPED] * 2


def test_a_pause_is_foreseen(world):
    policies = parse_policies({"pause": {"reason": "stocktaking"}})
    world.schedule(world.sync("paused/orders"), {"type": "daily"}, policies=policies)

    (one,) = seen(world, "paused").play(after=START, until=START + DAY)

    assert one.decision.reason == "paused: stocktaking"


def test_one_schedule_is_played_with_all_that_it_waits_for(world):
    """R80."""
    world.schedule(world.sync("chain/a"), {"type": "daily"})
    world.schedule(world.sync("chain/b"), {"type": "after", "sync": "a"})
    world.schedule(world.sync("chain/c"), {"type": "after", "sync": "b"})
    world.schedule(world.sync("chain/d"), {"type": "every", "minutes": 1})
    foresight = seen(world, "chain")
    chosen = find_foreseen(foresight, "c/main")

    kept = foresight.only_with(chosen.simulated.timetable.id)

    assert [one.scheduled.sync.key for one in kept.schedules] == ["chain/a", "chain/b", "chain/c"]
    assert len(list(kept.play(after=START, until=START + DAY))) == 3


def test_the_load_is_seen_with_a_schedule_and_without_it(world):
    world.schedule(world.sync("warm/a"), {"type": "daily", "at": "02:00"})
    world.schedule(world.sync("warm/b"), {"type": "daily", "at": "03:00"})
    foresight = seen(world, "warm")
    other = foresight.without(find_foreseen(foresight, "b/main").simulated.timetable.id)
    span = {"after": START, "until": START + 7 * DAY, "zone": "UTC"}

    hours = [
        [sum(row[hour].starts for row in one.heat(**span).cells) for hour in (2, 3)]
        for one in (foresight, other)
    ]

    assert hours == [[7, 7], [7, 0]]


def test_an_unknown_schedule_names_those_there_are(world):
    world.schedule(world.sync("named/orders"), {"type": "daily"})

    with pytest.raises(
        ConfigError, match=r"no schedule 'orders/nightly' .* there are: orders/main"
    ):
        find_foreseen(seen(world, "named"), "orders/nightly")


# --- what comes next -------------------------------------------------------------


def test_what_is_left_out_stands_between_the_runs_many_as_one():
    """R12."""
    policies = parse_policies({"blackouts": [{"from": "13:00", "to": "15:00"}]})

    found = coming(timetable({"type": "every", "minutes": 30}, policies=policies), after=START)

    told = [
        (f"{one.first_due_at:%H:%M}", f"{one.due_at:%H:%M}", one.count) for one in found.firings
    ]
    assert told[:3] == [("12:30", "12:30", 1), ("13:00", "14:30", 4), ("15:00", "15:00", 1)]
    assert [one.fires for one in found.firings] == [True, False, True, True, True, True]
    assert (found.starts, found.is_over) == (5, False)


def test_a_few_that_are_left_out_are_told_one_by_one():
    policies = parse_policies({"blackouts": [{"days": ["sat", "sun"]}]})

    found = coming(timetable({"type": "daily"}, policies=policies), after=START)

    assert [one.fires for one in found.firings] == [*[True] * 4, False, False, True]


def test_where_nothing_may_start_the_next_ones_are_told_with_the_reason():
    policies = parse_policies({"pause": {"reason": "stocktaking"}})

    found = coming(timetable({"type": "daily"}, policies=policies), after=START, count=3)

    assert [one.reason for one in found.firings] == ["paused: stocktaking"] * 3
    assert (found.starts, found.is_over) == (0, False)


def test_nothing_comes_after_the_end():
    policies = parse_policies({"ends_at": "2026-03-04T12:00:00Z"})

    found = coming(timetable({"type": "daily"}, policies=policies), after=START)

    assert [one.due_at for one in found.firings] == [
        datetime(2026, 3, 3, 2, tzinfo=UTC),
        datetime(2026, 3, 4, 2, tzinfo=UTC),
    ]
    assert found.is_over
