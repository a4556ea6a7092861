"""A turn: some messages of one rule, sent one after the other, and what became of each.

Laws:

* What fails is tried again, later each time, for `TRIED_FOR`; then it is given up, and
  kept. Nothing is held while a message is being sent.
* When one fails for a reason that may pass, those behind it wait with it. One that cannot
  even be made holds up nobody.
* One that ends the process it is sent by, `MOST_LOST` times, is given up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import delivering, incidents, notifications
from sync_pipelines.catalog.outbox import Delivery, DeliveryState
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.notify.gone import switch_off
from sync_pipelines.notify.sending import DeliveryError, Outgoing, Senders
from sync_pipelines.notify.unsubscribing import unsubscribe_url

log = structlog.get_logger()

TRIED_FOR = timedelta(days=3)
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=6)
TURN_SECONDS = 2.0
"""After so long a turn ends with the message that it is at."""

MOST_LOST = 5
MOST_NAMES = 20
LOST = "the process that was sending it has ended, or fell silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every turn of a process uses.

    ``timer`` counts seconds, ``is_stopping`` says whether the process wants to end.
    """

    catalog: Catalog
    senders: Senders
    clock: Clock
    rng: Random
    timer: Callable[[], float]
    is_stopping: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended.

    ``again_at`` is when it is tried again and, if it holds them up, those behind it, too.
    """

    delivery: Delivery
    state: DeliveryState
    said: str
    again_at: datetime | None = None
    holds_up: bool = True
    is_gone: bool = False
    is_lost: bool = False


@dataclass(slots=True, eq=False)
class Turn:
    """The messages of one rule; None: it is gone, or sends nothing."""

    tools: Tools
    rule: Rule | None
    mine: Sequence[Delivery]
    longest_seconds: float = 0.0
    _affected: dict[UUID, tuple[str, ...]] = field(default_factory=dict)

    @property
    def taker(self) -> UUID | None:
        """By which its messages are known to be somebody's."""
        return self.mine[0].taken_by

    def deliver(self) -> None:
        """Send them; give back what there was no time for."""
        rule, tools = self.rule, self.tools
        if rule is None or rule.channel not in tools.senders.by_channel:
            self._drop()
            return
        until = tools.timer() + TURN_SECONDS
        left = list(self.mine)
        ended: Ended | None = None
        again_at: datetime | None = None
        while left:
            delivery = self._begin(ended, left.pop(0))
            ended = None if delivery is None else self._try(rule, delivery)
            again_at = ended.again_at if ended and ended.holds_up else None
            is_gone = ended is not None and ended.is_gone
            if again_at or is_gone or tools.is_stopping() or tools.timer() >= until:
                break
        with tools.catalog.begin() as db:
            note(db, ended, rule=self.rule, now=tools.clock())
            delivering.give_back(db, left, again_at=again_at)

    def _begin(self, before: Ended | None, delivery: Delivery) -> Delivery | None:
        """Note how the one before ended, and that this one begins."""
        with self.tools.catalog.begin() as db:
            note(db, before, rule=self.rule, now=self.tools.clock())
            return delivering.begin(db, delivery, now=self.tools.clock())

    def _drop(self) -> None:
        why, now = "its rule is gone or paused", self.tools.clock()
        with self.tools.catalog.begin() as db:
            for one in self.mine:
                ended = Ended(delivery=one, state=DeliveryState.DROPPED, said=why)
                note(db, ended, rule=self.rule, now=now)

    def _try(self, rule: Rule, delivery: Delivery) -> Ended:
        """Send one; how that ended."""
        if delivery.recipient in rule.unsubscribed:
            why = "the recipient has unsubscribed"
            return Ended(delivery=delivery, state=DeliveryState.DROPPED, said=why)
        outgoing = self._outgoing(rule, delivery)
        began = self.tools.timer()
        try:
            said = self.tools.senders.by_channel[rule.channel].send(outgoing)
        except DeliveryError as error:
            return failed(delivery, error, now=self.tools.clock(), rng=self.tools.rng)
        except Exception as error:  # the one place where a message that cannot be made ends
            unmade = DeliveryError(f"it cannot be made: {type(error).__name__}")
            log.error("delivery.not_made", delivery=str(delivery.id), error=str(unmade))
            ended = failed(delivery, unmade, now=self.tools.clock(), rng=self.tools.rng)
            return replace(ended, holds_up=False)
        finally:
            self.longest_seconds = max(self.longest_seconds, self.tools.timer() - began)
        return Ended(delivery=delivery, state=DeliveryState.SENT, said=said)

    def _outgoing(self, rule: Rule, delivery: Delivery) -> Outgoing:
        tools = self.tools
        base = tools.senders.base_url
        payload = self._as_it_stands(delivery)
        return Outgoing(
            event_id=delivery.event_id,
            topic=delivery.topic,
            recipient=delivery.recipient,
            payload=payload,
            rule=rule,
            url=f"{base}{payload.get('path', '/')}",
            zone=self._zone(rule, delivery),
            unsubscribe=unsubscribe_url(tools.catalog.secrets, base, rule.id, delivery.recipient),
        )

    def _as_it_stands(self, delivery: Delivery) -> Mapping[str, Any]:
        """A message's payload; of an incident with how many syncs it affects by now."""
        incident = delivery.payload.get("incident")
        if not incident:
            return delivery.payload
        about = UUID(incident["id"])
        if about not in self._affected:
            with self.tools.catalog.begin() as db:
                names = incidents.affected(db, about, tenant_id=delivery.tenant_id)
            self._affected[about] = tuple(names)
        names_now = self._affected[about]
        grown = {**incident, "syncs": len(names_now), "affected": list(names_now[:MOST_NAMES])}
        return {**delivery.payload, "incident": grown}

    def _zone(self, rule: Rule, delivery: Delivery) -> str:
        """On whose clocks a message tells the time: a person's, if one reads it."""
        if delivery.channel is Channel.EMAIL:
            named, tenant_id = [delivery.recipient], delivery.tenant_id
            with self.tools.catalog.begin() as db:
                person = notifications.people(db, named, tenant_id=tenant_id).get(named[0])
            if person is not None and person.preferences.timezone:
                return person.preferences.timezone
        return rule.digest.timezone


