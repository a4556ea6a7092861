"""The link at the end of a mail."""

from uuid import uuid4

import pytest

from sync_pipelines.catalog.notifications import find_rule, put_rule, rules_for_all_tenants
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.model.roles import Role
from sync_pipelines.notify.unsubscribing import unsubscribe_url
from tests.gateway.people import PASSWORD, user

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


def test_a_members_wish_stands_in_their_preferences_where_they_can_take_it_back(
    client, world, rule
):
    """R100."""
    user(world, ANA, acme=Role.VIEWER)
    opened = client.post("/api/v2/session", json={"email": ANA, "password": PASSWORD})
    csrf = {"X-CSRF-Token": opened.json()["csrf_token"]}

    for _ in range(2):
        client.post(unsubscribe_url(world.catalog.secrets, "", rule.id, ANA))
    muted = client.get("/api/v2/notification-preferences").json()["muted_rules"]
    gone = left_out(world, rule)
    client.put("/api/v2/notification-preferences", json={}, headers=csrf)

    assert muted == [str(rule.id)]
    assert (gone, left_out(world, rule)) == ((ANA,), ())
    assert unsubscribed(world, rule) == ()


def left_out(world, rule):
    """To whom a delivery of the rule is dropped."""
    with world.catalog.begin() as db:
        found = rules_for_all_tenants(db, world.catalog.secrets, [rule.id])
    return found[rule.id].unsubscribed
