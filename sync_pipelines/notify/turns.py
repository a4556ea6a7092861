"""A turn: some messages of one rule, sent one after the other, and what became of each.

Laws:

* What fails is tried again, later each time, for `TRIED_FOR`; then it is given up, and
  kept, as is what could not be tried for so long. Nothing is held while a message is
  being sent.
* What its recipient does not want any more is not sent; what comes due in quiet hours, even
  if they were none when it was told, waits for their end.
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
from sync_pipelines.catalog.delivering import Ended
from sync_pipelines.catalog.notifications import Person
from sync_pipelines.catalog.outbox import Delivery, DeliveryState
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.model.notification import Channel, Rule, Severity, Topic
from sync_pipelines.notify.gone import switch_off
from sync_pipelines.notify.lanes import Target
from sync_pipelines.notify.quiet import undisturbed
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


@dataclass(slots=True, eq=False)
class Turn:
    """The messages of one rule; None: it is gone, or sends nothing."""

    tools: Tools
    rule: Rule | None
    mine: Sequence[Delivery]
    longest_seconds: float = 0.0
    _people: Mapping[str, Person] = field(default_factory=dict)
    _affected: dict[UUID, tuple[str, ...]] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """Whom it keeps waiting for."""
        return Target.of(self.mine[0].channel, self.mine[0].rule_id)

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
        left = self._wanted(rule)
        until = tools.timer() + TURN_SECONDS
        ended: Ended | None = None
        while left:
            delivery = self._begin(left[0], after=ended)
            ended = None if delivery is None else self._try(rule, delivery)
            if ended is None:
                break
            left.pop(0)
            is_over = ended.is_gone or (ended.again_at and ended.holds_up)
            if is_over or tools.is_stopping() or tools.timer() >= until:
                break
        again_at = ended.again_at if ended and ended.holds_up else None
        with tools.catalog.begin() as db:
            note(db, ended, rule=rule, now=tools.clock())
            delivering.give_back(db, left, again_at=again_at)

    def _wanted(self, rule: Rule) -> list[Delivery]:
        """What is to be sent now. The rest ends unsent, or waits until quiet hours are over."""
        tools, now = self.tools, self.tools.clock()
        if rule.channel is Channel.EMAIL:
            named, tenant_id = {one.recipient for one in self.mine}, rule.tenant_id
            with tools.catalog.begin() as db:
                self._people = notifications.people(db, named, tenant_id=tenant_id)
        wanted: list[Delivery] = []
        for one in self.mine:
            person = self._people.get(one.recipient)
            ended = unsent(one, rule, person, now=now)
            again_at = not_before(one, rule, person, now=now)
            if ended is None and again_at <= now:
                wanted.append(one)
                continue
            with tools.catalog.begin() as db:
                if ended is None:
                    delivering.give_back(db, [one], again_at=again_at)
                note(db, ended, rule=rule, now=now)
        return wanted

    def _begin(self, delivery: Delivery, *, after: Ended | None) -> Delivery | None:
        """Note how the one before ended, and that this one begins."""
        now = self.tools.clock()
        with self.tools.catalog.begin() as db:
            begun = delivering.begin(db, delivery, now=now, after=after)
        if after is not None:
            tell(after, now)
        return begun

    def _drop(self) -> None:
        why, now = "its rule is gone or paused", self.tools.clock()
        with self.tools.catalog.begin() as db:
            for one in self.mine:
                ended = Ended(delivery=one, state=DeliveryState.DROPPED, said=why)
                note(db, ended, rule=self.rule, now=now)

    def _try(self, rule: Rule, delivery: Delivery) -> Ended:
        """Send one; how that ended."""
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
        person = self._people.get(delivery.recipient)
        if person is not None and person.preferences.timezone:
            return person.preferences.timezone
        return rule.digest.timezone


def unsent(delivery: Delivery, rule: Rule, person: Person | None, *, now: datetime) -> Ended | None:
    """How a message ends that is not to be sent any more, or None."""
    topic, channel = delivery.topic, delivery.channel
    if delivery.recipient in rule.unsubscribed:
        why = "the recipient has unsubscribed"
    elif person and not person.preferences.want(topic, channel=channel, rule_id=rule.id):
        why = "the recipient does not want it any more"
    elif now > delivery.created_at + TRIED_FOR:
        why = f"it could not be tried within {TRIED_FOR.days} days"
        return Ended(delivery=delivery, state=DeliveryState.DEAD, said=why)
    else:
        return None
    return Ended(delivery=delivery, state=DeliveryState.DROPPED, said=why)


def not_before(
    delivery: Delivery, rule: Rule, person: Person | None, *, now: datetime
) -> datetime:  # fmt: skip
    """When a message that is due may be sent: now, unless quiet hours are on by now."""
    is_urgent = delivery.payload.get("severity") == Severity.CRITICAL
    if not rule.channel.is_quiet_at_night or is_urgent or delivery.topic is Topic.TEST:
        return now
    return undisturbed(now, (rule.quiet, person.preferences.quiet if person else None))


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
    is_kept = delivering.settle(db, ended, now=now)
    if is_kept and ended.is_gone and rule is not None:
        switch_off(db, rule, reason=ended.said, now=now)
    tell(ended, now)


def tell(ended: Ended, now: datetime) -> None:
    """Log how an attempt ended."""
    delivery = ended.delivery
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
