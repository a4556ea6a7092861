"""How messages get to a webhook's receiver, and what becomes of those that do not."""

import json
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from random import Random
from threading import Thread
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook

from connectors.errors import ConfigError
from sync_pipelines.catalog import delivering as taking
from sync_pipelines.catalog import notifications, outbox
from sync_pipelines.catalog.delivering import Ended
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.notify.targets import check_rule, check_webhook, new_signing_secret, rotated
from sync_pipelines.notify.webhook import signed
from tests.notify.hooks import delivering, hook


def test_a_message_arrives_signed_with_its_id_and_a_link(told, receiver):
    secret = new_signing_secret(Random(1))
    rule = hook(told, receiver.at("ok"), signing=(secret,))
    ended = told.fail()

    with delivering(told) as deliver:
        taken = deliver(), deliver()

    ((_, headers, body),) = receiver.had
    (sent,) = told.posted(rule)
    webhook = Webhook(secret.value)
    stamp = int(headers["webhook-timestamp"])
    assert (
        webhook.sign(headers["webhook-id"], told.clock(), body.decode())
        == (headers["webhook-signature"])
    )
    assert stamp == int(told.clock().timestamp())
    assert taken == (1, 0)
    assert headers["webhook-id"] == f"execution:{ended.id}:failure"
    assert json.loads(body)["url"] == "https://sync.example.com/syncs/acme/orders"
    assert (sent.state, sent.receipts[0]["said"]) == (DeliveryState.SENT, "200 OK")


def test_what_fails_is_tried_again_later_each_time_and_given_up_after_three_days(told, receiver):
    rule = hook(told, receiver.at("broken"))
    told.fail()
    began = told.clock()

    waits = []
    with delivering(told) as deliver:
        while told.posted(rule)[0].state is DeliveryState.PENDING:
            deliver()
            (message,) = told.posted(rule)
            waits.append(message.next_attempt_at - told.clock())
            told.clock.now = message.next_attempt_at

    assert message.state is DeliveryState.DEAD
    assert timedelta(days=2, hours=12) < told.clock() - began < timedelta(days=3, hours=7)
    assert waits[0] < timedelta(minutes=1) < waits[3] < waits[6]
    assert set(receiver.ids()) == {message.event_id}
    assert len(message.receipts) == len(receiver.had)


def test_a_receiver_that_is_back_gets_what_it_missed_under_the_same_id(told, receiver):
    rule = hook(told, receiver.at("ok"))
    told.fail()

    with delivering(told) as deliver:
        receiver.up = False
        deliver()
        told.clock.advance(minutes=2)
        receiver.up = True
        deliver()

    assert receiver.ids() == [told.posted(rule)[0].event_id] * 2
    assert [one["state"] for one in told.posted(rule)[0].receipts] == ["pending", "sent"]


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "ftp://example.com", "https://u:p@example.com/", "https://"]
)
def test_a_webhook_that_would_not_be_private_is_refused(url):
    with pytest.raises(ConfigError):
        check_webhook(url, resolve=lambda *_: ["93.184.216.34"])


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("url", ["json://10.0.0.1/x", "gotify://host/token", "slack://", "hello"])
def test_apprise_reaches_known_services_only(told, url):
    rule = Rule(id=uuid4(), tenant_id=uuid4(), name="chat", channel=Channel.APPRISE, targets=(url,))

    with pytest.raises(ConfigError):
        check_rule(rule)


def test_old_and_new_secret_both_sign_until_the_overlap_is_over(told):
    old, new = new_signing_secret(Random(1)), new_signing_secret(Random(2))
    now = told.clock()
    rule = Rule(
        id=uuid4(),
        tenant_id=uuid4(),
        name="hook",
        channel=Channel.WEBHOOK,
        targets=("https://example.com",),
        signing=(old,),
    )

    turned = rotated(rule, new, now=now)

    soon, later = now + timedelta(hours=23), now + timedelta(hours=25)
    both = signed(turned, "e1", b"{}", now=soon)["webhook-signature"].split(" ")
    alone = signed(turned, "e1", b"{}", now=later)["webhook-signature"].split(" ")
    assert both == [
        Webhook(one.value).sign("e1", soon, "{}") for one in (new, old)
    ]  # fmt: skip
    assert alone == [Webhook(new.value).sign("e1", later, "{}")]
    assert len(b64decode(new.value.removeprefix("whsec_"))) == 24


def test_a_message_is_sent_again_by_its_id(told, receiver):
    rule = hook(told, receiver.at("ok"))
    told.fail()
    (message,) = told.posted(rule)

    with delivering(told) as deliver:
        deliver()
        with told.catalog.begin() as db:
            again = outbox.redeliver(db, message.id, tenant_id=rule.tenant_id, now=told.clock())
            theirs = outbox.redeliver(db, message.id, tenant_id=uuid4(), now=told.clock())
        deliver()

    assert (again, theirs) == (True, False)
    assert receiver.ids() == [message.event_id] * 2


def test_what_a_rule_had_to_send_is_dropped_when_it_is_removed(told, receiver):
    rule = hook(told, receiver.at("ok"))
    told.fail()
    with told.catalog.begin() as db:
        notifications.remove_rule(db, rule.id, tenant_id=rule.tenant_id)

    with delivering(told) as deliver:
        deliver()

    assert told.posted(rule)[0].state is DeliveryState.DROPPED
    assert receiver.had == []


def test_a_deliverer_that_dies_while_sending_leaves_the_message_to_others(told, receiver):
    """Webhooks arrive at least once, under one id."""
    rule = hook(told, receiver.at("ok"))
    told.fail()
    with told.catalog.begin() as db:
        (dead,) = taking.take_for_all_tenants(db, now=told.clock(), rules=9)

    with delivering(told) as deliver:
        at_once = deliver()
        told.clock.advance(minutes=3)
        later = deliver()
    with told.catalog.begin() as db:
        ended = Ended(delivery=dead, state=DeliveryState.DEAD, said="")
        woke_up = taking.settle(db, ended, now=told.clock())

    assert (at_once, later, woke_up) == (0, 1, False)
    assert told.posted(rule)[0].state is DeliveryState.SENT


def test_many_deliverers_send_each_message_once(told, receiver):
    rules = [hook(told, receiver.at("ok")) for _ in range(3)]
    for _ in range(8):
        told.fail()

    def work():
        with delivering(told) as deliver:
            while deliver():
                pass

    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    sent = [one for rule in rules for one in told.posted(rule)]
    assert {one.state for one in sent} == {DeliveryState.SENT}
    assert len(receiver.had) == len(sent) == 24


def test_a_target_is_a_secret_in_the_catalog_and_in_a_rules_text(told):
    rule = hook(told, "https://example.com/T0P/SECRET")

    with told.catalog.begin() as db:
        row = str(db.exec_driver_sql("SELECT * FROM sync.sync_notifications").all())
        sub = notifications.subscriptions(db, tenant_id=rule.tenant_id)

    assert "T0P" not in row + repr(rule) + repr(sub)


def test_rules_are_read_after_the_keys_are_rotated(told):
    rule = hook(told, "https://example.com/hook", signing=(new_signing_secret(Random(3)),))

    with told.catalog.begin() as db:
        rotated_rows = notifications.rotate_secrets_for_all_tenants(db, told.catalog.secrets)
        found = notifications.find_rule(
            db, told.catalog.secrets, rule.name, tenant_id=rule.tenant_id
        )

    assert rotated_rows == 1
    assert found == replace(rule, shown=found.shown)
