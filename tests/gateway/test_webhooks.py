"""Webhooks over HTTP: proven, stored once, answered, and made into executions at once."""

from datetime import timedelta
from http import HTTPStatus
from threading import Event

from sqlalchemy.exc import OperationalError

from sync_pipelines.catalog import deliveries
from sync_pipelines.engine.events import process
from sync_pipelines.gateway.webhooks import intake
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Trigger
from tests.engine.ending import end, executions_of, start
from tests.gateway.hooks import SECRET, endpoint, events_of, found, order, signed, soon, stored

REALTIME = {"type": "realtime"}


def test_a_genuine_webhook_is_stored_and_starts_its_sync_at_once(world, client, launched):
    """R40, R42, R44: nobody waits for the sensor."""
    sync = world.sync()
    world.schedule(sync, REALTIME)
    hook = endpoint(world, connection="orders-source")

    answer = client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))

    soon(lambda: launched)
    (event,) = events_of(world, sync.tenant_id)
    (execution,) = executions_of(world, sync)
    (delivery,) = stored(world)
    assert (answer.status_code, answer.content) == (HTTPStatus.OK, b"")
    assert (event.platform, event.event_type) == ("orders-source", "order.updated")
    assert (event.entity_type, event.entity_id) == ("order", "7")
    assert (event.status, event.execution_id) == (EventStatus.DISPATCHED, execution.id)
    assert event.delivery_id == delivery.id
    assert execution.trigger is Trigger.REALTIME
    assert launched == [execution.id]


def test_an_event_is_processed_only_when_its_execution_has_succeeded(world, client, launched):
    """R45."""
    sync = world.sync()
    world.schedule(sync, REALTIME)
    hook = endpoint(world, connection="orders-source")
    client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))
    soon(lambda: launched)
    start(world, launched[0])
    (running,) = events_of(world, sync.tenant_id)

    end(world, launched[0])

    (done,) = events_of(world, sync.tenant_id)
    assert (running.status, done.status) == (EventStatus.DISPATCHED, EventStatus.PROCESSED)


def test_the_bytes_are_kept_as_they_came_and_no_secret_with_them(world, client):
    world.sync()
    hook = endpoint(world, scheme="token", options={"header": "X-My-Token", "event_id": "body.id"})
    body = b'{ "id": 7,\n"note": "\\u0000 \xc3\xa9" }'
    headers = {"X-My-Token": SECRET, "Authorization": "Basic xyz", "Cookie": "a=b", "X-Other": "o"}

    answer = client.post(f"/webhooks/{hook.key}", content=body, headers=headers)

    (delivery,) = stored(world)
    assert answer.status_code == HTTPStatus.OK
    assert delivery.body == body
    assert delivery.headers["x-other"] == "o"
    assert not {"x-my-token", "authorization", "cookie"} & set(delivery.headers)
    assert delivery.event_ids == ["7"]


def test_what_is_sent_again_is_stored_once(world, client):
    """R43."""
    sync = world.sync()
    hook = endpoint(world)

    answers = [
        client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))
        for _ in range(3)
    ]

    assert {answer.status_code for answer in answers} == {HTTPStatus.OK}
    assert len(stored(world)) == len(events_of(world, sync.tenant_id)) == 1


def test_two_tenants_and_two_connections_may_have_equal_event_ids(world, client):
    """T7: none suppresses another's."""
    world.sync("acme/orders")
    world.sync("globex/orders")
    hooks = [
        endpoint(world, "a"),
        endpoint(world, "b"),
        endpoint(world, "a", tenant="globex"),
    ]

    for hook in hooks:
        client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))

    assert len(stored(world)) == 3
    assert len(events_of(world, hooks[0].tenant_id)) == 2
    assert len(events_of(world, hooks[2].tenant_id)) == 1


def test_a_burst_makes_one_execution(world, client, launched):
    sync = world.sync()
    world.schedule(sync, REALTIME)
    hook = endpoint(world, connection="orders-source")
    for number in range(30):
        body = order(number)
        client.post(f"/webhooks/{hook.key}", content=body, headers=signed(body))

    soon(lambda: {one.status for one in events_of(world, sync.tenant_id)} == {"dispatched"})

    (execution,) = executions_of(world, sync)
    assert set(launched) == {execution.id}
    assert {one.execution_id for one in events_of(world, sync.tenant_id)} == {execution.id}


