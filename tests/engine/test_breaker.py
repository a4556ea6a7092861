from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from sync_pipelines.catalog import breakers, decisions, executions, schedules, syncs, tenants
from sync_pipelines.engine.aftermath import LEFT_BEHIND, follow_up, follow_up_left_behind
from sync_pipelines.engine.dispatch import claim_due, ready, trigger
from sync_pipelines.engine.settle import cancel
from sync_pipelines.engine.steering import pause_sync, resume_sync
from sync_pipelines.model.breaker import Breaker, BreakerPolicy
from sync_pipelines.model.execution import Status
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.model.policy import Overlap, Policies
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.settling import end, run
from tests.world import START

POLICY = BreakerPolicy(failures=2, probe_after=timedelta(minutes=30), ceiling=timedelta(hours=2))


def breaking(world, key="acme/orders", policy=POLICY):
    sync = replace(world.sync(key), breaker=policy)
    with world.catalog.begin() as db:
        syncs.put_sync(db, sync.tenant_id, sync=sync, description=None, now=world.clock())
    return sync


def breaker_of(world, sync):
    with world.catalog.begin() as db:
        return breakers.find(db, sync.id, tenant_id=sync.tenant_id)


def opened(world, **policy):
    """A sync due every quarter of an hour, whose breaker has just opened."""
    sync = breaking(world, policy=replace(POLICY, **policy))
    world.schedule(sync, {"type": "every", "minutes": 15})
    for _ in range(2):
        run(world, sync)
    assert breaker_of(world, sync).opened_at == world.clock()
    return sync


def tick(world):
    return claim_due(world.catalog, "database", world.clock(), tick=str(world.clock()))


def ticks(world, *, quarters):
    """Dispatch at every quarter of an hour from now on; when something started, in minutes."""
    begun = world.clock.now = START + timedelta(minutes=15) * round(
        (world.clock() - START) / timedelta(minutes=15) + 0.5
    )
    started = []
    for _ in range(quarters):
        for launch in tick(world):
            started.append((world.clock() - begun) / timedelta(minutes=1))
            end(world, launch.execution_id)
        world.clock.advance(minutes=15)
    return started


def decided(world, sync):
    """Outcome, cause and reason of every instant, oldest first."""
    with world.catalog.begin() as db:
        found = decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id)
    return [one.decision for one in reversed(found)]


def test_it_opens_after_so_many_executions_failed_for_good_not_attempts(world):
    """R88."""
    sync = breaking(world)
    execution_id = trigger(world.catalog, sync, now=world.clock(), queued=True)

    for _ in range(2):
        end(world, execution_id, Status.PENDING)
    attempts = breaker_of(world, sync)
    end(world, execution_id)
    first = breaker_of(world, sync)
    run(world, sync)

    assert attempts == Breaker()
    assert first == Breaker(failures=1)
    assert breaker_of(world, sync).opened_at == world.clock()


def test_what_got_through_in_part_neither_counts_nor_resets(world):
    sync = breaking(world)
    run(world, sync)

    run(world, sync, Status.PARTIAL)
    run(world, sync, Status.CANCELLED)

    assert breaker_of(world, sync) == Breaker(failures=1)


def test_failures_of_one_sync_are_no_other_s(world):
    sync, other = breaking(world), breaking(world, "acme/refunds")
    run(world, sync)
    run(world, sync)

    assert breaker_of(world, other) == Breaker()


def test_instants_while_it_is_open_are_skipped_and_tell_when_the_next_try_is(world):
    """R88, and law 5: why it did not run."""
    sync = opened(world)

    world.clock.now = START + timedelta(minutes=15)
    launches = tick(world)

    skipped = decided(world, sync)[-1]
    assert launches == []
    assert (skipped.outcome, skipped.cause) == (Outcome.SKIPPED, Cause.BREAKER)
    assert skipped.due_at == START + timedelta(minutes=15)
    assert skipped.reason == (
        "breaker open: the last 2 executions failed; "
        "the next try is not before 2026-03-02 12:30 UTC"
    )


def test_one_probe_at_growing_intervals_up_to_the_ceiling(world):
    """R88: 30 minutes, then an hour, then two, then two again."""
    sync = opened(world)

    started = ticks(world, quarters=30)

    waits = [later - earlier for earlier, later in pairwise(started)]
    assert started[0] == 30
    assert waits == [60, 120, 120]
    assert breaker_of(world, sync).probes == 4
    assert breaker_of(world, sync).failures == 6


def test_a_probe_that_succeeds_closes_it_and_the_schedule_goes_on(world):
    sync = opened(world)
    world.clock.now = START + timedelta(minutes=45)
    (probe,) = tick(world)

    end(world, probe.execution_id, Status.COMPLETED)
    world.clock.advance(minutes=15)
    (usual,) = tick(world)

    assert breaker_of(world, sync) == Breaker()
    assert usual.sync_key == "acme/orders"
    assert decided(world, sync)[-1].outcome is Outcome.RUN


def test_while_a_probe_has_not_ended_there_is_no_second_one(world):
    """Not even on a schedule that would queue behind it, nor after the probe's own time."""
    sync = breaking(world)
    world.schedule(sync, {"type": "every", "minutes": 15}, policies=Policies(overlap=Overlap.QUEUE))
    for _ in range(2):
        run(world, sync)
    world.clock.now = START + timedelta(minutes=45)
    (probe,) = tick(world)

    world.clock.advance(hours=1)
    second = tick(world)

    assert probe
    assert second == []
    assert decided(world, sync)[-1].cause is Cause.BREAKER
    assert "has not ended" in decided(world, sync)[-1].reason
    with world.catalog.begin() as db:
        assert len(executions.lock_active(db, sync.id, tenant_id=sync.tenant_id)) == 1


