"""Endpoints' alarms, events that name streams, and shadows."""

from datetime import timedelta

import pytest

from sync_pipelines.catalog import endpoints, incidents
from sync_pipelines.catalog.incidents import Kind
from sync_pipelines.engine import webhooks
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.events import take_up
from sync_pipelines.engine.watch import watch
from sync_pipelines.model.dead_letter import covers
from sync_pipelines.model.endpoint import Health
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Request, Status
from sync_pipelines.model.policy import Overlap, Policies
from sync_pipelines.model.sync import SyncStream
from tests.engine.ending import decided_of, end, executions_of, start
from tests.engine.sending import ON_WEBHOOK, REALTIME, events_of, processed, send, statuses
from tests.gateway.hooks import endpoint


def alarms(world, kind):
    with world.catalog.begin() as db:
        return [
            one.alarm
            for one in incidents.list_incidents_for_all_tenants(db)
            if one.alarm.kind is kind
        ]


def came(world, hook, **tally):
    with world.catalog.begin() as db:
        endpoints.add_tallies_for_all_tenants(db, {hook.id: Health(**tally)})


def look(world):
    watch(world.catalog, world.clock())


# --- alarms ------------------------------------------------------------------------------


def test_an_endpoint_that_falls_silent_is_an_incident_until_it_is_heard_again(world):
    """R50, R102."""
    world.sync()
    hook = endpoint(world, silence_after=timedelta(hours=1))
    endpoint(world, "patient")
    seen = []

    for minutes, hears in ((59, False), (2, False), (1, True)):
        world.clock.advance(minutes=minutes)
        if hears:
            came(world, hook, received=1, last_received_at=world.clock())
        look(world)
        seen.append([alarm.subject for alarm in alarms(world, Kind.SILENT_WEBHOOK)])

    assert seen == [[], ["acme/shop"], []]


def test_an_endpoint_that_is_switched_off_may_be_silent(world):
    """R48."""
    world.sync()
    endpoint(world, silence_after=timedelta(hours=1))
    webhooks.switch_tenant(
        world.catalog, tenant="acme", is_on=False, actor="test", now=world.clock()
    )
    world.clock.advance(hours=2)

    look(world)

    assert alarms(world, Kind.SILENT_WEBHOOK) == []


def test_many_refused_in_a_row_are_an_incident_until_one_is_genuine(world):
    world.sync()
    hook = endpoint(world)
    at = world.clock()
    seen = []

    for tally in (
        Health(refused=19, streak=19, last_refused_at=at, last_refusal="forged"),
        Health(refused=1, streak=1, last_refused_at=at, last_refusal="forged"),
        Health(received=1, last_received_at=at),
    ):
        with world.catalog.begin() as db:
            endpoints.add_tallies_for_all_tenants(db, {hook.id: tally})
        look(world)
        seen.append([alarm.message for alarm in alarms(world, Kind.REFUSED_WEBHOOKS)])

    assert seen == [[], ["the last 20 webhooks to acme/shop were refused: forged"], []]


# --- which syncs an event concerns ---------------------------------------------------------


def live(world, key, *streams):
    sync = world.sync(key, streams=[SyncStream(name=name) for name in streams])
    world.schedule(sync, REALTIME)
    return sync


def test_an_event_that_names_a_stream_starts_only_the_syncs_that_read_it(world):
    """R42."""
    orders = live(world, "acme/orders", "public.orders", "public.refunds")
    products = live(world, "acme/products", "products")

    send(world, orders.tenant_id, platform="database", streams=("Products",))
    processed(world)

    assert len(executions_of(world, products)) == 1
    assert executions_of(world, orders) == []


def test_an_event_whose_stream_nobody_reads_starts_all_rather_than_none(world):
    """Better a look too many than a change that nobody reads."""
    syncs = [live(world, "acme/orders", "wp_orders"), live(world, "acme/products", "wp_products")]

    send(world, syncs[0].tenant_id, platform="database", streams=("orders",))
    while processed(world):
        pass

    assert [len(executions_of(world, sync)) for sync in syncs] == [1, 1]


# --- what an execution reads for an event ----------------------------------------------------


def test_an_event_that_names_a_stream_has_that_stream_read_alone(world):
    """R42."""
    sync = live(world, "acme/shop", "orders", "products", "customers")

    send(world, sync.tenant_id, platform="database", streams=("Products",))
    processed(world)

    (execution,) = executions_of(world, sync)
    assert execution.request == Request(streams=("products",))


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one after the other"])
def test_what_waits_reads_all_that_further_events_name(world, together):
    """R42: one execution for all of them, whichever way they are taken up."""
    sync = live(world, "acme/shop", "orders", "products", "customers")

    for stream in ("products", "orders", "products"):
        send(world, sync.tenant_id, platform="database", streams=(stream,))
        world.clock.advance(seconds=1)
        if not together:
            processed(world)
    processed(world)

    (execution,) = executions_of(world, sync)
    assert set(execution.request.streams) == {"orders", "products"}
    assert statuses(world, sync.tenant_id) == [EventStatus.DISPATCHED] * 3


def test_an_event_that_names_nothing_that_is_read_has_the_whole_sync_read(world):
    sync = live(world, "acme/shop", "orders", "products")
    send(world, sync.tenant_id, platform="database", streams=("orders",))
    processed(world)

    send(world, sync.tenant_id, platform="database", streams=("coupons",))
    processed(world)

    (execution,) = executions_of(world, sync)
    assert execution.request == Request()


