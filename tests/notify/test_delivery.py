"""How messages get to a webhook's receiver, and what becomes of those that do not."""

import json
import time
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from threading import Thread
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook

from connectors.errors import ConfigError
from sync_pipelines.catalog import notifications, outbox
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.model.notification import Channel, Rule, Topic
from sync_pipelines.notify.delivery import Deliverer, Senders, deliver_due
from sync_pipelines.notify.targets import check_rule, check_webhook, new_signing_secret, rotated
from sync_pipelines.notify.webhook import WebhookSender, signed
from tests.notify.receiver import SLOW_SECONDS, receiving, self_signed


@pytest.fixture(scope="module")
def receiver():
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def empty(receiver):
    receiver.had.clear()
    receiver.up = True


@contextmanager
def delivering(told, *, timeout_seconds=5.0, **network):
    network = network or {"allow_private": True}
    sender = WebhookSender(clock=told.clock, timeout_seconds=timeout_seconds, **network)
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url="https://sync.example.com")
    try:
        yield lambda: deliver_due(
            told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1)
        )
    finally:
        sender.close()


def hook(told, url, **fields):
    values = {"topics": (Topic.FAILURE,), **fields}
    return told.rule(Channel.WEBHOOK, targets=(url,), **values)


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


def test_410_ends_a_rule(told, receiver):
    rule = hook(told, receiver.at("gone"))
    told.fail()
    told.fail()

    with delivering(told) as deliver:
        deliver()
        told.fail()
        deliver()

    with told.catalog.begin() as db:
        found = notifications.find_rule(
            db, told.catalog.secrets, rule.name, tenant_id=rule.tenant_id
        )
    assert "410" in found.paused
    first, *others = told.posted(rule)
    assert first.state is DeliveryState.DEAD
    assert len(others) == 1, "nothing more is put in for it"


def test_a_receiver_that_asks_to_wait_is_left_alone_for_so_long(told, receiver):
    rule = hook(told, receiver.at("busy"))
    told.fail()
    told.fail()

    with delivering(told) as deliver:
        deliver()
        told.clock.advance(minutes=50)
        deliver()

    assert len(receiver.had) == 1
    assert {one.next_attempt_at for one in told.posted(rule)} == {
        told.clock() + timedelta(minutes=10)
    }


def test_a_redirect_is_not_followed(told, receiver):
    rule = hook(told, receiver.at("elsewhere"))
    told.fail()

    with delivering(told) as deliver:
        deliver()

    assert [path for path, _, _ in receiver.had] == ["/elsewhere"]
    assert "redirects are not followed" in told.posted(rule)[0].last_error


def test_a_slow_receiver_holds_up_its_own_messages_alone(told, receiver):
    slow, quick = hook(told, receiver.at("slow")), hook(told, receiver.at("ok"))
    told.fail()

    with delivering(told, timeout_seconds=SLOW_SECONDS / 3) as deliver:
        deliver()

    assert told.posted(slow)[0].last_error == "no answer in time"
    assert told.posted(quick)[0].state is DeliveryState.SENT


def test_a_deliverer_goes_on_with_others_while_a_receiver_is_slow(told, receiver):
    slow, quick = hook(told, receiver.at("slow")), hook(told, receiver.at("ok"))
    sender = WebhookSender(clock=told.clock, allow_private=True)
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url="https://sync.example.com")
    deliverer = Deliverer(told.catalog, senders, clock=told.clock, rng=Random(1))
    told.fail()

    deliverer.start()
    wait_until(lambda: ("/slow") in [path for path, _, _ in receiver.had])
    told.fail()
    wait_until(lambda: all(one.state is DeliveryState.SENT for one in told.posted(quick)))
    meanwhile = [one.state for one in told.posted(slow)]
    asked = [path for path, _, _ in receiver.had].count("/slow")
    deliverer.stop()
    sender.close()

    assert len(told.posted(quick)) == 2
    assert meanwhile == [DeliveryState.PENDING] * 2
    assert asked == 1, "nothing more is taken of a rule that somebody is at"


def wait_until(is_so):
    until = time.monotonic() + SLOW_SECONDS * 0.9
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_certificate_that_nobody_vouches_for_is_refused(told, tmp_path):
    with receiving(self_signed(tmp_path)) as impostor, delivering(told) as deliver:
        rule = hook(told, impostor.at("ok"))
        told.fail()
        deliver()

    assert impostor.had == []
    assert "CERTIFICATE_VERIFY_FAILED" in told.posted(rule)[0].last_error


def test_a_name_that_leads_inside_is_refused_when_stored_and_when_sent(told, receiver):
    """A name server that answers otherwise the second time reaches nothing."""
    port = receiver.url.rpartition(":")[2]
    outside, inside = (lambda *_: ["93.184.216.34"]), (lambda *_: ["127.0.0.1"])
    url = f"https://hooks.example.com:{port}/ok"

    with pytest.raises(ConfigError, match="an address inside this network"):
        check_webhook(url, resolve=inside)
    shown = check_webhook(url, resolve=outside)
    rule = hook(told, url)
    told.fail()
    with delivering(told, allow_private=False, resolve=inside) as deliver:
        deliver()

    assert shown == f"https://hooks.example.com:{port}"
    assert receiver.had == []
    assert "inside this network" in told.posted(rule)[0].last_error


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
        (dead,) = outbox.take_for_all_tenants(db, now=told.clock(), rules=9)

    with delivering(told) as deliver:
        at_once = deliver()
        told.clock.advance(minutes=3)
        later = deliver()
    with told.catalog.begin() as db:
        woke_up = outbox.settle(db, dead, DeliveryState.DEAD, said="", now=told.clock())

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
