"""Whoever is slow holds up nobody but others that are."""

from datetime import timedelta
from random import Random
from threading import Event, Lock
from uuid import uuid4

from sync_pipelines.catalog import delivering as taking
from sync_pipelines.catalog.delivering import Ended, Quick
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.notify.delivery import FOR_OTHERS, THREADS, Deliverer, deliver_due
from sync_pipelines.notify.lanes import REMEMBERED_SECONDS, SLOW_SECONDS, Lanes, Target
from sync_pipelines.notify.sending import Outgoing, Senders
from sync_pipelines.runtime.waiting import wait_until
from tests.notify.hooks import BASE_URL, hook


class Slowly:
    """Takes what is slow only when it is let go, and the rest at once."""

    def __init__(self) -> None:
        self.let_go = Event()
        self.inside: list[str] = []
        self._lock = Lock()

    def send(self, message: Outgoing) -> str:
        if message.rule.target.endswith("slow"):
            with self._lock:
                self.inside.append(message.rule.name)
            self.let_go.wait(30)
        return "taken"


def test_more_slow_receivers_than_threads_leave_some_to_one_that_is_known_to_be_quick(told):
    """Nobody has tried them before: what is not known to be quick has some threads only."""
    quick = hook(told, "https://example.com/quick")
    sender = Slowly()
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url=BASE_URL)
    deliverer = Deliverer(told.catalog, senders, clock=told.clock, rng=Random(1))
    told.fail()

    deliverer.start()
    tried = wait_until(lambda: sent(told, [quick]) == 1, seconds=20)
    for _ in range(THREADS + 4):
        hook(told, "https://example.com/slow")
    told.fail()
    full = wait_until(lambda: len(sender.inside) >= FOR_OTHERS, seconds=20)
    told.fail()
    passed = wait_until(lambda: sent(told, [quick]) == 3, seconds=20)
    inside = len(sender.inside)
    sender.let_go.set()
    deliverer.stop()

    assert tried
    assert full
    assert passed, "the quick one is served while slow ones wait"
    assert inside == FOR_OTHERS


def test_a_deliverer_that_has_just_started_knows_who_was_quick_before(told):
    """Else slow receivers would have what is kept for others, each time one starts."""
    quick = hook(told, "https://example.com/quick")
    sender = Slowly()
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url=BASE_URL)
    told.fail()
    deliver_due(told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1))
    rival = told.sync("rival/orders").tenant_id
    for _ in range(FOR_OTHERS):
        hook(told, "https://example.com/slow", tenant_id=rival)
    told.fail("rival/orders")
    fresh = Deliverer(told.catalog, senders, clock=told.clock, rng=Random(1))

    fresh.start()
    full = wait_until(lambda: len(sender.inside) == FOR_OTHERS, seconds=20)
    told.fail()
    passed = wait_until(lambda: sent(told, [quick]) == 2, seconds=10)
    sender.let_go.set()
    fresh.stop()

    assert full
    assert passed


def test_how_long_a_target_takes_is_read_from_what_arrived_lately(told):
    rule = hook(told, "https://example.com/hook")
    for seconds in (9, 3, 1):
        told.fail()
        begin_and_settle(told, seconds=seconds)
    since = told.clock() - timedelta(seconds=4)

    with told.catalog.begin() as db:
        lately = taking.sending_seconds_for_all_tenants(db, since=since, most=9)
        latest = taking.sending_seconds_for_all_tenants(db, since=since, most=1)

    assert lately == [(Channel.WEBHOOK, rule.id, 3.0)]
    assert latest == [(Channel.WEBHOOK, rule.id, 1.0)]


def begin_and_settle(told, *, seconds: float) -> None:
    with told.catalog.begin() as db:
        (taken,) = taking.take_for_all_tenants(db, now=told.clock(), rules=1)
        begun = taking.begin(db, taken, now=told.clock())
        ended = Ended(delivery=begun, state=DeliveryState.SENT, said="")
        taking.settle(db, ended, now=told.clock.advance(seconds=seconds))


def sent(told, rules) -> int:
    found = [one for rule in rules for one in told.posted(rule)]
    return sum(one.state is DeliveryState.SENT for one in found)


def test_each_tenant_has_a_rule_served_before_any_has_its_second(told):
    flood = [hook(told, "https://example.com/a") for _ in range(5)]
    rival = hook(
        told, "https://example.com/b", tenant_id=told.sync("rival/orders").tenant_id
    )  # fmt: skip
    told.fail()
    told.fail("rival/orders")

    with told.catalog.begin() as db:
        taken = taking.take_for_all_tenants(db, now=told.clock(), rules=2)

    rules = {one.rule_id for one in taken}
    assert rival.id in rules
    assert len(rules & {one.id for one in flood}) == 1


def test_what_is_quick_is_taken_apart_from_the_rest(told):
    quick, other = hook(told, "https://example.com/a"), hook(told, "https://example.com/b")
    mail = told.rule(topics=(Topic.FAILURE,))
    told.fail()
    told.clock.advance(seconds=10)
    known = Quick(rules=frozenset({quick.id}), channels=frozenset({Channel.EMAIL}))

    with told.catalog.begin() as db:
        first = taking.take_for_all_tenants(db, now=told.clock(), rules=9, quick=known)
        rest = taking.take_for_all_tenants(
            db, now=told.clock(), rules=9, quick=known, is_quick=False
        )

    assert {one.rule_id for one in first} == {quick.id, mail.id}
    assert [one.rule_id for one in rest] == [other.id]


def test_who_was_slow_is_not_quick_again_at_once():
    lanes = Lanes(most_others=3)
    mail, hooks = Target(Channel.EMAIL, None), Target(Channel.WEBHOOK, uuid4())

    lanes.note(hooks, longest_seconds=0.1, now=0.0)
    lanes.note(mail, longest_seconds=SLOW_SECONDS, now=0.0)
    lanes.note(mail, longest_seconds=0.1, now=1.0)
    before = lanes.quick()
    lanes.note(mail, longest_seconds=0.1, now=REMEMBERED_SECONDS)

    assert before == Quick(rules=frozenset({hooks.rule_id}))
    assert lanes.quick().channels == {Channel.EMAIL}


def test_what_takes_long_now_counts_with_those_that_are_not_quick():
    lanes = Lanes(most_others=3)
    known, unknown = Target(Channel.EMAIL, None), Target(Channel.WEBHOOK, uuid4())
    lanes.note(known, longest_seconds=0.1, now=0.0)

    assert lanes.room([(known, 0.0), (known, SLOW_SECONDS), (unknown, 0.0)]) == 1
    assert lanes.room([(unknown, 0.0)] * 5) == 0
