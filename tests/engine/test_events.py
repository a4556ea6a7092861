from uuid import uuid4

import pytest

from connectors.errors import ConfigError
from sync_pipelines.catalog import events
from sync_pipelines.engine.dispatch import ready
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.kinds import EventTrigger
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import decided_of, end, executions_of, start
from tests.engine.sending import ON_WEBHOOK, REALTIME, events_of, processed, send, statuses

# --- taken in once -------------------------------------------------------------------


def test_an_event_sent_twice_is_taken_in_once(world):
    """R43."""
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)

    new = [send(world, sync.tenant_id, "evt_1") for _ in range(2)]
    processed(world)
    late = send(world, sync.tenant_id, "evt_1")
    processed(world)

    assert new == [True, False]
    assert late is False
    assert len(executions_of(world, sync)) == 1


def test_equal_ids_of_two_tenants_or_two_platforms_are_different_events(world):
    """R43, T7: no tenant suppresses another's events."""
    ours, theirs = world.sync("acme/orders"), world.sync("globex/orders")
    for sync in (ours, theirs):
        world.schedule(sync, ON_WEBHOOK)

    new = [
        send(world, ours.tenant_id, "evt_1"),
        send(world, theirs.tenant_id, "evt_1"),
        send(world, ours.tenant_id, "evt_1", platform="bank"),
    ]
    processed(world)

    assert new == [True, True, True]
    assert statuses(world, ours.tenant_id) == [EventStatus.DISPATCHED] * 2
    assert statuses(world, theirs.tenant_id) == [EventStatus.DISPATCHED]
    assert len(executions_of(world, theirs)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_id": "x" * 256},
        {"platform": ""},
        {"event_type": "a\0b"},
        {"entity_id": "\ud800"},
        {"payload": {"note": "a\0b"}},
        {"payload": {"note": "\ud800"}},
        {"payload": {"total": float("inf")}},
    ],
)
def test_what_cannot_be_stored_is_refused_and_its_transaction_goes_on(world, wrong):
    sync = world.sync()
    good = Event(
        id=uuid4(),
        tenant_id=sync.tenant_id,
        source=EventTrigger.API,
        platform="shop",
        event_id="good",
        event_type="order.paid",
        received_at=world.clock(),
    )
    bad = {name: getattr(good, name) for name in good.__dataclass_fields__} | {"id": uuid4()}

    with world.catalog.begin() as db:
        with pytest.raises(ConfigError, match=r"event"):
            events.accept(db, Event(**{**bad, "event_id": "bad", **wrong}))
        events.accept(db, good)

    assert [event.event_id for event in events_of(world, sync.tenant_id)] == ["good"]


# --- who hears it --------------------------------------------------------------------


def test_an_event_starts_the_sync_that_waits_for_it_and_is_processed_when_that_succeeded(world):
    """R5, R40, R45, R52."""
    sync = world.sync()
    schedule_id = world.schedule(sync, ON_WEBHOOK)
    send(world, sync.tenant_id, "evt_1")

    number = processed(world)
    (made,) = executions_of(world, sync)
    (dispatched,) = events_of(world, sync.tenant_id)
    (launch,) = ready(world.catalog, world.clock())
    world.clock.advance(seconds=20)
    end(world, made.id)

    (done,) = events_of(world, sync.tenant_id)
    (decided,) = decided_of(world, sync)
    assert number == 1
    assert (made.trigger, made.schedule_id) == (Trigger.REALTIME, schedule_id)
    assert launch.execution_id == made.id
    assert (dispatched.status, dispatched.execution_id) == (EventStatus.DISPATCHED, made.id)
    assert (done.status, done.processed_at) == (EventStatus.PROCESSED, world.clock())
    assert decided.decision.outcome is Outcome.RUN
    assert decided.decision.reason == "event order.paid of shop (evt_1)"


