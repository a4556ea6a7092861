"""Delivers what is due: takes messages, sends them, notes what became of each.

Laws:

* Any number of workers may run, in any number of processes: each takes messages of its own.
* What fails is tried again, later each time, for `TRIED_FOR`; then it is given up, and
  kept. Nothing is held while a message is being sent.
* Of one rule, messages are sent in turn; when one fails for a reason that may pass, those
  behind it wait with it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db
from sqlalchemy.exc import OperationalError

from connectors.errors import ConfigError
from sync_pipelines.catalog import incidents, notifications, outbox
from sync_pipelines.catalog.outbox import Delivery, DeliveryState
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.notify.sending import DeliveryError, Outgoing, Sender
from sync_pipelines.notify.unsubscribing import unsubscribe_url

log = structlog.get_logger()

TRIED_FOR = timedelta(days=3)
THREADS = 8
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=6)
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """The channels, and where the product is: ``base_url`` without a slash at its end."""

    by_channel: Mapping[Channel, Sender]
    base_url: str


def deliver_due(
    catalog: Catalog, senders: Senders, now: datetime, *, clock: Clock, rng: Random
) -> int:
    """Try what is due, a few messages of each of some rules; how many were taken.

    ``clock`` says when an attempt ended, ``now`` what is due.
    """
    turns = _take(catalog, senders, now, clock=clock, rng=rng, rules=THREADS)
    if turns:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="delivery") as pool:
            for _ in pool.map(_Turn.deliver, turns):
                pass
    return sum(len(turn.mine) for turn in turns)


class Deliverer:
    """Delivers in threads of its own until it is stopped; of these, any number may run."""

    def __init__(self, catalog: Catalog, senders: Senders, *, clock: Clock, rng: Random) -> None:
        self._take: Callable[[int], list[_Turn]] = lambda rules: _take(
            catalog, senders, clock(), clock=clock, rng=rng, rules=rules
        )
        self._stop = Event()
        self._thread = Thread(target=self._run, name="deliverer", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being sent, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="delivery") as pool:
            while not self._stop.is_set():
                running = {turn for turn in running if not _is_over(turn)}
                if len(running) == THREADS:
                    wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                    continue
                turns = self._take_some(THREADS - len(running))
                running |= {pool.submit(turn.deliver) for turn in turns}
                if not turns:
                    self._stop.wait(POLL_SECONDS)

    def _take_some(self, rules: int) -> list["_Turn"]:
        try:
            return self._take(rules)
        except (OperationalError, ConfigError) as error:
            # The catalog does not answer, or a key is missing: both may pass.
            log.warning("delivery.interrupted", error=str(error))
            return []


def _is_over(turn: "Future[None]") -> bool:
    """Whether a turn is; one that broke off left its messages to whoever takes them next."""
    if not turn.done():
        return False
    error = turn.exception()
    if error is not None:
        log.error("delivery.broken_off", error=repr(error))
    return True


def _take(
    catalog: Catalog, senders: Senders, now: datetime, *, clock: Clock, rng: Random, rules: int
) -> list["_Turn"]:
    with catalog.begin() as db:
        taken = outbox.take_for_all_tenants(db, now=now, rules=rules)
        found = notifications.rules_for_all_tenants(
            db, catalog.secrets, {delivery.rule_id for delivery in taken}
        )
    by_rule: dict[UUID, list[Delivery]] = {}
    for delivery in taken:
        by_rule.setdefault(delivery.rule_id, []).append(delivery)
    return [
        _Turn(catalog, senders, clock, rng, found.get(rule_id), tuple(mine))
        for rule_id, mine in by_rule.items()
    ]


@dataclass(frozen=True, slots=True)
class _Turn:
    """The messages of one rule."""

    catalog: Catalog
    senders: Senders
    clock: Clock
    rng: Random
    rule: Rule | None
    mine: Sequence[Delivery]

    def deliver(self) -> None:
        """Send them in turn."""
        mine = self.mine
        if self.rule is None or self.rule.channel not in self.senders.by_channel:
            for delivery in mine:
                self._settle(delivery, DeliveryState.DROPPED, "its rule is gone or paused")
            return
        for at, delivery in enumerate(mine):
            again_at = self._try(self.rule, delivery)
            if again_at is not None and mine[at + 1 :]:
                with self.catalog.begin() as db:
                    outbox.give_back(db, mine[at + 1 :], again_at=again_at)
                return

    def _try(self, rule: Rule, delivery: Delivery) -> datetime | None:
        """Send one; when it is tried again, if that was in vain for now."""
        if delivery.recipient in rule.unsubscribed:
            self._settle(delivery, DeliveryState.DROPPED, "the recipient has unsubscribed")
            return None
        sender = self.senders.by_channel[rule.channel]
        try:
            said = sender.send(self._outgoing(rule, delivery))
        except DeliveryError as error:
            return self._failed(rule, delivery, error)
        self._settle(delivery, DeliveryState.SENT, said)
        return None

    def _failed(self, rule: Rule, delivery: Delivery, error: DeliveryError) -> datetime | None:
        now = self.clock()
        if error.is_gone:
            with self.catalog.begin() as db:
                notifications.pause_rule(db, rule, reason=str(error), now=now)
        again_at = now + wait_before(delivery, self.rng, error.retry_after)
        if error.is_final or again_at > delivery.created_at + TRIED_FOR:
            self._settle(delivery, DeliveryState.DEAD, str(error))
            return None
        self._settle(delivery, DeliveryState.PENDING, str(error), again_at=again_at)
        return again_at

    def _settle(
        self,
        delivery: Delivery,
        state: DeliveryState,
        said: str,
        *,
        again_at: datetime | None = None,
    ) -> None:
        now = self.clock()
        with self.catalog.begin() as db:
            outbox.settle(db, delivery, state, said=said, now=now, again_at=again_at)
        log.info(
            "delivery.settled",
            delivery=str(delivery.id),
            channel=str(delivery.channel),
            topic=str(delivery.topic),
            state=str(state),
            attempt=delivery.attempts,
            waited_seconds=round((now - delivery.created_at).total_seconds(), 3),
        )

    def _outgoing(self, rule: Rule, delivery: Delivery) -> Outgoing:
        base = self.senders.base_url
        with self.catalog.begin() as db:
            payload = as_it_stands(db, delivery)
            person = notifications.people(
                db, [delivery.recipient], tenant_id=delivery.tenant_id
            ).get(delivery.recipient)
        zone = person.preferences.timezone if person else None
        return Outgoing(
            event_id=delivery.event_id,
            topic=delivery.topic,
            recipient=delivery.recipient,
            payload=payload,
            rule=rule,
            url=f"{base}{payload.get('path', '/')}",
            zone=zone or rule.digest.timezone,
            unsubscribe=unsubscribe_url(self.catalog.secrets, base, rule.id, delivery.recipient),
        )


def wait_before(delivery: Delivery, rng: Random, asked: timedelta | None) -> timedelta:
    """How long until a message is tried again: longer each time, with a little chance in it."""
    grown: timedelta = FIRST_WAIT * 2 ** min(len(delivery.receipts), 12)
    wait = min(LONGEST_WAIT, grown) * rng.uniform(0.9, 1.1)
    return max(wait, asked or timedelta(0))


def as_it_stands(db: Db, delivery: Delivery) -> Mapping[str, Any]:
    """A message's payload; of an incident with how many syncs it affects by now."""
    incident = delivery.payload.get("incident")
    if not incident:
        return delivery.payload
    names = incidents.affected(db, UUID(incident["id"]), tenant_id=delivery.tenant_id)
    grown = {**incident, "syncs": len(names), "affected": list(names[:_MOST_NAMES])}
    return {**delivery.payload, "incident": grown}


_MOST_NAMES = 20
