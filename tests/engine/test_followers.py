from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sync_pipelines.catalog import schedules
from sync_pipelines.engine.aftermath import LEFT_BEHIND, follow_up, follow_up_left_behind
from sync_pipelines.engine.dispatch import ready, trigger
from sync_pipelines.engine.steering import pause_schedule, pause_sync
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.policy import Overlap, Pause, Policies
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import decided_of, end, executions_of, finish, start
from tests.world import START

AFTER_ORDERS = {"type": "after", "sync": "orders"}


def triggered(world, sync):
    return trigger(world.catalog, sync, now=world.clock())


def test_a_schedule_fires_once_the_sync_it_waits_for_has_succeeded(world):
    """R80."""
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    schedule_id = world.schedule(report, AFTER_ORDERS)
    first = triggered(world, orders)
    world.clock.advance(minutes=3)

    before = executions_of(world, report)
    end(world, first)

    (made,) = executions_of(world, report)
    (decided,) = decided_of(world, report)
    with world.catalog.begin() as db:
        schedule = schedules.find_schedule(db, "acme/report/main")
    assert before == []
    assert (made.schedule_id, made.trigger) == (schedule_id, Trigger.SCHEDULED)
    assert made.due_at == START + timedelta(minutes=3)
    assert decided.decision.outcome is Outcome.RUN
    assert decided.decision.reason == "after acme/orders succeeded"
    assert decided.execution_id == made.id
    assert schedule.last_run_at == made.due_at
    assert schedule.next_run_at is None


@pytest.mark.parametrize("status", [Status.FAILED, Status.PARTIAL, Status.CANCELLED])
def test_what_did_not_succeed_fires_nothing(world, status):
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    world.schedule(report, AFTER_ORDERS)

    first = triggered(world, orders)
    start(world, first)
    end(world, first, status)

    assert executions_of(world, report) == []
    assert decided_of(world, report) == []


def test_only_the_tenants_own_schedules_for_that_very_sync_fire(world):
    """R127: another tenant's sync of the same name is another sync."""
    orders = world.sync("acme/orders")
    full, other = world.sync("acme/full-name"), world.sync("acme/other")
    strangers_orders, stranger = world.sync("globex/orders"), world.sync("globex/report")
    world.schedule(full, {"type": "after", "sync": "acme/orders"})
    world.schedule(other, {"type": "after", "sync": "full-name"})
    world.schedule(stranger, AFTER_ORDERS)

    end(world, triggered(world, orders))

    assert len(executions_of(world, full)) == 1
    assert executions_of(world, other) == []
    assert executions_of(world, strangers_orders) == []
    assert executions_of(world, stranger) == []


def test_a_chain_goes_on_from_sync_to_sync(world):
    first, second, third = (world.sync(f"acme/{name}") for name in ("a", "b", "c"))
    world.schedule(second, {"type": "after", "sync": "a"})
    world.schedule(third, {"type": "after", "sync": "b"})

    end(world, triggered(world, first))
    before = executions_of(world, third)
    world.clock.advance(minutes=1)
    (launch,) = ready(world.catalog, world.clock())
    end(world, launch.execution_id)

    assert launch.sync_key == "acme/b"
    assert before == []
    assert len(executions_of(world, third)) == 1


def test_a_process_that_died_before_the_follow_up_loses_nothing(world):
    """Between settling and following up: whoever looks next lets the follower fire, once."""
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    world.schedule(report, AFTER_ORDERS)
    first = triggered(world, orders)
    finish(world, first)
    ended_at = world.clock()

    lost = executions_of(world, report)
    world.clock.advance(hours=3)
    left = follow_up_left_behind(world.catalog, world.clock())
    follow_up_left_behind(world.catalog, world.clock())

    (made,) = executions_of(world, report)
    assert lost == []
    assert left == 1
    assert (made.due_at, made.trigger) == (ended_at, Trigger.SCHEDULED)
    assert made.next_attempt_at == world.clock()


def test_a_follow_up_that_dies_half_way_is_done_whole_by_the_next(world, monkeypatch):
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    world.schedule(report, AFTER_ORDERS)
    first = triggered(world, orders)
    finish(world, first)

    def died(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("sync_pipelines.engine.aftermath.conclude", died)
        follow_up(world.catalog, first, world.clock())
    half = executions_of(world, report)
    follow_up(world.catalog, first, world.clock())

    assert half == []
    assert len(executions_of(world, report)) == 1


def test_two_follow_ups_at_once_fire_once(world):
    orders = world.sync("acme/orders")
    reports = [world.sync(f"acme/report-{number}") for number in range(5)]
    for report in reports:
        world.schedule(report, AFTER_ORDERS)
    first = triggered(world, orders)
    finish(world, first)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: follow_up(world.catalog, first, world.clock()), range(4)))

    assert [len(executions_of(world, report)) for report in reports] == [1] * 5
    assert [len(decided_of(world, report)) for report in reports] == [1] * 5


