"""How receivers of webhooks behave, and what becomes of messages to them."""

import json
from datetime import timedelta
from random import Random
from time import monotonic

import httpcore
import pytest

from connectors.errors import ConfigError
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.model.roles import Role
from sync_pipelines.notify.delivery import Deliverer
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.targets import check_webhook
from sync_pipelines.notify.webhook import WebhookSender
from sync_pipelines.runtime.waiting import wait_until
from tests.notify.hooks import BASE_URL, delivering, hook, stored
from tests.notify.receiver import receiving, self_signed

MEGABYTE = 2**20


def test_410_switches_a_rule_off_and_the_admins_are_told_in_their_inboxes(told, receiver):
    told.user("boss@example.com", role=Role.ADMIN)
    told.user("ana@example.com", role=Role.VIEWER)
    rule = hook(told, receiver.at("gone"))
    told.fail()
    told.fail()

    with delivering(told) as deliver:
        deliver()
        told.fail()
        deliver()

    assert "410" in stored(told, rule).paused
    assert len(receiver.had) == 1, "nothing more is sent to it"
    assert [one.state for one in told.posted(rule)] == [DeliveryState.DEAD, DeliveryState.DROPPED]
    (message,) = told.inbox()
    assert message.topic is Topic.WARNING
    assert "410" in message.payload["message"]
    assert rule.name in message.payload["message"]


def test_a_receiver_that_asks_to_wait_is_left_alone_for_so_long(told, receiver):
    """RFC 9110, 10.2.3: Retry-After counts for all that goes to it."""
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

    assert receiver.paths() == ["/elsewhere"]
    assert "redirects are not followed" in told.posted(rule)[0].last_error


def test_a_slow_receiver_holds_up_its_own_messages_alone(told, receiver):
    slow, quick = hook(told, receiver.at("slow")), hook(told, receiver.at("ok"))
    told.fail()

    with delivering(told, timeout_seconds=0.5) as deliver:
        deliver()

    assert told.posted(slow)[0].last_error == "no answer in time"
    assert told.posted(quick)[0].state is DeliveryState.SENT


def test_a_head_that_comes_a_byte_at_a_time_is_not_waited_for(told, receiver):
    """Each read alone would never time out."""
    rule = hook(told, receiver.at("drip"))
    told.fail()
    began = monotonic()

    with delivering(told, timeout_seconds=0.5) as deliver:
        deliver()

    assert monotonic() - began < 4
    assert told.posted(rule)[0].last_error == "no answer in time"


def test_a_yes_with_an_endless_answer_is_a_yes_of_which_little_is_read(told, receiver):
    rule = hook(told, receiver.at("endless"))
    told.fail()
    told.fail()

    with delivering(told) as deliver:
        deliver()

    assert {one.state for one in told.posted(rule)} == {DeliveryState.SENT}
    assert wait_until(lambda: receiver.written > 0, seconds=2)
    assert receiver.written < 16 * MEGABYTE


def test_a_deliverer_goes_on_with_others_while_a_receiver_is_slow(told, receiver):
    slow, quick = hook(told, receiver.at("slow")), hook(told, receiver.at("ok"))
    sender = WebhookSender(clock=told.clock, allow_private=True)
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url=BASE_URL)
    deliverer = Deliverer(told.catalog, senders, clock=told.clock, rng=Random(1))
    told.fail()

    deliverer.start()
    receiver.wait_for(lambda: "/slow" in receiver.paths(), seconds=5)
    told.fail()
    all_sent = wait_until(
        lambda: all(one.state is DeliveryState.SENT for one in told.posted(quick)), seconds=5
    )
    meanwhile = [one.state for one in told.posted(slow)]
    asked = receiver.paths().count("/slow")
    receiver.let_go.set()
    deliverer.stop()
    sender.close()

    assert all_sent
    assert len(told.posted(quick)) == 2
    assert meanwhile == [DeliveryState.PENDING] * 2
    assert asked == 1, "nothing more is taken of a rule that somebody is at"


def test_a_receiver_that_refuses_one_message_gets_the_others(told, receiver):
    """The one that is refused waits longer each time; those behind it do not wait with it."""
    rule = hook(told, receiver.at("ok"))
    first = told.fail()
    for _ in range(3):
        told.fail()
    receiver.refused.add(f"execution:{first.id}:failure")

    with delivering(told) as deliver:
        deliver()
        told.clock.advance(minutes=1)
        deliver()

    states = [one.state for one in told.posted(rule)]
    assert states.count(DeliveryState.SENT) == 3
    assert states.count(DeliveryState.PENDING) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(told, tmp_path):
    with receiving(self_signed(tmp_path)) as impostor, delivering(told) as deliver:
        rule = hook(told, impostor.at("ok"))
        told.fail()
        deliver()

    assert impostor.had == []
    assert "CERTIFICATE_VERIFY_FAILED" in told.posted(rule)[0].last_error


def test_a_name_that_leads_nowhere_is_tried_again(told):
    def nowhere(host: str, port: int) -> list[str]:
        raise httpcore.ConnectError(f"the host {host!r} cannot be resolved")

    rule = hook(told, "https://hooks.example.com/ok")
    told.fail()

    with delivering(told, resolve=nowhere) as deliver:
        deliver()

    (message,) = told.posted(rule)
    assert message.state is DeliveryState.PENDING
    assert "'hooks.example.com' cannot be resolved" in message.last_error
    assert message.next_attempt_at > told.clock()


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
    assert told.posted(rule)[0].last_error.endswith("an address inside this network")


def test_a_connection_serves_several_messages(told, receiver):
    rule = hook(told, receiver.at("ok"))
    for _ in range(4):
        told.fail()

    with delivering(told) as deliver:
        deliver()

    assert len(receiver.had) == 4
    assert {json.loads(body)["type"] for _, _, body in receiver.had} == {"failure"}
    assert len(set(receiver.ports)) == 1
    assert {one.state for one in told.posted(rule)} == {DeliveryState.SENT}
