"""A person's inbox and preferences by the API."""

from datetime import timedelta
from uuid import uuid4

import pytest

from sync_pipelines.catalog import outbox
from sync_pipelines.catalog.notifications import people, put_rule
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Channel, Rule, Topic
from sync_pipelines.model.roles import Role
from tests.engine.settling import run
from tests.gateway.notified import ANA, INBOX, PREFERENCES
from tests.gateway.people import PASSWORD, user


@pytest.fixture
def ana(client, world, acme):
    """Ana, who is signed in as an operator, and what was told her of a failure."""
    user(world, ANA, acme=Role.OPERATOR)
    rule = Rule(
        id=uuid4(),
        tenant_id=acme.tenant_id,
        name="people",
        channel=Channel.IN_APP,
        topics=(Topic.FAILURE,),
        recipients=(ANA,),
    )
    with world.catalog.begin() as db:
        put_rule(db, world.catalog.secrets, rule, now=world.clock())
    run(world, acme, error=ErrorClass.AUTH)
    opened = client.post("/api/v2/session", json={"email": ANA, "password": PASSWORD})
    client.headers["X-CSRF-Token"] = opened.json()["csrf_token"]
    return client


def test_an_inbox_counts_what_is_new_until_it_is_read(ana):
    """UX 5."""
    before = ana.get(INBOX).json()
    (message,) = before["items"]
    read = ana.post(f"{INBOX}/{message['id']}/read")
    ana.post(f"{INBOX}/read")

    assert (before["unread"], read.status_code) == (1, 200)
    assert (message["topic"], message["severity"]) == ("failure", "critical")
    assert message["message"] == "auth: no luck"
    assert ana.get(INBOX).json()["unread"] == 0
    assert ana.get(INBOX, params={"unread": True}).json()["items"] == []


def test_a_message_is_snoozed_acknowledged_and_resolved(ana, world):
    (message,) = ana.get(INBOX).json()["items"]
    path, until = f"{INBOX}/{message['id']}", world.clock() + timedelta(hours=1)

    ana.post(f"{path}/snooze", json={"until": until.isoformat()})
    asleep = ana.get(INBOX).json()
    world.clock.advance(hours=1)
    awake = ana.get(INBOX).json()
    seen = ana.post(f"{path}/acknowledge").json()
    over = ana.post(f"{path}/resolve").json()

    assert (asleep["items"], asleep["unread"]) == ([], 0)
    assert [one["id"] for one in awake["items"]] == [message["id"]]
    assert seen["acknowledged_at"]
    assert over["resolved_at"]
    assert ana.get(INBOX).json()["items"] == []
    assert len(ana.get(INBOX, params={"all": True}).json()["items"]) == 1


def test_nobody_is_asked_to_wait_for_what_has_passed(ana, world):
    (message,) = ana.get(INBOX).json()["items"]
    past = {"until": world.clock().isoformat()}

    answer = ana.post(f"{INBOX}/{message['id']}/snooze", json=past)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.until"


def test_a_colleagues_messages_are_not_there(ana, client, world):
    """R127: within one tenant too."""
    (message,) = ana.get(INBOX).json()["items"]
    user(world, "ben@example.com", acme=Role.ADMIN)
    said = {"email": "ben@example.com", "password": PASSWORD}
    client.headers["X-CSRF-Token"] = client.post("/api/v2/session", json=said).json()["csrf_token"]

    looked = client.get(INBOX).json()
    tried = client.post(f"{INBOX}/{message['id']}/resolve")

    assert (looked["items"], looked["unread"]) == ([], 0)
    assert tried.status_code == 404


def test_a_token_has_no_inbox_and_is_told_so(api, acme):
    assert api.get(INBOX).status_code == api.get(PREFERENCES).status_code == 404
    assert "sign in" in api.get(INBOX).json()["detail"]


def test_a_person_says_how_they_want_to_be_told(ana, world, acme):
    """R100."""
    wanted = {
        "timezone": "Europe/Berlin",
        "quiet_hours": {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"},
        "muted_topics": ["success"],
        "muted_channels": ["in_app"],
        "muted_rules": [],
    }
    before = ana.get(PREFERENCES)

    stored = ana.put(PREFERENCES, json=wanted, headers={"If-Match": before.headers["ETag"]})
    late = ana.put(PREFERENCES, json={}, headers={"If-Match": before.headers["ETag"]})

    assert before.json()["muted_topics"] == []
    assert (stored.status_code, stored.json()) == (200, wanted)
    assert (late.status_code, ana.get(PREFERENCES).json()) == (412, wanted)
    with world.catalog.begin() as db:
        (person,) = people(db, [ANA], tenant_id=acme.tenant_id).values()
    assert person.preferences.muted_channels == (Channel.IN_APP,)


def test_mail_that_waits_is_looked_at_again_when_its_recipient_wants_otherwise(ana, world, acme):
    """Quiet hours that are taken back hold nothing back."""
    ana.put(PREFERENCES, json={"quiet_hours": {"from": "12:00", "to": "14:00"}})
    rule = Rule(
        id=uuid4(),
        tenant_id=acme.tenant_id,
        name="mail",
        channel=Channel.EMAIL,
        topics=(Topic.SUCCESS,),
        recipients=(ANA,),
    )
    with world.catalog.begin() as db:
        put_rule(db, world.catalog.secrets, rule, now=world.clock())
    run(world, acme, Status.COMPLETED)

    with world.catalog.begin() as db:
        (waits,) = outbox.list_deliveries(db, tenant_id=acme.tenant_id)
    ana.put(PREFERENCES, json={})
    with world.catalog.begin() as db:
        (is_due,) = outbox.list_deliveries(db, tenant_id=acme.tenant_id)

    assert (waits.next_attempt_at.hour, waits.next_attempt_at.minute) == (14, 0)
    assert is_due.next_attempt_at == world.clock()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"timezone": "Mars/Base"}, "body.timezone"),
        ({"quiet_hours": {"from": "x", "to": "07:00"}}, "body.quiet_hours.from"),
        ({"muted_topics": ["weather"]}, "body.muted_topics.0"),
        ({"muted_rules": ["team"]}, "body.muted_rules.0"),
    ],
)
def test_what_is_wrong_with_preferences_is_named_by_its_field(ana, wrong, field):
    answer = ana.put(PREFERENCES, json=wrong)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