def test_conditions_look_at_the_payload_and_at_what_the_event_is(world):
    """R5, R18."""
    sync = world.sync()
    world.schedule(
        sync,
        {
            **ON_WEBHOOK,
            "conditions": [
                {"field": "order.total", "greater": 100},
                {"field": "event.event_type", "matches": "order.*"},
                {"field": "event.platform", "equals": "shop"},
                {"field": "event.entity_id", "exists": False},
            ],
        },
    )
    dear, cheap = {"order": {"total": 101}}, {"order": {"total": 100}}

    send(world, sync.tenant_id, "1", payload=cheap)
    send(world, sync.tenant_id, "2", payload=dear, event_type="customer.created")
    send(world, sync.tenant_id, "3", payload={**dear, "event": {"platform": "shop"}}, platform="x")
    send(world, sync.tenant_id, "4", payload=dear, entity_id="17")
    processed(world)
    before = executions_of(world, sync)
    send(world, sync.tenant_id, "5", payload=dear)
    processed(world)

    found = events_of(world, sync.tenant_id)
    assert before == []
    assert [event.status for event in found] == [EventStatus.IGNORED] * 4 + [EventStatus.DISPATCHED]
    assert found[0].reason == (
        "a condition is not met: acme/orders/main asks that order.total is greater than 100"
    )
    assert "event.event_type matches 'order.*'" in found[1].reason
    assert "event.platform is 'shop'" in found[2].reason
    assert "event.entity_id is missing" in found[3].reason


def test_an_event_of_another_source_starts_nothing_and_says_so(world):
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)

    send(world, sync.tenant_id, source=EventTrigger.API)
    processed(world)

    (event,) = events_of(world, sync.tenant_id)
    assert executions_of(world, sync) == []
    assert event.status is EventStatus.IGNORED
    assert event.reason == (
        "nothing waits for it: no schedule has trigger api, and no realtime one reads from 'shop'"
    )


@pytest.mark.parametrize("platform", ["database", "orders-source"])
def test_a_realtime_schedule_fires_for_its_sources_connector_or_connection(world, platform):
    """R2, R40."""
    sync, other = world.sync("acme/orders"), world.sync("acme/other", connector="api")
    world.schedule(sync, REALTIME)
    world.schedule(other, REALTIME)

    send(world, sync.tenant_id, platform=platform, source=EventTrigger.API)
    processed(world)

    assert len(executions_of(world, sync)) == 1
    assert executions_of(world, other) == []


def test_an_event_that_names_its_sync_is_that_syncs_only(world):
    """R42."""
    sync, other = world.sync("acme/orders"), world.sync("acme/other")
    world.schedule(sync, REALTIME)
    world.schedule(other, ON_WEBHOOK)

    send(world, sync.tenant_id, sync_id=sync.id)
    processed(world)

    assert len(executions_of(world, sync)) == 1
    assert executions_of(world, other) == []


def test_another_tenants_schedules_do_not_hear_it(world):
    """R127."""
    ours, theirs = world.sync("acme/orders"), world.sync("globex/orders")
    world.schedule(theirs, ON_WEBHOOK)

    send(world, ours.tenant_id)
    processed(world)

    assert executions_of(world, theirs) == []
    assert statuses(world, ours.tenant_id) == [EventStatus.IGNORED]


def test_what_concerns_several_syncs_is_an_event_for_each_that_fares_by_itself(world):
    first, second = world.sync("acme/orders"), world.sync("acme/stock")
    for sync in (first, second):
        world.schedule(sync, ON_WEBHOOK)
    send(world, first.tenant_id, "evt_1")
    processed(world)
    processed(world)

    (well,), (badly,) = executions_of(world, first), executions_of(world, second)
    end(world, well.id)
    start(world, badly.id)
    end(world, badly.id, Status.FAILED)

    found = {event.event_id: event for event in events_of(world, first.tenant_id)}
    assert found["evt_1"].status is EventStatus.PROCESSED
    assert found["evt_1@stock"].status is EventStatus.DEAD
    assert found["evt_1@stock"].sync_id == second.id
    assert send(world, first.tenant_id, "evt_1") is False
