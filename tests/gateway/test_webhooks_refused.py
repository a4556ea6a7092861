"""What is not genuine, too long or not wanted is refused, and leaves no more than a count."""

from http import HTTPStatus

import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from sync_pipelines.engine import webhooks
from tests.gateway.hooks import endpoint, events_of, found, order, signed, soon, stored


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
