from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from sync_pipelines.catalog import schedules, tenants
from sync_pipelines.engine.dispatch import claim_due, trigger
from sync_pipelines.engine.events import process
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.engine.steering import pause_schedule
from sync_pipelines.model.blackout import parse_blackout
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.model.policy import Missed, MissedPolicy, Overlap, Pause, Policies
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import decided_of, end, executions_of, start
from tests.engine.sending import ON_WEBHOOK, REALTIME, events_of, processed, send, statuses
from tests.world import START

# --- bursts --------------------------------------------------------------------------


def test_a_flood_of_events_makes_one_execution_and_while_that_runs_one_more(world):
    """R74: the events of the second half come while the first execution reads."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    for _ in range(500):
        send(world, sync.tenant_id)
    while processed(world):
        pass
    (first,) = executions_of(world, sync)
    start(world, first.id)
    world.clock.advance(seconds=1)

    for _ in range(500):
        send(world, sync.tenant_id)
    while processed(world):
        pass
    _, second = executions_of(world, sync)
    end(world, first.id)
    halfway = statuses(world, sync.tenant_id)
    end(world, second.id)

    decided = [one.decision for one in decided_of(world, sync)]
    outcomes = [one.outcome for one in decided]
    assert halfway == [EventStatus.PROCESSED] * 500 + [EventStatus.DISPATCHED] * 500
    assert statuses(world, sync.tenant_id) == [EventStatus.PROCESSED] * 1000
    assert len(executions_of(world, sync)) == 2
    assert len(decided) == 1000
    assert outcomes[:2] == [Outcome.RUN, Outcome.COLLAPSED]
    assert outcomes[500:502] == [Outcome.QUEUED, Outcome.COLLAPSED]
    assert outcomes.count(Outcome.COLLAPSED) == 998
    assert (decided[999].into, decided[999].cause) == (second.due_at, Cause.WAITING)


def test_a_change_that_comes_while_a_scheduled_run_reads_is_not_lost(world):
    """Whatever the schedule says about overlaps."""
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 15}, name="often")
    world.schedule(sync, REALTIME, policies=Policies(overlap=Overlap.SKIP))
    (launch,) = claim_due(world.catalog, "database", world.clock(), tick="one")
    start(world, launch.execution_id)
    world.clock.advance(seconds=5)

    send(world, sync.tenant_id, platform="database")
    processed(world)

    (event,) = events_of(world, sync.tenant_id)
    running, waiting = executions_of(world, sync)
    assert (waiting.status, waiting.trigger) == (Status.PENDING, Trigger.REALTIME)
    assert event.execution_id == waiting.id != running.id


def test_no_event_is_left_to_an_execution_that_has_begun_reading_before_it_came(world):
    """A retry goes on where its first attempt came to: it does not read everything again."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    send(world, sync.tenant_id)
    processed(world)
    (first,) = executions_of(world, sync)
    start(world, first.id)
    settle_lost(world.catalog, first.id, attempt=1, now=world.clock(), rng=Random(1))
    retried = executions_of(world, sync)[0]

    world.clock.advance(seconds=1)
    send(world, sync.tenant_id)
    processed(world)

    assert (retried.status, retried.attempt) == (Status.PENDING, 2)
    assert events_of(world, sync.tenant_id)[1].execution_id != first.id
    assert len(executions_of(world, sync)) == 2


def test_no_event_is_left_to_an_execution_that_reads_only_a_part(world):
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK, policies=Policies(overlap=Overlap.QUEUE))
    running = trigger(world.catalog, sync, now=world.clock())
    start(world, running)
    part = trigger(
        world.catalog,
        sync,
        now=world.clock(),
        reason=Trigger.REALTIME,
        request=Request(window_start="2026-01-01"),
    )

    send(world, sync.tenant_id)
    processed(world)

    (event,) = events_of(world, sync.tenant_id)
    assert event.status is EventStatus.DISPATCHED
    assert event.execution_id not in (running, part)


def test_two_processors_at_once_answer_every_event_once(world):
    syncs = [world.sync(f"acme/sync-{number}") for number in range(3)]
    for sync in syncs:
        world.schedule(sync, REALTIME)
    for sync in syncs * 20:
        send(world, sync.tenant_id, sync_id=sync.id)

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: processed(world), range(4)))

    assert sum(taken) == 60
    assert statuses(world, syncs[0].tenant_id) == [EventStatus.DISPATCHED] * 60
    assert [len(executions_of(world, sync)) for sync in syncs] == [1, 1, 1]


