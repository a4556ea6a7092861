"""Mail: sent to a real server, read out of a mailbox."""

import re
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.errors import ConfigError
from sync_pipelines.catalog.notifications import Preferences, put_preferences
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.notification import Channel, DigestTime, Every, Topic
from sync_pipelines.notify.delivery import deliver_due
from sync_pipelines.notify.digests import tell_digests
from sync_pipelines.notify.mail import MailSender, MailServer, Security
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.unsubscribing import unsubscribe
from tests.notify.post_office import post_office


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    with post_office(tmp_path_factory.mktemp("mail")) as found:
        yield found


@pytest.fixture
def deliver(told, office):
    def deliver(server: MailServer | None = None) -> int:
        sender = MailSender(server or office.server(), clock=told.clock)
        senders = Senders(by_channel={Channel.EMAIL: sender}, base_url="https://sync.example.com")
        told.clock.advance(seconds=6)
        return deliver_due(told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1))

    return deliver


@contextmanager
def mailbox(told, office, name):
    """Mail that comes to an address meanwhile."""
    address = f"{name}@example.com"
    found: list = []
    before = len(office.mails_of(address))
    yield address, found
    found += office.mails_of(address)[before:]


def text_of(mail):
    return mail.get_body(("plain",)).get_content()


def html_of(mail):
    return mail.get_body(("html",)).get_content()


def test_a_failure_says_what_failed_what_it_means_and_what_helps(told, office, deliver):
    """R95, R98; UX 5: which sync, when, what failed, last good, what next, one button."""
    told.succeed()
    user = told.user("ana@example.com")
    told.world.schedule(told.sync(), {"type": "hourly"})
    with mailbox(told, office, "ana") as (address, mails):
        rule = told.rule(recipients=(address,), topics=(Topic.FAILURE,))
        with told.catalog.begin() as db:
            zone = Preferences(timezone="Europe/Berlin")
            put_preferences(db, user, zone, tenant_id=rule.tenant_id, now=told.clock())
        told.fail(error=ErrorClass.AUTH)
        deliver()

    (mail,) = mails
    text = text_of(mail)
    assert mail["Subject"] == "[acme] orders failed"
    assert "auth: no luck (in orders)" in text
    assert "Last good at 13:00." in text
    assert "Connect again, or correct the connection's credentials." in text
    assert "It is tried again at 14:00, and goes on where it stopped." in text
    assert "Monday, 2 March 2026, 13:00 (Europe/Berlin)" in text
    assert "https://sync.example.com/syncs/acme/orders" in text
    html = html_of(mail)
    assert html.count('href="https://sync.example.com/syncs') == 1
    assert "no luck" in html


def test_one_mail_tells_of_all_syncs_that_failed_for_one_cause(told, office, deliver):
    with mailbox(told, office, "crowd") as (address, mails):
        told.rule(recipients=(address,), topics=(Topic.FAILURE,))
        names = [f"acme/table{number}" for number in range(30)]
        told.shared(names)
        for name in names:
            told.fail(name)
            told.clock.now -= timedelta(seconds=1)
        deliver()

    (mail,) = mails
    assert mail["Subject"] == "[acme] 1 cause, 30 syncs failing on table0-source"
    assert "and 10 more" in text_of(mail)


def test_what_a_record_or_an_error_says_cannot_become_markup(told, office, deliver):
    with mailbox(told, office, "evil") as (address, mails):
        told.rule(recipients=(address,), topics=(Topic.FAILURE,), name="<b>rule</b>")
        ended = told.fail(followed=False)
        with told.catalog.begin() as db:
            db.exec_driver_sql(
                "UPDATE sync.sync_executions SET error_message = "
                "'<script>alert(1)</script>' || chr(10) || 'Bcc: all@example.com'"
            )
        follow_up(told.catalog, ended.id, told.clock())
        deliver()

    (mail,) = mails
    assert "<script>" not in html_of(mail)
    assert "<b>rule" not in html_of(mail)
    assert mail["Bcc"] is None


def test_who_unsubscribes_gets_no_more_mail_and_the_others_do(told, office, deliver):
    """RFC 8058: one click, without signing in."""
    with mailbox(told, office, "bob") as (bob, to_bob), mailbox(told, office, "eve") as (eve, _):
        rule = told.rule(recipients=(bob, eve), topics=(Topic.FIRST_FAILURE,))
        told.fail()
        deliver()
    link = to_bob[0]["List-Unsubscribe"].strip("<>")
    token = parse_qs(urlsplit(link).query)["token"][0]

    left = unsubscribe(told.catalog, token, now=told.clock())
    told.succeed()
    told.fail()

    assert left == bob
    assert to_bob[0]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert sorted(one.recipient for one in told.posted(rule)) == [bob, eve, eve]
    with pytest.raises(ConfigError):
        unsubscribe(told.catalog, "made-up", now=told.clock())


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_mail_goes_out_over_tls_with_a_login(told, office, deliver, security):
    with mailbox(told, office, "tls") as (address, mails):
        rule = told.rule(recipients=(address,), topics=(Topic.FAILURE,))
        told.fail()
        deliver(office.server(security))

    assert [one.receipts[-1]["said"] for one in told.posted(rule)] == ["accepted"]
    assert len(mails) == 1


def test_a_wrong_password_and_a_server_without_tls_are_tried_again(told, office, deliver):
    rule = told.rule(recipients=("x@example.com",), topics=(Topic.FAILURE,))
    told.fail()

    deliver(office.server(password="wrong"))

    (message,) = told.posted(rule)
    assert message.state is DeliveryState.PENDING
    assert "wrong" not in str(message.receipts)
    with pytest.raises(ConfigError):
        office.server(Security.NONE)


def test_a_mail_server_that_is_down_loses_nothing(told, office, deliver):
    with mailbox(told, office, "later") as (address, mails):
        rule = told.rule(recipients=(address,), topics=(Topic.FAILURE,))
        told.fail()
        deliver(office.server(port=1))
        told.clock.advance(minutes=2)
        deliver()

    assert len(mails) == 1
    assert [one["state"] for one in told.posted(rule)[0].receipts] == ["pending", "sent"]


def test_an_attempt_that_is_repeated_has_the_same_message_id(told, office, deliver):
    with mailbox(told, office, "twice") as (address, mails):
        told.rule(recipients=(address,), topics=(Topic.FAILURE,))
        told.fail()
        deliver()
        with told.catalog.begin() as db:
            db.exec_driver_sql(
                "UPDATE sync.outbox SET state = 'pending', next_attempt_at = now()"
                " - interval '9 years'"
            )
        deliver()

    assert len({mail["Message-ID"] for mail in mails}) == 1
    assert len(mails) == 2


def test_a_digest_brings_its_chart_inside(told, office, deliver):
    """R101."""
    with mailbox(told, office, "digest") as (address, mails):
        told.rule(
            recipients=(address,),
            topics=(Topic.DIGEST,),
            digest=DigestTime(every=Every.WEEKLY, timezone="UTC"),
        )
        for day in range(7):
            for _ in range(4 + day):
                told.succeed()
            if day in (2, 5):
                told.fail()
            told.clock.advance(days=1)
        with told.catalog.begin() as db:
            tell_digests(db, told.clock())
        deliver()

    (mail,) = mails
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    source = re.search(r'src="cid:([^"]+)"', html_of(mail))[1]
    assert picture["Content-ID"] == f"<{source}>"
    assert picture.get_content().startswith(b"\x89PNG")
    assert "weekly digest: 9" in mail["Subject"]
