"""Ends that are followed up while something else happens to the same sync."""

from concurrent.futures import ThreadPoolExecutor, wait

from sync_pipelines.catalog import breakers, dead_letters, endings, events, executions
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.breaker import Breaker
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Status, Trigger
from tests.engine.ending import executions_of, finish, start
from tests.engine.sending import events_of, send
from tests.engine.settling import run

PATIENCE_SECONDS = 0.5
"""How long somebody who ought to wait is given to prove that they do not."""


def test_a_success_that_concerns_nobody_waits_for_nobody(world):
    """Dispatchers hold a sync while they decide, and pass over one that is held."""
    sync = world.sync()
    ended = run(world, sync, Status.COMPLETED, followed=False)

    with ThreadPoolExecutor(1) as pool, world.catalog.begin() as db:
        endings.hold_sync(db, sync.id, tenant_id=sync.tenant_id)
        marked = pool.submit(follow_up, world.catalog, ended.id, world.clock())
        done, _ = wait([marked], timeout=30)

    assert done
    marked.result()


def test_a_failure_before_it_that_is_just_being_followed_up_is_waited_for(world):
    """Its breaker's memory is not to be seen yet, and is forgotten all the same."""
    sync = world.sync()
    failed = run(world, sync, followed=False)
    success = run(world, sync, Status.COMPLETED, followed=False)

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            endings.hold_sync(db, sync.id, tenant_id=sync.tenant_id)
            endings.mark_followed_up(db, failed, now=world.clock())
            breakers.put(db, sync.id, Breaker(failures=1), tenant_id=sync.tenant_id)
            following = pool.submit(follow_up, world.catalog, success.id, world.clock())
            wait([following], timeout=PATIENCE_SECONDS)
        following.result()

    with world.catalog.begin() as db:
        assert breakers.find(db, sync.id, tenant_id=sync.tenant_id) == Breaker()
        assert endings.find_ended_for_all_tenants(db, success.id) is None


def test_a_failure_and_the_success_after_it_followed_up_at_once_leave_nothing_open(world):
    syncs = [world.sync(f"acme/orders-{number}") for number in range(12)]
    ended = []
    for sync in syncs:
        ended.append(run(world, sync, followed=False).id)
        ended.append(run(world, sync, Status.COMPLETED, followed=False).id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: follow_up(world.catalog, one, world.clock()), ended))

    with world.catalog.begin() as db:
        known = breakers.find_for_all_tenants(db, [sync.id for sync in syncs])
        letters = dead_letters.list_letters(db, Which(), tenant_id=syncs[0].tenant_id)
    assert known == {}
    assert [str(letter.status) for letter in letters] == ["superseded"] * 12


def test_an_event_that_is_handed_on_to_an_execution_that_is_just_ending_is_processed(world):
    sync = world.sync()
    send(world, sync.tenant_id, "evt_1")
    (event,) = events_of(world, sync.tenant_id)
    success = trigger(world.catalog, sync, now=world.clock(), reason=Trigger.MANUAL)
    start(world, success)

    def ended():
        finish(world, success)
        follow_up(world.catalog, success, world.clock())

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            executions.lock_active(db, sync.id, tenant_id=sync.tenant_id)
            events.put_dispatched(db, event, sync_id=sync.id, execution_id=success)
            ending = pool.submit(ended)
            wait([ending], timeout=PATIENCE_SECONDS)
        ending.result()

    assert [one.status for one in events_of(world, sync.tenant_id)] == [EventStatus.PROCESSED]


def test_a_follower_that_appears_while_the_execution_is_being_settled_fires(world):
    orders, report = world.sync("acme/orders"), world.sync("acme/report")
    success = trigger(world.catalog, orders, now=world.clock())
    start(world, success)

    with world.catalog.begin() as db:
        running = executions.lock_for_all_tenants(db, success)
        executions.save(db, running, running.ended(Status.COMPLETED, world.clock()))
        world.schedule(report, {"type": "after", "sync": "orders"})
    follow_up(world.catalog, success, world.clock())

    assert len(executions_of(world, report)) == 1
