"""Messages whose sender does not live to tell, and those that cannot even be made."""

import os
import signal
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from psycopg import OperationalError
from sqlalchemy import NullPool, create_engine, event, text
from structlog.testing import capture_logs

from sync_pipelines.catalog import delivering as taking
from sync_pipelines.catalog.deliverers import LIVING, LOCKS, Presence
from sync_pipelines.catalog.delivering import LEASE
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.engine.following import following_up
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.notify import delivery
from sync_pipelines.notify.delivery import deliver_due
from sync_pipelines.notify.sending import Outgoing, Senders
from sync_pipelines.notify.turns import MOST_LOST
from sync_pipelines.runtime.waiting import wait_until
from tests.notify.hooks import BASE_URL, delivering, hook
from tests.notify.killing import in_a_process


class Deadly:
    """Ends its process by one message, as a fault of a library would; the others arrive."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id

    def send(self, message: Outgoing) -> str:
        if message.event_id == self.event_id:
            os.kill(os.getpid(), signal.SIGKILL)
        return "taken"


class Unmakeable:
    def __init__(self, event_id: str) -> None:
        self.event_id = event_id

    def send(self, message: Outgoing) -> str:
        if message.event_id == self.event_id:
            return "\ud800".encode().decode()
        return "taken"


def deliver(told, sender) -> int:
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url=BASE_URL)
    return deliver_due(told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1))


def test_a_message_that_kills_its_sender_is_given_up_and_the_others_arrive(told):
    """Its attempts are counted before they are made: nobody is left to count them after."""
    rule = hook(told, "https://example.com/hook")
    ids = [f"execution:{told.fail().id}:failure" for _ in range(3)]
    deadly = Deadly(ids[0])

    ends: list[int] = []
    while len(ends) < 20 and any(
        one.state is DeliveryState.PENDING for one in told.posted(rule)
    ):  # fmt: skip
        ends.append(in_a_process(told, lambda: deliver(told, deadly)))
        told.clock.advance(hours=1)

    killed = [end for end in ends if end == signal.SIGKILL]
    states = {one.event_id: one.state for one in told.posted(rule)}
    (given_up,) = [one for one in told.posted(rule) if one.event_id == ids[0]]
    assert len(killed) == MOST_LOST
    assert states == {
        ids[0]: DeliveryState.DEAD,
        ids[1]: DeliveryState.SENT,
        ids[2]: DeliveryState.SENT,
    }
    assert given_up.attempts == MOST_LOST
    assert [bool(one.get("lost")) for one in given_up.receipts] == [True] * MOST_LOST
    assert f"{MOST_LOST} times" in given_up.last_error


def test_what_was_taken_beside_a_message_that_kills_counts_no_attempt(told):
    rule = hook(told, "https://example.com/hook")
    ids = [f"execution:{told.fail().id}:failure" for _ in range(3)]
    deadly = Deadly(ids[0])

    in_a_process(told, lambda: deliver(told, deadly))

    attempts = {one.event_id: one.attempts for one in told.posted(rule)}
    assert attempts == {ids[0]: 1, ids[1]: 0, ids[2]: 0}


def test_after_a_kill_by_chance_a_message_is_sent_again_as_soon_as_it_is_free(told, receiver):
    rule = hook(told, receiver.at("ok"))
    told.fail()
    with told.catalog.begin() as db:
        (mine,) = taking.take_for_all_tenants(db, now=told.clock(), rules=9)
        taking.begin(db, mine, now=told.clock())

    with delivering(told) as deliver_now:
        at_once = deliver_now()
        told.clock.now += LEASE
        later = deliver_now()

    assert (at_once, later) == (0, 1)
    assert told.posted(rule)[0].state is DeliveryState.SENT


def test_what_a_deliverer_had_is_free_as_soon_as_its_process_has_ended(told, receiver):
    """Its lease is not waited for: it is its connection that tells."""
    rule = hook(told, receiver.at("ok"))
    told.fail()
    told.fail()

    def take_and_die():
        presence = Presence(told.catalog, Random(1))
        presence.hold()
        with told.catalog.begin() as db:
            taking.take_for_all_tenants(db, now=told.clock(), rules=9, taken_in=presence.number)
        os.kill(os.getpid(), signal.SIGKILL)

    ended_by = in_a_process(told, take_and_die)
    with delivering(told) as deliver_now:
        wait_until(lambda: not living(told), seconds=5)
        at_once = deliver_now()

    assert ended_by == signal.SIGKILL
    assert at_once == 2
    assert [one.receipts[0]["said"] for one in told.posted(rule)] == ["200 OK"] * 2


def test_what_a_living_deliverer_has_is_its_own_even_if_its_connection_was_cut(told):
    """Before its lease is over, that is: it holds its lock anew."""
    hook(told, "https://example.com/hook")
    told.fail()

    with closing(Presence(told.catalog, Random(1))) as presence:
        presence.hold()
        with told.catalog.begin() as db:
            taking.take_for_all_tenants(db, now=told.clock(), rules=9, taken_in=presence.number)
            before = taking.lapsed_for_all_tenants(db, now=told.clock())
            db.execute(CUT, {"locks": LOCKS})
        wait_until(lambda: not living(told), seconds=5)
        with told.catalog.begin() as db:
            cut = taking.lapsed_for_all_tenants(db, now=told.clock())
        presence.hold()
        with told.catalog.begin() as db:
            after = taking.lapsed_for_all_tenants(db, now=told.clock())

    assert (len(before), len(cut), len(after)) == (0, 1, 0)
    assert living(told) == []


def living(told) -> list[int]:
    with told.catalog.begin() as db:
        return list(db.scalars(text(LIVING)))


CUT = text("""
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = :locks
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