def test_a_schedule_with_conditions_stands_for_the_whole_sync(world):
    sync = world.sync(streams=[SyncStream(name="orders"), SyncStream(name="products")])
    world.schedule(sync, ON_WEBHOOK)

    send(world, sync.tenant_id, streams=("orders",))
    processed(world)

    (execution,) = executions_of(world, sync)
    assert execution.request == Request()


def test_while_one_stream_is_read_a_change_of_another_makes_one_more(world):
    sync = live(world, "acme/shop", "orders", "products")
    send(world, sync.tenant_id, platform="database", streams=("orders",))
    processed(world)
    (reading,) = executions_of(world, sync)
    start(world, reading.id)
    world.clock.advance(seconds=1)

    send(world, sync.tenant_id, platform="database", streams=("products",))
    processed(world)

    _, following = executions_of(world, sync)
    assert following.request == Request(streams=("products",))
    assert [one.execution_id for one in events_of(world, sync.tenant_id)] == [
        reading.id,
        following.id,
    ]


def test_what_is_ended_for_a_newer_one_leaves_all_of_its_work_to_that(world):
    sync = world.sync("acme/shop", streams=[SyncStream(name="orders"), SyncStream(name="products")])
    world.schedule(sync, REALTIME, policies=Policies(overlap=Overlap.CANCEL))
    send(world, sync.tenant_id, platform="database")
    processed(world)
    (reading,) = executions_of(world, sync)
    start(world, reading.id)

    send(world, sync.tenant_id, platform="database", streams=("products",))
    processed(world)

    _, following = executions_of(world, sync)
    assert following.request == Request()


def test_events_of_a_cancelled_execution_go_on_only_to_one_that_reads_what_they_name(world):
    sync = live(world, "acme/shop", "orders", "products")
    other = trigger(world.catalog, sync, now=world.clock(), request=Request(streams=("orders",)))
    send(world, sync.tenant_id, platform="database", streams=("products",))
    processed(world)
    cancelled = events_of(world, sync.tenant_id)[0].execution_id

    end(world, cancelled, Status.CANCELLED)

    (event,) = events_of(world, sync.tenant_id)
    assert cancelled != other
    assert event.status is EventStatus.IGNORED


# --- a burst, taken up together ---------------------------------------------------------------


def test_events_taken_up_together_each_have_their_decision_and_one_execution(world):
    sync = world.sync()
    world.schedule(sync, ON_WEBHOOK)
    for number in range(20):
        send(world, sync.tenant_id, f"evt_{number:02}")
        world.clock.advance(seconds=1)
    ids = [event.id for event in events_of(world, sync.tenant_id)]

    waiting = take_up(world.catalog, ids, world.clock())

    (execution,) = executions_of(world, sync)
    decided = [one.decision for one in decided_of(world, sync)]
    assert waiting == [execution.id]
    assert statuses(world, sync.tenant_id) == [EventStatus.DISPATCHED] * 20
    assert len({one.due_at for one in decided}) == 20
    assert sorted(one.reason for one in decided)[7].startswith("event order.paid of shop (evt_07)")


def test_what_a_burst_is_passed_on_as_is_taken_up_with_it(world):
    syncs = [world.sync(f"acme/sync-{number}") for number in range(3)]
    for sync in syncs:
        world.schedule(sync, ON_WEBHOOK)
    for number in range(5):
        send(world, syncs[0].tenant_id, f"evt_{number}")
    ids = [event.id for event in events_of(world, syncs[0].tenant_id)]

    waiting = take_up(world.catalog, ids, world.clock())

    made = [executions_of(world, sync) for sync in syncs]
    assert [len(one) for one in made] == [1, 1, 1]
    assert set(waiting) == {one.id for (one,) in made}
    assert statuses(world, syncs[0].tenant_id) == [EventStatus.DISPATCHED] * 15


def test_those_of_a_burst_that_a_condition_lets_through_are_answered_and_the_others_ignored(world):
    sync = world.sync()
    dear = {**ON_WEBHOOK, "conditions": [{"field": "total", "greater": 100}]}
    world.schedule(sync, dear)
    for number in range(10):
        send(world, sync.tenant_id, f"evt_{number}", payload={"total": 20 * number})
    ids = [event.id for event in events_of(world, sync.tenant_id)]

    take_up(world.catalog, ids, world.clock())

    found = {event.event_id: event.status for event in events_of(world, sync.tenant_id)}
    assert [name for name, status in found.items() if status is EventStatus.DISPATCHED] == [
        f"evt_{number}" for number in range(6, 10)
    ]


# --- shadows -----------------------------------------------------------------------------------


def test_a_shadow_stands_for_no_other_execution_and_nothing_follows_it(world):
    sync = world.sync()
    follower = world.sync("acme/report")
    world.schedule(sync, ON_WEBHOOK)
    world.schedule(follower, {"type": "after", "sync": "orders"})
    shadow = trigger(world.catalog, sync, now=world.clock(), request=Request(into="shadow"))

    send(world, sync.tenant_id)
    processed(world)
    (event,) = events_of(world, sync.tenant_id)
    end(world, shadow)

    assert event.execution_id != shadow
    assert executions_of(world, follower) == []
    assert not covers(Request(into="shadow", full=True), Request())
    assert not covers(Request(full=True), Request(into="shadow"))