def test_no_tenant_waits_for_anothers_flood(world):
    """R134."""
    loud, quiet = world.sync("acme/orders"), world.sync("globex/orders")
    for sync in (loud, quiet):
        world.schedule(sync, ON_WEBHOOK)
    for _ in range(20):
        send(world, loud.tenant_id)
    world.clock.advance(minutes=1)
    send(world, quiet.tenant_id)

    process(world.catalog, world.clock(), limit=2)

    assert statuses(world, quiet.tenant_id) == [EventStatus.DISPATCHED]
    assert statuses(world, loud.tenant_id).count(EventStatus.PENDING) == 19


# --- policies ------------------------------------------------------------------------


def paused(world, sync):
    with world.catalog.begin() as db:
        schedule = schedules.find_schedule(db, f"{sync.key}/main")
        pause_schedule(db, schedule, Pause(reason="stocktaking"), now=world.clock())


def blacked_out(world, sync):
    with world.catalog.begin() as db:
        schedule = schedules.find_schedule(db, f"{sync.key}/main")
        night = parse_blackout({"from": "11:00", "to": "13:00"})
        changed = Policies(blackouts=(night,))
        object.__setattr__(schedule, "policies", changed)
        schedules.put_schedule(db, schedule, now=world.clock())


def used_up(world, sync):
    end(world, trigger(world.catalog, sync, now=world.clock()))
    with world.catalog.begin() as db:
        tenant = tenants.find_tenant(db, sync.tenant)
        limited = tenants.Tenant(
            id=tenant.id, name=tenant.name, limits=TenantLimits(executions_per_hour=1)
        )
        tenants.put_limits(db, limited, now=world.clock())


def broken(world, sync):
    for _ in range(10):
        failing = trigger(world.catalog, sync, now=world.clock())
        start(world, failing)
        end(world, failing, Status.FAILED)


@pytest.mark.parametrize(
    ("bar", "cause", "reason"),
    [
        (paused, Cause.PAUSED, "paused: stocktaking"),
        (blacked_out, Cause.BLACKOUT, "blackout: "),
        (used_up, Cause.QUOTA, "quota: the tenant may have 1 executions an hour"),
        (broken, Cause.BREAKER, "breaker open: the last 10 executions failed"),
    ],
)
def test_what_a_policy_bars_is_ignored_with_its_reason_and_decided(world, bar, cause, reason):
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    bar(world, sync)
    before = len(executions_of(world, sync))

    send(world, sync.tenant_id, "evt_1")
    processed(world)

    (event,) = events_of(world, sync.tenant_id)
    (decided,) = decided_of(world, sync)
    assert len(executions_of(world, sync)) == before
    assert event.status is EventStatus.IGNORED
    assert event.reason.startswith(f"acme/orders/main: {reason}")
    assert (decided.decision.outcome, decided.decision.cause) == (Outcome.SKIPPED, cause)
    assert decided.decision.reason.startswith(f"event order.paid of shop (evt_1); {reason}")


def test_a_paused_schedule_does_not_join_what_another_started(world):
    """Its decision says that it was paused, while the other's execution answers the event."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK, name="awake")
    world.schedule(sync, REALTIME)
    paused(world, sync)

    send(world, sync.tenant_id, platform="database")
    processed(world)

    outcomes = {one.schedule_name: one.decision.outcome for one in decided_of(world, sync)}
    assert outcomes == {"awake": Outcome.RUN, "main": Outcome.SKIPPED}
    assert statuses(world, sync.tenant_id) == [EventStatus.DISPATCHED]


def test_two_schedules_of_a_sync_that_hear_the_same_make_one_execution(world):
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK, name="a")
    world.schedule(sync, REALTIME, name="b")

    send(world, sync.tenant_id, platform="database")
    processed(world)

    outcomes = {one.decision.outcome for one in decided_of(world, sync)}
    assert outcomes == {Outcome.RUN, Outcome.COLLAPSED}
    assert len(executions_of(world, sync)) == 1


def test_an_event_that_waited_for_hours_is_not_missed(world):
    """Nobody processed events for a while; what they told of has still to be read."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK, policies=Policies(missed=Missed(policy=MissedPolicy.SKIP)))
    send(world, sync.tenant_id)
    world.clock.advance(hours=9)

    processed(world)

    (made,) = executions_of(world, sync)
    assert (made.trigger, made.due_at) == (Trigger.REALTIME, START)
    assert made.next_attempt_at == world.clock()