def test_who_says_that_it_goes_on_keeps_what_it_has(told):
    hook(told, "https://example.com/hook")
    told.fail()
    with told.catalog.begin() as db:
        (mine,) = taking.take_for_all_tenants(db, now=told.clock(), rules=9)
        told.clock.now += LEASE - timedelta(seconds=1)
        taking.renew(db, [mine.taken_by], now=told.clock())
        told.clock.now += LEASE - timedelta(seconds=1)
        still = taking.lapsed_for_all_tenants(db, now=told.clock())
        told.clock.advance(seconds=2)
        gone = taking.lapsed_for_all_tenants(db, now=told.clock())

    assert still == []
    assert [one.id for one in gone] == [mine.id]


def test_who_says_that_it_goes_on_waits_for_no_turn(told):
    """A turn holds two messages at a time: waiting for it would be waiting in a circle."""
    rule = hook(told, "https://example.com/hook")
    told.fail()
    told.fail()
    with told.catalog.begin() as db:
        first, second = taking.take_for_all_tenants(db, now=told.clock(), rules=9)
    later = told.clock.advance(seconds=2)

    with told.catalog.begin() as turn, told.catalog.begin() as beside:
        taking.begin(turn, first, now=later)
        beside.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        taking.renew(beside, [first.taken_by], now=later)

    with told.catalog.begin() as db:
        lapsed = taking.lapsed_for_all_tenants(db, now=later + LEASE - timedelta(seconds=1))
    assert [one.id for one in lapsed] == [first.id], "it is renewed the next time"
    assert len(told.posted(rule)) == 2
    assert second.taken_by == first.taken_by


@pytest.mark.parametrize("place", [0, 1])
def test_a_message_that_cannot_be_made_holds_up_nobody(told, place):
    rule = hook(told, "https://example.com/hook")
    ids = [f"execution:{told.fail().id}:failure" for _ in range(2)]

    deliver(told, Unmakeable(ids[place]))

    (unmade,) = [one for one in told.posted(rule) if one.event_id == ids[place]]
    (other,) = [one for one in told.posted(rule) if one.event_id != ids[place]]
    assert other.state is DeliveryState.SENT
    assert unmade.state is DeliveryState.PENDING
    assert unmade.last_error == "it cannot be made: UnicodeEncodeError"
    assert unmade.next_attempt_at > told.clock()


def test_a_catalog_that_does_not_answer_is_told_of_once_and_when_it_is_back(told, monkeypatch):
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(delivery, "GATHER_SECONDS", 0.0)
    engine = create_engine(told.catalog.engine.url, poolclass=NullPool)
    refused = []
    is_down = True

    @event.listens_for(engine, "do_connect")
    def connect(*_: object) -> None:
        if is_down:
            refused.append("once more")
            raise OperationalError("connection refused")

    deliverer = delivery.Deliverer(
        replace(told.catalog, engine=engine),
        Senders(by_channel={}, base_url=BASE_URL),
        clock=told.clock,
        rng=Random(1),
    )

    with capture_logs() as logs:
        deliverer.start()
        tried_often = wait_until(lambda: len(refused) > 5, seconds=20)
        is_down = False
        is_back = wait_until(lambda: len(logs) > 1, seconds=20)
        deliverer.stop()

    assert tried_often
    assert is_back
    assert [log["event"] for log in logs] == ["delivery.interrupted", "delivery.resumed"]


def test_a_gateway_tells_of_what_ended_without_its_process_though_the_daemon_is_down(told):
    rule = told.rule(topics=(Topic.FAILURE,))
    told.fail(followed=False)
    told.clock.advance(seconds=6)

    with following_up(told.catalog, told.clock, every_seconds=0.01):
        is_told = wait_until(lambda: told.topics(rule) == [Topic.FAILURE], seconds=20)

    assert is_told
