from datetime import timedelta
from random import Random

import pytest

from sync_pipelines.catalog import dead_letters, decisions
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.engine.aftermath import follow_up_left_behind
from sync_pipelines.engine.dead_letters import redrive
from sync_pipelines.engine.settle import cancel, settle_lost
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Status
from sync_pipelines.model.policy import Overlap, Policies
from tests.engine.ending import end, executions_of, finish, start
from tests.engine.sending import ON_WEBHOOK, events_of, processed, send, statuses


def letters(world, sync):
    with world.catalog.begin() as db:
        return dead_letters.list_letters(db, Which(), tenant_id=sync.tenant_id)


@pytest.mark.parametrize("status", [Status.FAILED, Status.PARTIAL])
def test_an_event_whose_execution_failed_for_good_is_dead_and_can_be_redriven(world, status):
    """R45, R90."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    send(world, sync.tenant_id, "evt_1", payload={"order": 7})
    processed(world)
    (made,) = executions_of(world, sync)
    start(world, made.id)
    world.clock.advance(minutes=1)
    end(world, made.id, status)
    (dead,) = events_of(world, sync.tenant_id)
    (letter,) = [one for one in letters(world, sync) if one.event_id is not None]

    with world.catalog.begin() as db:
        redrive(db, [letter.id], tenant_id=sync.tenant_id, now=world.clock())
    processed(world)
    end(world, executions_of(world, sync)[-1].id)

    assert dead.status is EventStatus.DEAD
    assert dead.reason.startswith("its execution ")
    assert letter.payload["payload"] == {"order": 7}
    assert len(executions_of(world, sync)) == 2
    assert statuses(world, sync.tenant_id) == [EventStatus.PROCESSED]


def test_a_retry_keeps_its_events(world):
    """They are processed when the last attempt succeeded, not dead when the first failed."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    send(world, sync.tenant_id)
    processed(world)
    (made,) = executions_of(world, sync)
    start(world, made.id)

    settle_lost(world.catalog, made.id, attempt=1, now=world.clock(), rng=Random(1))
    between = statuses(world, sync.tenant_id)
    end(world, made.id)

    assert between == [EventStatus.DISPATCHED]
    assert statuses(world, sync.tenant_id) == [EventStatus.PROCESSED]


def test_a_crash_before_the_follow_up_leaves_no_event_behind(world):
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    send(world, sync.tenant_id)
    processed(world)
    finish(world, executions_of(world, sync)[0].id)

    between = statuses(world, sync.tenant_id)
    world.clock.advance(minutes=1)
    follow_up_left_behind(world.catalog, world.clock())

    assert between == [EventStatus.DISPATCHED]
    assert statuses(world, sync.tenant_id) == [EventStatus.PROCESSED]


def test_events_of_a_cancelled_execution_are_ignored_and_not_started_again(world):
    """Whoever cancelled it does not want it again at once."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    send(world, sync.tenant_id)
    processed(world)
    (made,) = executions_of(world, sync)

    cancel(world.catalog, made.id, now=world.clock())
    world.clock.advance(minutes=1)
    follow_up_left_behind(world.catalog, world.clock())
    processed(world)

    (event,) = events_of(world, sync.tenant_id)
    assert event.status is EventStatus.IGNORED
    assert event.reason == "its execution was cancelled; the next one reads what changed"
    assert len(executions_of(world, sync)) == 1


def test_a_schedule_that_cancels_what_runs_hands_its_events_to_the_new_execution(world):
    """They neither die with the one that was cancelled nor cancel each other for ever."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK, policies=Policies(overlap=Overlap.CANCEL))
    send(world, sync.tenant_id)
    processed(world)
    (first,) = executions_of(world, sync)
    start(world, first.id)
    world.clock.advance(seconds=1)
    send(world, sync.tenant_id)
    processed(world)
    second = executions_of(world, sync)[1]

    end(world, first.id, Status.CANCELLED)
    processed(world)
    handed = [event.execution_id for event in events_of(world, sync.tenant_id)]
    end(world, second.id)

    assert handed == [second.id, second.id]
    assert len(executions_of(world, sync)) == 2
    assert statuses(world, sync.tenant_id) == [EventStatus.PROCESSED] * 2


def test_an_instant_that_was_used_before_is_not_used_again(world):
    """Two events at one instant, of which the first's decision is forgotten already."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    send(world, sync.tenant_id)
    processed(world)
    (first,) = executions_of(world, sync)
    end(world, first.id)
    with world.catalog.begin() as db:
        decisions.forget_for_all_tenants(db, before=world.clock() + timedelta(days=1))
    send(world, sync.tenant_id)

    processed(world)

    _, second = executions_of(world, sync)
    assert second.due_at - first.due_at == timedelta(microseconds=1)
