"""How mail servers refuse, and what becomes of a message then (RFC 5321, RFC 3207)."""

from email import message_from_string
from random import Random

import pytest

from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.notify.delivery import deliver_due
from sync_pipelines.notify.mail import MailSender, MailServer, Security
from sync_pipelines.notify.sending import Senders
from tests.notify.hooks import BASE_URL
from tests.notify.smtp_double import CUT, answering

PENDING, SENT, DEAD = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.DEAD


@pytest.fixture
def post(told):
    """Sends what is due by a server, and gives the only message as it is then."""

    def post(double, security=Security.NONE, **fields):
        server = MailServer(
            host="127.0.0.1",
            port=double.port,
            sender="sync@example.com",
            security=security,
            **fields,
        )
        sender = MailSender(server, clock=told.clock)
        senders = Senders(by_channel={Channel.EMAIL: sender}, base_url=BASE_URL)
        told.clock.advance(minutes=2)
        deliver_due(told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1))
        return told.posted()[-1]

    told.rule(recipients=("ana@example.com",), topics=(Topic.FAILURE,))
    told.fail()
    return post


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ({"RCPT": "450 mailbox busy"}, PENDING),
        ({"RCPT": "550 no such user"}, DEAD),
        ({".": "451 later"}, PENDING),
        ({".": "554 this is spam"}, DEAD),
        ({"MAIL": "553 not your sender"}, PENDING),  # ours to mend, not the recipient's
        ({"HELLO": "554 go away"}, PENDING),
        ({".": CUT}, PENDING),
        ({"QUIT": "421 closing"}, SENT),
        ({"QUIT": CUT}, SENT),
        ({}, SENT),
    ],
)
def test_what_a_server_says_decides_whether_mail_is_tried_again(post, answers, state):
    with answering(**answers) as double:
        message = post(double)

    assert message.state is state
    (receipt,) = message.receipts
    if state is not SENT and CUT not in answers.values():
        assert next(iter(answers.values())) in receipt["said"]


def test_of_two_recipients_one_that_is_refused_does_not_touch_the_other(told, post):
    told.rule(recipients=("gone@example.com", "bob@example.com"), topics=(Topic.SUCCESS,))
    told.succeed()

    with answering(**{"RCPT TO:<GONE@EXAMPLE.COM>": "550 no such user"}) as double:
        post(double)

    states = {one.recipient: one.state for one in told.posted()}
    assert states == {"ana@example.com": SENT, "gone@example.com": DEAD, "bob@example.com": SENT}


def test_a_server_without_starttls_gets_neither_password_nor_mail(post):
    with answering() as double:
        message = post(double, Security.STARTTLS, user="sync", password="secret")

    assert message.state is PENDING
    assert "STARTTLS" in message.last_error
    assert {"MAIL", "AUTH", "DATA"}.isdisjoint(double.said)


def test_a_connection_that_is_cut_after_the_mail_doubles_it_under_one_message_id(post):
    """RFC 5322, 3.6.4: by its Message-ID a client shows it once."""
    with answering(**{".": CUT}) as cut:
        post(cut)
    with answering() as double:
        message = post(double)

    twice = [message_from_string(mail) for mail in (*cut.mails, *double.mails)]
    assert message.state is SENT
    assert len(twice) == 2
    assert len({mail["Message-ID"] for mail in twice}) == 1