def test_of_two_schedules_due_at_once_one_is_the_probe(world):
    sync = opened(world)
    world.schedule(
        sync,
        {"type": "every", "minutes": 15},
        name="other",
        policies=Policies(overlap=Overlap.QUEUE),
    )

    world.clock.now = START + timedelta(minutes=45)
    launches = tick(world)

    assert len(launches) == 1
    with world.catalog.begin() as db:
        assert len(executions.lock_active(db, sync.id, tenant_id=sync.tenant_id)) == 1


def test_an_instant_that_the_tenant_s_quota_refuses_is_not_spent_as_the_probe(world):
    sync = opened(world)
    set_quota(world, 2)
    world.clock.now = START + timedelta(minutes=45)
    refused = tick(world)

    set_quota(world, None)
    world.clock.advance(minutes=15)
    (probe,) = tick(world)

    assert refused == []
    assert probe.sync_key == sync.key


def set_quota(world, most):
    with world.catalog.begin() as db:
        tenant = tenants.find_tenant(db, "acme")
        limits = TenantLimits(executions_per_hour=most)
        tenants.put_limits(db, replace(tenant, limits=limits), now=world.clock())


def test_a_person_s_trigger_runs_while_it_is_open_and_closes_it(world):
    sync = opened(world)

    execution_id = trigger(world.catalog, sync, now=world.clock())
    (launch,) = ready(world.catalog, world.clock())
    end(world, execution_id, Status.COMPLETED)

    assert launch.execution_id == execution_id
    assert breaker_of(world, sync) == Breaker()


def test_it_pauses_the_sync_where_that_is_the_policy_and_says_why(world):
    """R88, R89: nothing starts until somebody resumes it, and nobody thinks that it will."""
    sync = opened(world, pause=True)

    with world.catalog.begin() as db:
        found = syncs.find_sync(db, world.catalog.secrets, sync.key)
        (schedule,) = schedules.list_schedules(db, sync.id, tenant_id=sync.tenant_id)
    world.clock.advance(days=1)
    launches = tick(world)

    assert not found.is_active
    assert found.pause_reason == "its last 2 executions failed"
    assert schedule.next_run_at is None
    assert launches == []


def test_a_resumed_sync_is_probed_and_paused_again_if_it_still_fails(world):
    sync = opened(world, pause=True)
    with world.catalog.begin() as db:
        resume_sync(db, sync.id, tenant_id=sync.tenant_id, now=world.clock.advance(hours=2))

    started = ticks(world, quarters=4)

    assert len(started) == 1
    with world.catalog.begin() as db:
        found = syncs.find_sync(db, world.catalog.secrets, sync.key)
    assert found.pause_reason == "its last 3 executions failed"


def test_what_a_person_has_paused_keeps_that_person_s_reason(world):
    sync = breaking(world, policy=replace(POLICY, pause=True))
    with world.catalog.begin() as db:
        pause_sync(
            db, sync.id, tenant_id=sync.tenant_id, reason="the shop moves", now=world.clock()
        )

    for _ in range(3):
        run(world, sync)

    with world.catalog.begin() as db:
        found = syncs.find_sync(db, world.catalog.secrets, sync.key)
    assert found.pause_reason == "the shop moves"


def test_two_that_follow_up_at_once_count_a_failure_once(world):
    sync = breaking(world, policy=BreakerPolicy(failures=50))
    world.schedule(sync, {"type": "every", "minutes": 15})
    failed = run(world, sync, followed=False)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: follow_up(world.catalog, failed.id, world.clock()), range(8)))

    assert breaker_of(world, sync) == Breaker(failures=1)


def test_failures_followed_up_at_once_are_all_counted_even_with_no_schedule_to_hold(world):
    sync = breaking(world, policy=BreakerPolicy(failures=50))
    failed = [run(world, sync, followed=False).id for _ in range(8)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: follow_up(world.catalog, one, world.clock()), reversed(failed)))

    assert breaker_of(world, sync) == Breaker(failures=8)


def test_what_a_killed_process_left_behind_is_followed_up_by_the_dispatcher(world):
    """R88: killed after it was settled, before its end was followed up."""
    sync = breaking(world)
    run(world, sync)
    run(world, sync, followed=False)

    early = follow_up_left_behind(world.catalog, world.clock())
    late = follow_up_left_behind(world.catalog, world.clock() + LEFT_BEHIND * 2)
    again = follow_up_left_behind(world.catalog, world.clock() + LEFT_BEHIND * 4)

    assert (early, late, again) == (0, 1, 0)
    assert breaker_of(world, sync).failures == 2
    assert breaker_of(world, sync).opened_at is not None


def test_a_failure_that_was_left_behind_does_not_count_against_a_later_success(world):
    sync = breaking(world, policy=BreakerPolicy(failures=1))
    run(world, sync, followed=False)
    run(world, sync, Status.COMPLETED)

    follow_up_left_behind(world.catalog, world.clock.advance(minutes=1))

    assert breaker_of(world, sync) == Breaker()


def test_an_execution_that_was_cancelled_while_it_waited_is_no_failure(world):
    sync = breaking(world)
    run(world, sync)
    execution_id = trigger(world.catalog, sync, now=world.clock())
    cancel(world.catalog, execution_id, now=world.clock())

    follow_up(world.catalog, execution_id, world.clock())

    assert breaker_of(world, sync) == Breaker(failures=1)
