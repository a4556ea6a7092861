"""Webhooks over HTTP: proven, stored once, answered, and made into executions at once."""

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from threading import Event

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from standardwebhooks.webhooks import Webhook

from sync_pipelines.catalog import deliveries, endpoints
from sync_pipelines.catalog.tables import DeliveryRow
from sync_pipelines.engine import webhooks
from sync_pipelines.engine.events import process
from sync_pipelines.gateway.webhooks import intake
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Trigger
from sync_pipelines.runtime.waiting import wait_until
from tests.engine.ending import end, executions_of, start
from tests.gateway.hooks import SECRET, endpoint, events_of, order, signed

REALTIME = {"type": "realtime"}


def soon(is_so: Callable[[], object]) -> None:
    """Wait for what goes on in the background."""
    assert wait_until(lambda: bool(is_so()), seconds=10, every=0.01), "it does not happen"


def stored(world):
    with world.catalog.begin() as db:
        query = select(DeliveryRow.__table__).order_by(DeliveryRow.received_at)
        return db.execute(query).all()


def found(world, name="shop", tenant="acme"):
    with world.catalog.begin() as db:
        return endpoints.find(db, world.catalog.secrets, name, tenant=tenant)


# --- from a request to an execution ----------------------------------------------------


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


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "content", "status", "why"),
    [
        (signed(order(), secret="another secret"), order(), HTTPStatus.UNAUTHORIZED, "forged"),
        ({}, order(), HTTPStatus.UNAUTHORIZED, "unsigned"),
        (signed(b"[1"), b"[1", HTTPStatus.BAD_REQUEST, "malformed"),
        (signed(order()), order(8), HTTPStatus.UNAUTHORIZED, "forged"),
    ],
)
def test_what_is_not_genuine_leaves_a_count_and_nothing_else(
    world, client, headers, content, status, why
):
    """R41, R135."""
    sync = world.sync()
    hook = endpoint(world)

    answer = client.post(f"/webhooks/{hook.key}", content=content, headers=headers)

    soon(lambda: found(world).health.refused)
    health = found(world).health
    assert (answer.status_code, answer.content) == (status, b"")
    assert (health.refused, health.streak, health.last_refusal) == (1, 1, why)
    assert stored(world) == []
    assert events_of(world, sync.tenant_id) == []


def test_a_signed_time_of_long_ago_is_refused(world, client):
    world.sync()
    hook = endpoint(
        world,
        scheme="standard-webhooks",
        secret=None,
    )
    secret = found(world).secrets[0].value
    signature = Webhook(secret).sign("msg_1", world.clock(), "{}")
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(world.clock().timestamp())),
        "webhook-signature": signature,
    }
    fresh = client.post(f"/webhooks/{hook.key}", content=b"{}", headers=headers)
    world.clock.advance(minutes=6)

    replayed = client.post(f"/webhooks/{hook.key}", content=b"{}", headers=headers)

    assert (fresh.status_code, replayed.status_code) == (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED)


@pytest.mark.parametrize("key", ["x" * 22, "short", "x" * 5000, "..%2f..%2fetc", "%00" * 22])
def test_an_unknown_key_is_not_found(client, world, key):
    world.sync()

    answer = client.post(f"/webhooks/{key}", content=b"{}")

    assert answer.status_code == HTTPStatus.NOT_FOUND


def test_another_tenants_secret_opens_nothing(world, client):
    """R127."""
    world.sync("acme/orders")
    world.sync("globex/orders")
    hook = endpoint(world)
    endpoint(world, tenant="globex", secret="the secret of globex")

    answer = client.post(
        f"/webhooks/{hook.key}",
        content=order(),
        headers=signed(order(), secret="the secret of globex"),
    )

    assert answer.status_code == HTTPStatus.UNAUTHORIZED


def test_one_poisoned_delivery_of_a_batch_does_not_spoil_the_others(world, client):
    """An endpoint that was removed a moment ago, and one that is there, in one transaction."""
    sync = world.sync()
    gone, there = endpoint(world, "gone"), endpoint(world, "there")
    client.post(f"/webhooks/{gone.key}", content=order(1), headers=signed(order(1)))
    webhooks.remove(world.catalog, "gone", tenant="acme", actor="test", now=world.clock())

    late = client.post(f"/webhooks/{gone.key}", content=order(2), headers=signed(order(2)))
    good = client.post(f"/webhooks/{there.key}", content=order(3), headers=signed(order(3)))

    assert late.status_code == HTTPStatus.BAD_REQUEST
    assert good.status_code == HTTPStatus.OK
    assert {one.entity_id for one in events_of(world, sync.tenant_id)} == {"1", "3"}


# --- handshakes, switches, rotation ---------------------------------------------------------


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


def test_a_tenant_may_switch_all_its_webhooks_off(world, client):
    """R48: answered as ever, so that no provider gives the URL up, and dropped."""
    sync = world.sync()
    hook = endpoint(world)
    webhooks.switch_tenant(
        world.catalog, tenant="acme", is_on=False, actor="test", now=world.clock()
    )

    answer = client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))

    assert answer.status_code == HTTPStatus.OK
    assert stored(world) == []
    assert events_of(world, sync.tenant_id) == []
    assert not found(world).is_on


def test_a_get_that_is_no_handshake_is_not_allowed(world, client):
    world.sync()
    hook = endpoint(world)

    assert client.get(f"/webhooks/{hook.key}").status_code == HTTPStatus.METHOD_NOT_ALLOWED


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


def test_a_body_that_is_too_long_is_refused_before_it_is_read(world, client):
    world.sync()
    hook = endpoint(world)

    answer = client.post(f"/webhooks/{hook.key}", content=b"x" * 1_000_001)

    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_while_the_catalog_is_away_the_provider_is_to_come_again(world, client, monkeypatch):
    sync = world.sync()
    hook = endpoint(world)
    client.post(f"/webhooks/{hook.key}", content=order(1), headers=signed(order(1)))
    with world.catalog.begin() as db:
        db.execute(text("ALTER TABLE sync.webhook_deliveries RENAME TO away"))

    away = client.post(f"/webhooks/{hook.key}", content=order(2), headers=signed(order(2)))
    with world.catalog.begin() as db:
        db.execute(text("ALTER TABLE sync.away RENAME TO webhook_deliveries"))
    again = client.post(f"/webhooks/{hook.key}", content=order(2), headers=signed(order(2)))

    assert away.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert away.headers["retry-after"] == "5"
    assert again.status_code == HTTPStatus.OK
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
