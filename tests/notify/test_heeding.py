"""What waits in the outbox heeds what has changed since: who wants it, when, and whose it is."""

from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from random import Random

import pytest

from sync_pipelines.catalog import delivering as taking
from sync_pipelines.catalog import outbox
from sync_pipelines.catalog.delivered import outbox_for_all_tenants
from sync_pipelines.catalog.notifications import Preferences, put_preferences, put_rule
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.engine.tenants import resume, suspend
from sync_pipelines.model.notification import Channel, QuietHours, Topic
from sync_pipelines.notify.delivery import deliver_due
from sync_pipelines.notify.ruling import By, send_test
from sync_pipelines.notify.sending import Outgoing, Senders
from tests.notify.hooks import BASE_URL, delivering, hook

ANA = "ana@example.com"
QUIET = QuietHours(start=time(12, 0), end=time(14, 0))
"""From the hour at which a test's clock begins."""


@dataclass
class Kept:
    """Takes every mail."""

    had: list[Outgoing] = field(default_factory=list)

    def send(self, message: Outgoing) -> str:
        self.had.append(message)
        return "accepted"


@pytest.fixture
def mail() -> Kept:
    return Kept()


@pytest.fixture
def deliver(told, mail):
    senders = Senders(by_channel={Channel.EMAIL: mail}, base_url=BASE_URL)

    def deliver(**later: float) -> int:
        told.clock.advance(**(later or {"seconds": 6}))
        return deliver_due(told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1))

    return deliver


@pytest.fixture
def ana(told):
    """Changes what Ana wants, as the API does."""
    user = told.user(ANA)

    def wants(**fields: object) -> None:
        with told.catalog.begin() as db:
            preferences = Preferences(**fields)  # type: ignore[arg-type]
            tenant_id = told.sync().tenant_id
            put_preferences(db, user, preferences, tenant_id=tenant_id, now=told.clock())
            outbox.look_again(db, ANA, tenant_id=tenant_id, now=told.clock())

    return wants


@pytest.mark.parametrize(
    "wish", [{"muted": (Topic.SUCCESS,)}, {"muted_channels": (Channel.EMAIL,)}]
)
def test_what_its_recipient_has_muted_since_is_not_sent(told, mail, deliver, ana, wish):
    rule = told.rule(topics=(Topic.SUCCESS,), recipients=(ANA, "bob@example.com"))
    told.succeed()

    ana(**wish)
    deliver()

    assert [one.recipient for one in mail.had] == ["bob@example.com"]
    (dropped,) = [one for one in told.posted(rule) if one.recipient == ANA]
    assert (dropped.state, dropped.attempts) == (DeliveryState.DROPPED, 0)
    assert dropped.last_error == "the recipient does not want it any more"


def test_what_comes_due_in_quiet_hours_that_are_new_waits_for_their_end(told, mail, deliver, ana):
    rule = told.rule(topics=(Topic.SUCCESS,))
    told.succeed()

    ana(quiet=QUIET)
    deliver()
    (waiting,) = told.posted(rule)
    deliver(hours=2)

    assert (waiting.state, waiting.attempts, waiting.receipts) == (DeliveryState.PENDING, 0, [])
    assert waiting.next_attempt_at == waiting.created_at.replace(hour=14, second=0)
    assert len(mail.had) == 1


def test_the_quiet_hours_of_a_rule_that_are_new_count_too(told, mail, deliver):
    rule = told.rule(topics=(Topic.SUCCESS,))
    told.succeed()

    with told.catalog.begin() as db:
        put_rule(db, told.catalog.secrets, replace(rule, quiet=QUIET), now=told.clock())
    deliver()
    early = len(mail.had)
    deliver(hours=2)

    assert (early, len(mail.had)) == (0, 1)


def test_what_waits_for_the_end_of_quiet_hours_comes_when_they_are_taken_back(
    told, mail, deliver, ana
):
    ana(quiet=QUIET)
    told.rule(topics=(Topic.SUCCESS,))
    told.succeed()

    deliver()
    early = len(mail.had)
    ana(quiet=None)
    deliver()

    assert (early, len(mail.had)) == (0, 1)


def test_what_is_urgent_and_a_test_come_in_quiet_hours(told, mail, deliver, ana):
    ana(quiet=QUIET)
    rule = told.rule(topics=(Topic.FAILURE,))
    told.fail()
    with told.catalog.begin() as db:
        send_test(db, rule, By(actor="ana", now=told.clock()))

    deliver()

    assert {one.topic for one in mail.had} == {Topic.FAILURE, Topic.TEST}


def turn(told, change, **more: object) -> None:
    with told.catalog.begin() as db:
        change(db, find_tenant(db, "acme"), actor="boss", now=told.clock(), **more)


def test_of_a_suspended_tenant_nothing_is_sent_until_it_is_resumed(told, receiver):
    rule = hook(told, receiver.at("ok"))
    rival = hook(told, receiver.at("ok"), tenant_id=told.sync("rival/orders").tenant_id)
    told.fail()
    told.fail("rival/orders")

    with delivering(told) as deliver:
        turn(told, suspend, reason="unpaid")
        told.clock.advance(days=2)
        taken = deliver()
        meanwhile = receiver.ids()
        turn(told, resume)
        deliver()

    assert taken == 1
    assert meanwhile == [one.event_id for one in told.posted(rival)]
    assert [one.state for one in told.posted(rule)] == [DeliveryState.SENT]


def test_an_attempt_does_not_begin_once_its_tenant_is_suspended(told):
    """Whoever has its messages already sends no more of them."""
    hook(told, "https://example.com/hook")
    told.fail()
    with told.catalog.begin() as db:
        (mine,) = taking.take_for_all_tenants(db, now=told.clock(), rules=9)

    turn(told, suspend, reason="unpaid")
    with told.catalog.begin() as db:
        begun = taking.begin(db, mine, now=told.clock())

    assert begun is None


def test_what_could_not_be_tried_for_three_days_is_given_up(told, receiver):
    rule = hook(told, receiver.at("ok"))
    told.fail()
    turn(told, suspend, reason="unpaid")
    told.clock.advance(days=3, seconds=1)
    turn(told, resume)
    told.fail()

    with delivering(told) as deliver:
        deliver()

    old, new = told.posted(rule)
    assert (old.state, old.attempts, new.state) == (DeliveryState.DEAD, 0, DeliveryState.SENT)
    assert old.last_error == "it could not be tried within 3 days"
    assert receiver.ids() == [new.event_id]


def test_what_waits_for_a_suspended_tenant_is_not_overdue(told):
    hook(told, "https://example.com/hook")
    told.fail()
    later = told.clock.advance(minutes=10)

    with told.catalog.begin() as db:
        before = outbox_for_all_tenants(db, later)
    turn(told, suspend, reason="unpaid")
    with told.catalog.begin() as db:
        after = outbox_for_all_tenants(db, later)

    assert (before.oldest, after.oldest) == (timedelta(minutes=10), timedelta(0))
    assert after.pending == {Channel.WEBHOOK: 1}
