"""One execution that is handed over at once: as any other, only sooner."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from sync_pipelines.catalog import executions, syncs, tenants
from sync_pipelines.engine import admission
from sync_pipelines.engine.dispatch import (
    LOST_AFTER,
    claim_due,
    claim_now,
    forgotten,
    put_back,
    ready,
    trigger,
)
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.limits import TenantLimits
from tests.engine.ending import end, start


def ask_for(world, sync):
    return trigger(world.catalog, sync, now=world.clock())


def status_of(world, execution_id):
    with world.catalog.begin() as db:
        return executions.lock_for_all_tenants(db, execution_id).status


def allow_at_once(world, sync, number):
    with world.catalog.begin() as db:
        tenant = tenants.find_tenant(db, sync.tenant)
        limited = replace(tenant, limits=TenantLimits(concurrent=number))
        tenants.put_limits(db, limited, now=world.clock())


def test_a_triggered_execution_is_handed_over_at_once_and_by_nobody_else(world):
    """R38."""
    execution_id = ask_for(world, world.sync())

    launch = claim_now(world.catalog, execution_id, world.clock())

    assert (launch.execution_id, launch.attempt) == (execution_id, 1)
    assert launch.trigger is Trigger.MANUAL
    assert launch.queued_at == world.clock()
    assert ready(world.catalog, world.clock()) == []
    assert claim_now(world.catalog, execution_id, world.clock()) is None


def test_only_the_one_that_is_asked_for_is_handed_over(world):
    others = [ask_for(world, world.sync(f"acme/other-{number}")) for number in range(3)]
    wanted = ask_for(world, world.sync("acme/wanted"))

    claim_now(world.catalog, wanted, world.clock())

    assert status_of(world, wanted) is Status.QUEUED
    assert {status_of(world, other) for other in others} == {Status.PENDING}
    assert len(ready(world.catalog, world.clock())) == 3


def test_many_who_ask_at_once_get_one_hand_over_among_them(world):
    execution_id = ask_for(world, world.sync())

    def ask(number):
        if number % 2:
            return ready(world.catalog, world.clock())
        return [claim_now(world.catalog, execution_id, world.clock())]

    with ThreadPoolExecutor(8) as pool:
        found = [launch for launches in pool.map(ask, range(16)) for launch in launches if launch]

    assert [launch.execution_id for launch in found] == [execution_id]


@pytest.mark.parametrize("busy", [Status.QUEUED, Status.RUNNING])
def test_one_whose_sync_is_busy_waits_for_the_sensor(world, busy):
    sync = world.sync()
    first = ask_for(world, sync)
    world.clock.advance(seconds=1)
    second = ask_for(world, sync)
    claim_now(world.catalog, first, world.clock())
    if busy is Status.RUNNING:
        start(world, first)

    assert claim_now(world.catalog, second, world.clock()) is None
    assert status_of(world, second) is Status.PENDING


def test_the_second_of_a_sync_does_not_get_past_the_first(world):
    sync = world.sync()
    first = ask_for(world, sync)
    world.clock.advance(seconds=1)
    second = ask_for(world, sync)

    assert claim_now(world.catalog, second, world.clock()) is None
    assert claim_now(world.catalog, first, world.clock()) is not None


def test_a_tenants_limit_holds_and_another_tenant_is_not_concerned(world):
    """R67."""
    sync = world.sync("acme/one")
    allow_at_once(world, sync, 1)
    claim_now(world.catalog, ask_for(world, sync), world.clock())
    second = ask_for(world, world.sync("acme/two"))
    other = ask_for(world, world.sync("globex/one"))

    assert claim_now(world.catalog, second, world.clock()) is None
    assert claim_now(world.catalog, other, world.clock()) is not None


def test_it_does_not_take_the_last_place_from_one_that_waits_longer(world):
    first, second = world.sync("acme/one"), world.sync("acme/two")
    allow_at_once(world, first, 1)
    earlier = ask_for(world, first)
    world.clock.advance(seconds=1)
    later = ask_for(world, second)

    assert claim_now(world.catalog, later, world.clock()) is None
    assert claim_now(world.catalog, earlier, world.clock()) is not None


def test_a_connections_limit_holds_with_one_that_waits_longer_for_it(world):
    first, second = world.sync("acme/one"), world.sync("acme/two")
    with world.catalog.begin() as db:
        syncs.put_sync(
            db,
            second.tenant_id,
            sync=replace(second, source=first.source),
            description=None,
            now=world.clock(),
        )
        syncs.put_connection(
            db,
            first.tenant_id,
            name=first.source.name,
            connector="database",
            config={},
            sealed=world.catalog.secrets.seal({}),
            key_id=world.catalog.secrets.key_id,
            now=world.clock(),
            most_at_once=1,
        )
    earlier = ask_for(world, first)
    world.clock.advance(seconds=1)
    later = ask_for(world, second)

    before = claim_now(world.catalog, later, world.clock())
    claim_now(world.catalog, earlier, world.clock())
    beside = claim_now(world.catalog, later, world.clock())
    end(world, earlier)
    after = claim_now(world.catalog, later, world.clock())

    assert before is None
    assert beside is None
    assert after is not None


def test_where_dagsters_queue_is_full_it_waits_in_the_catalog(world, monkeypatch):
    monkeypatch.setattr(admission, "AT_ONCE", 1)
    claim_now(world.catalog, ask_for(world, world.sync("acme/one")), world.clock())
    second = ask_for(world, world.sync("acme/two"))

    assert claim_now(world.catalog, second, world.clock()) is None


def test_a_paused_sync_runs_when_a_person_asks(world):
    """T10."""
    sync = world.sync()
    with world.catalog.begin() as db:
        paused = replace(sync, is_active=False)
        syncs.put_sync(db, sync.tenant_id, sync=paused, description=None, now=world.clock())

    assert claim_now(world.catalog, ask_for(world, sync), world.clock()) is not None


def test_a_retry_is_not_handed_over_before_it_is_due(world):
    execution_id = ask_for(world, world.sync())
    early = world.clock() - timedelta(seconds=1)

    assert claim_now(world.catalog, execution_id, early) is None


def test_one_that_was_cancelled_meanwhile_is_not_handed_over(world):
    execution_id = ask_for(world, world.sync())
    cancel(world.catalog, execution_id, now=world.clock(), reason="not wanted")

    assert claim_now(world.catalog, execution_id, world.clock()) is None


def test_what_was_put_back_is_handed_over_by_the_sensors_next_turn_under_another_key(world):
    launch = claim_now(world.catalog, ask_for(world, world.sync()), world.clock())

    put_back(world.catalog, launch, world.clock())
    world.clock.advance(seconds=5)
    (again,) = ready(world.catalog, world.clock())

    assert (again.execution_id, again.attempt) == (launch.execution_id, launch.attempt)
    assert again.key != launch.key


def test_a_hand_over_that_is_over_is_not_put_back(world):
    """Its run was found after all, or somebody else has handed it over again."""
    sync = world.sync()
    launch = claim_now(world.catalog, ask_for(world, sync), world.clock())
    put_back(world.catalog, launch, world.clock())
    world.clock.advance(seconds=5)
    ready(world.catalog, world.clock())

    put_back(world.catalog, launch, world.clock())

    assert status_of(world, launch.execution_id) is Status.QUEUED
    end(world, launch.execution_id)
    put_back(world.catalog, launch, world.clock())
    assert status_of(world, launch.execution_id) is Status.COMPLETED


def test_one_whose_maker_slept_until_the_sensor_saw_to_it_is_not_put_back(world):
    """Law 2: the sensor asks for its run by its key; under another key it would get a second."""
    launch = claim_now(world.catalog, ask_for(world, world.sync()), world.clock())
    world.clock.advance(seconds=LOST_AFTER.total_seconds() + 1)
    lost = forgotten(world.catalog, world.clock())

    put_back(world.catalog, launch, world.clock())

    assert lost == [launch]
    assert status_of(world, launch.execution_id) is Status.QUEUED
    assert ready(world.catalog, world.clock()) == []


def test_one_whose_maker_died_is_found_after_two_minutes_and_not_before(world):
    launch = claim_now(world.catalog, ask_for(world, world.sync()), world.clock())

    world.clock.advance(seconds=LOST_AFTER.total_seconds())
    before = forgotten(world.catalog, world.clock())
    world.clock.advance(seconds=1)

    assert before == []
    assert forgotten(world.catalog, world.clock()) == [launch]
    assert claim_due(world.catalog, "database", world.clock(), tick="database@later") == []
