"""The link at the end of a mail."""

from uuid import uuid4

import pytest

from sync_pipelines.catalog.notifications import find_rule, put_rule
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.notify.unsubscribing import unsubscribe_url

ANA = "ana@example.com"


@pytest.fixture
def rule(world):
    sync = world.sync("acme/orders")
    rule = Rule(
        id=uuid4(),
        tenant_id=sync.tenant_id,
        name="people",
        channel=Channel.EMAIL,
        recipients=(ANA, "ben@example.com"),
    )
    with world.catalog.begin() as db:
        put_rule(db, world.catalog.secrets, rule, now=world.clock())
    return rule


def unsubscribed(world, rule):
    with world.catalog.begin() as db:
        return find_rule(
            db, world.catalog.secrets, rule.name, tenant_id=rule.tenant_id
        ).unsubscribed


def test_who_presses_the_button_gets_no_more_mail_and_looking_changes_nothing(client, world, rule):
    url = unsubscribe_url(world.catalog.secrets, "", rule.id, ANA)

    looked = client.get(url)
    before = unsubscribed(world, rule)
    pressed = client.post(url)

    assert looked.status_code == 200
    assert ANA in looked.text
    assert before == ()
    assert pressed.status_code == 200
    assert unsubscribed(world, rule) == (ANA,)


def test_a_mail_program_may_do_it_by_itself(client, world, rule):
    """RFC 8058, 3.2: a POST with that body, without cookies."""
    url = unsubscribe_url(world.catalog.secrets, "", rule.id, ANA)

    answer = client.post(url, data={"List-Unsubscribe": "One-Click"})

    assert answer.status_code == 200
    assert unsubscribed(world, rule) == (ANA,)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_is_made_up_is_refused(client, world, rule, method):
    answer = client.request(method, "/unsubscribe", params={"token": "made-up"})

    assert answer.status_code == 422
    assert unsubscribed(world, rule) == ()