def failed(delivery: Delivery, error: DeliveryError, *, now: datetime, rng: Random) -> Ended:
    """What becomes of a message that the other side did not take."""
    again_at = now + wait_before(delivery, rng, error.retry_after)
    if error.is_final or again_at > delivery.created_at + TRIED_FOR:
        return Ended(
            delivery=delivery, state=DeliveryState.DEAD, said=str(error), is_gone=error.is_gone
        )
    return Ended(
        delivery=delivery, state=DeliveryState.PENDING, said=str(error), again_at=again_at
    )  # fmt: skip


def lost(delivery: Delivery, *, now: datetime, rng: Random) -> Ended:
    """What becomes of a message whose process has ended while it was sending it.

    Once is chance: it is sent again at once. Again and again is the message's own doing.
    """
    before = sum(
        bool(one.get("lost")) and datetime.fromisoformat(one["at"]) >= delivery.created_at
        for one in delivery.receipts
    )
    if before + 1 >= MOST_LOST:
        said = f"{LOST}, {MOST_LOST} times"
        return Ended(delivery=delivery, state=DeliveryState.DEAD, said=said, is_lost=True)
    wait = wait_before(delivery, rng, None) if before else timedelta(0)
    return Ended(
        delivery=delivery,
        state=DeliveryState.PENDING,
        said=LOST,
        again_at=now + wait,
        is_lost=True,
    )


def note(db: Db, ended: Ended | None, *, rule: Rule | None, now: datetime) -> None:
    """Keep how an attempt ended; and switch off a rule whose receiver wants no more of it."""
    if ended is None:
        return
    delivery = ended.delivery
    is_kept = delivering.settle(
        db,
        delivery,
        ended.state,
        said=ended.said,
        now=now,
        again_at=ended.again_at,
        is_lost=ended.is_lost,
    )
    if is_kept and ended.is_gone and rule is not None:
        switch_off(db, rule, reason=ended.said, now=now)
    log.info(
        "delivery.settled",
        delivery=str(delivery.id),
        channel=str(delivery.channel),
        topic=str(delivery.topic),
        state=str(ended.state),
        attempt=delivery.attempts,
        waited_seconds=round((now - delivery.created_at).total_seconds(), 3),
    )


def wait_before(delivery: Delivery, rng: Random, asked: timedelta | None) -> timedelta:
    """How long until a message is tried again: longer each time, with a little chance in it."""
    grown: timedelta = FIRST_WAIT * 2 ** min(len(delivery.receipts), 12)
    wait = min(LONGEST_WAIT, grown) * rng.uniform(0.9, 1.1)
    return max(wait, asked or timedelta(0))
