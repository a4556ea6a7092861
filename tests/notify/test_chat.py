"""What services get that Apprise knows: tried against receivers of our own."""

import json
from random import Random

import pytest

from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.notify.chat import AppriseSender
from sync_pipelines.notify.delivery import deliver_due
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.targets import check_apprise
from tests.notify.hooks import BASE_URL

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def chat(told, receiver):
    """Tells a service of a failure and of its end; the bodies that it got, and the rule."""
    senders = Senders(
        by_channel={Channel.APPRISE: AppriseSender(allow_private=True)}, base_url=BASE_URL
    )

    def deliver():
        told.clock.advance(minutes=2)
        deliver_due(told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1))

    def chat(url):
        host = receiver.url.removeprefix("http://")
        target = url.format(host=host)
        shown = check_apprise(target, allow_private=True)
        rule = told.rule(
            Channel.APPRISE,
            targets=(target,),
            shown=shown,
            topics=(Topic.FAILURE, Topic.RECOVERED),
        )
        told.fail(error=ErrorClass.AUTH)
        deliver()
        told.succeed()
        deliver()
        return rule, [json.loads(body) for _, _, body in receiver.had]

    return chat


def test_a_generic_json_receiver_gets_title_text_and_kind(told, receiver, chat):
    rule, (failed, over) = chat("json://{host}/ok")

    assert failed["title"] == "[acme] orders failed"
    assert failed["type"] == "failure"
    assert "What failed: auth: no luck (in orders)" in failed["message"]
    assert "What helps: Connect again" in failed["message"]
    assert "Open the sync: https://sync.example.com/syncs/acme/orders" in failed["message"]
    assert (over["title"], over["type"]) == ("[acme] orders works again", "success")
    assert {one.state for one in told.posted(rule)} == {DeliveryState.SENT}


def test_a_mattermost_gets_a_message_from_us_with_no_pictures_of_others(told, receiver, chat):
    _, (failed, _) = chat("mmost://{host}/abcdefghijklmnopqrstuvwxyz")

    assert failed["username"] == "Sync Pipelines"
    assert "icon_url" not in failed
    assert "orders failed" in failed["text"]
    assert "no luck" in failed["text"]


def test_what_a_url_asks_for_besides_its_target_is_not_heeded(told, receiver, chat):
    """To follow redirects, or to wait for an hour."""
    rule, _ = chat("json://{host}/elsewhere?redirect=yes&rto=3600&verify=no")

    assert set(receiver.paths()) == {"/elsewhere"}
    assert told.posted(rule)[0].state is DeliveryState.PENDING