def test_what_concerns_several_syncs_starts_all_of_them_at_once(world, client, launched):
    syncs = [world.sync("acme/orders"), world.sync("acme/report")]
    for sync in syncs:
        world.schedule(sync, {"type": "event", "trigger": "webhook"})
    hook = endpoint(world)

    client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))

    soon(lambda: len(launched) == 2)
    assert {executions_of(world, sync)[0].id for sync in syncs} == set(launched)


def test_the_sensor_finishes_what_a_dead_gateway_has_left(world, client, monkeypatch):
    sync = world.sync()
    world.schedule(sync, REALTIME)
    hook = endpoint(world, connection="orders-source")

    def die(*_):
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(intake, "take_up", die)
    client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))
    before = executions_of(world, sync)

    process(world.catalog, world.clock())

    assert before == []
    assert len(executions_of(world, sync)) == 1


def test_microsofts_handshake_is_answered_with_the_decoded_token_and_nothing_else(world, client):
    world.sync()
    hook = endpoint(world, scheme="microsoft-graph")

    answer = client.post(f"/webhooks/{hook.key}?validationToken=Validation%3A+%3Cb%3E%26")

    assert answer.status_code == HTTPStatus.OK
    assert answer.text == "Validation: <b>&"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert stored(world) == []


def test_googles_first_message_is_taken_and_starts_nothing(world, client):
    """T12."""
    sync = world.sync()
    hook = endpoint(world, scheme="google")
    headers = {
        "X-Goog-Channel-Token": SECRET,
        "X-Goog-Channel-ID": "ch-1",
        "X-Goog-Message-Number": "1",
        "X-Goog-Resource-State": "sync",
    }

    answer = client.post(f"/webhooks/{hook.key}", headers=headers)

    assert answer.status_code == HTTPStatus.OK
    assert len(stored(world)) == 1
    assert events_of(world, sync.tenant_id) == []


def test_woocommerces_ping_is_answered_though_nothing_signs_it(world, client):
    world.sync()
    hook = endpoint(world)

    answer = client.post(f"/webhooks/{hook.key}", content=b"webhook_id=3")

    assert answer.status_code == HTTPStatus.OK
    assert stored(world) == []


def test_counts_and_the_last_request_are_kept(world, client):
    """R50."""
    world.sync()
    hook = endpoint(world)
    for number in range(3):
        client.post(f"/webhooks/{hook.key}", content=order(number), headers={})
    soon(lambda: found(world).health.refused == 3)
    refused = found(world).health

    client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))

    soon(lambda: found(world).health.received)
    health = found(world).health
    assert refused.streak == 3
    assert (health.received, health.refused, health.streak) == (1, 3, 0)
    assert health.failure_rate == 0.75
    assert health.last_received_at == world.clock()


def test_old_deliveries_are_forgotten_and_their_events_stay(world, client):
    sync = world.sync()
    hook = endpoint(world)
    client.post(f"/webhooks/{hook.key}", content=order(1), headers=signed(order(1)))
    world.clock.advance(days=13)
    client.post(f"/webhooks/{hook.key}", content=order(2), headers=signed(order(2)))
    world.clock.advance(days=2)

    gone = deliveries.forget_for_all_tenants(
        world.catalog, now=world.clock(), stop=lambda: False, kept_for=timedelta(days=14)
    )

    assert (gone.rows, len(stored(world))) == (1, 1)
    assert len(events_of(world, sync.tenant_id)) == 2


def test_a_provider_is_answered_in_its_time_though_storing_takes_longer(world, client, monkeypatch):
    """R40: it is told to come again, what it sent is stored all the same, and known then."""
    sync = world.sync()
    hook = endpoint(world)
    go_on, store = Event(), deliveries.store_for_all_tenants

    def slowly(db, batch):
        assert go_on.wait(10)
        return store(db, batch)

    monkeypatch.setattr(intake, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(deliveries, "store_for_all_tenants", slowly)

    in_time = client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))
    go_on.set()
    soon(lambda: stored(world))
    monkeypatch.setattr(intake, "ANSWER_SECONDS", 10)
    again = client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))

    assert in_time.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert in_time.headers["retry-after"]
    assert again.status_code == HTTPStatus.OK
    assert len(events_of(world, sync.tenant_id)) == len(stored(world)) == 1
