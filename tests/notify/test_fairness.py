"""Whoever is slow holds up nobody but others that are."""

from random import Random
from threading import Event, Lock
from time import monotonic

from sync_pipelines.catalog import delivering as taking
from sync_pipelines.catalog.delivering import Slow
from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.notify.delivery import FOR_SLOW, THREADS, Deliverer
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


def test_many_slow_receivers_leave_threads_to_the_quick(told):
    """Of more slow targets than there are threads, in two rounds: known for it in the second."""
    slow = [hook(told, "https://example.com/slow") for _ in range(THREADS + 4)]
    quick = hook(told, "https://example.com/quick")
    sender = Slowly()
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url=BASE_URL)
    skipped = [0.0]
    deliverer = Deliverer(
        told.catalog,
        senders,
        clock=told.clock,
        rng=Random(1),
        timer=lambda: monotonic() + skipped[0],
    )
    told.fail()

    deliverer.start()
    wait_until(lambda: len(sender.inside) >= THREADS, seconds=10)
    skipped[0] += SLOW_SECONDS
    sender.let_go.set()
    wait_until(lambda: sent(told, slow) == len(slow), seconds=10)
    sender.let_go.clear()
    sender.inside.clear()
    told.fail()
    known = wait_until(lambda: len(sender.inside) >= FOR_SLOW, seconds=10)
    told.fail()
    passed = wait_until(lambda: sent(told, [quick]) == 3, seconds=10)
    held = len(sender.inside)
    sender.let_go.set()
    deliverer.stop()

    assert known
    assert passed, "the quick one is served while slow ones wait"
    assert FOR_SLOW <= held < THREADS


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


def test_what_is_slow_is_taken_apart_from_the_rest(told):
    slow, quick = hook(told, "https://example.com/a"), hook(told, "https://example.com/b")
    mail = told.rule(topics=(Topic.FAILURE,))
    told.fail()
    told.clock.advance(seconds=10)
    known = Slow(rules=frozenset({slow.id}), channels=frozenset({Channel.EMAIL}))

    with told.catalog.begin() as db:
        rest = taking.take_for_all_tenants(db, now=told.clock(), rules=9, slow=known)
        apart = taking.take_for_all_tenants(
            db, now=told.clock(), rules=9, slow=known, only_slow=True
        )

    assert [one.rule_id for one in rest] == [quick.id]
    assert {one.rule_id for one in apart} == {slow.id, mail.id}


def test_a_target_stays_slow_for_a_while_and_the_others_share_what_room_is_left():
    lanes = Lanes(most_slow=3)
    target = Target(Channel.EMAIL, None)

    lanes.note(target, longest_seconds=SLOW_SECONDS, now=0.0)
    lanes.note(target, longest_seconds=0.1, now=1.0)

    assert lanes.slow(now=2.0) == Slow(channels=frozenset({Channel.EMAIL}))
    assert lanes.room([(target, 0.0), (Target(Channel.WEBHOOK, None), SLOW_SECONDS)]) == 1
    assert lanes.slow(now=REMEMBERED_SECONDS + 1) == Slow()