def test_chains_in_both_directions_at_once_do_not_wait_in_a_circle(world):
    """Two syncs' follow-ups each hold their own schedules and the other's."""
    names = ("a", "b")
    both = [world.sync(f"acme/{name}") for name in names]
    for sync, other in zip(both, reversed(names), strict=True):
        world.schedule(
            sync, {"type": "after", "sync": other}, policies=Policies(overlap=Overlap.QUEUE)
        )

    for _ in range(10):
        ended = [triggered(world, sync) for sync in both]
        for execution_id in ended:
            finish(world, execution_id)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda each: follow_up(world.catalog, each, world.clock()), ended))
        world.clock.advance(seconds=1)

    assert [len(decided_of(world, sync)) for sync in both] == [10, 10]


@pytest.mark.parametrize("paused", ["schedule", "sync"])
def test_a_paused_follower_records_that_it_was_skipped_and_why(world, paused):
    """R25: "why did it not run?" has an answer."""
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    world.schedule(report, AFTER_ORDERS)
    with world.catalog.begin() as db:
        if paused == "sync":
            pause_sync(
                db, report.id, tenant_id=report.tenant_id, reason="stocktaking", now=world.clock()
            )
        else:
            schedule = schedules.find_schedule(db, "acme/report/main")
            pause_schedule(db, schedule, Pause(reason="stocktaking"), now=world.clock())

    end(world, triggered(world, orders))

    (decided,) = decided_of(world, report)
    assert executions_of(world, report) == []
    assert (decided.decision.outcome, decided.decision.cause) == (Outcome.SKIPPED, Cause.PAUSED)
    assert decided.decision.reason == "after acme/orders succeeded; paused: stocktaking"


@pytest.mark.parametrize(
    ("overlap", "outcome"),
    [
        (Overlap.SKIP, Outcome.SKIPPED),
        (Overlap.QUEUE, Outcome.QUEUED),
        (Overlap.CANCEL, Outcome.CANCEL_RUNNING_AND_RUN),
    ],
)
def test_a_follower_keeps_to_its_overlap_policy(world, overlap, outcome):
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    world.schedule(report, AFTER_ORDERS, policies=Policies(overlap=overlap))
    end(world, triggered(world, orders))
    world.clock.advance(minutes=1)
    start(world, executions_of(world, report)[0].id)

    end(world, triggered(world, orders))

    assert [one.decision.outcome for one in decided_of(world, report)] == [Outcome.RUN, outcome]
    assert len(executions_of(world, report)) == (1 if outcome is Outcome.SKIPPED else 2)


def test_a_spread_delays_a_follower_and_never_makes_it_late(world):
    """Moved earlier it would have had to start before what it waits for had ended."""
    orders = world.sync("acme/orders")
    reports = [world.sync(f"acme/report-{number}") for number in range(12)]
    for report in reports:
        world.schedule(report, AFTER_ORDERS, policies=Policies(spread=timedelta(hours=1)))

    end(world, triggered(world, orders))

    made = [executions_of(world, report)[0] for report in reports]
    starts = {one.next_attempt_at - START for one in made}
    assert {one.trigger for one in made} == {Trigger.SCHEDULED}
    assert len(starts) > 3
    assert timedelta(0) in starts
    assert all(timedelta(0) <= delay <= timedelta(hours=1) for delay in starts)


def test_what_left_behind_ended_first_fires_first(world):
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    world.schedule(report, AFTER_ORDERS, policies=Policies(overlap=Overlap.QUEUE))
    for _ in range(2):
        finish(world, triggered(world, orders))
        world.clock.advance(seconds=1)
    world.clock.now += LEFT_BEHIND

    follow_up_left_behind(world.catalog, world.clock())

    decided = [one.decision for one in decided_of(world, report)]
    assert [one.due_at for one in decided] == [START, START + timedelta(seconds=1)]
    assert [one.outcome for one in decided] == [Outcome.RUN, Outcome.QUEUED]


def test_of_two_schedules_that_follow_the_same_the_first_by_name_starts_the_sync(world):
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    for name in ("second", "first", "third"):
        world.schedule(report, AFTER_ORDERS, name=name)

    end(world, triggered(world, orders))

    (made,) = executions_of(world, report)
    with world.catalog.begin() as db:
        first = schedules.find_schedule(db, "acme/report/first")
    assert made.schedule_id == first.id
