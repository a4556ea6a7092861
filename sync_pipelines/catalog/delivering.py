"""Who has which message of the outbox to deliver, and how its attempts end.

Laws:

* Whoever takes messages has them until its process ends, which others see by its lock, see
  `catalog.deliverers`; and for `LEASE`, unless it says in time that it goes on. Others take
  them then: a message may arrive twice, under one id, but is never lost.
* An attempt is counted before it is made: one that ends its process was made, too.
* Nothing is taken, and no attempt begins, of a tenant that is suspended.
* Of one rule a few are taken at once, and no more while somebody has them, so that a slow
  receiver holds up its own alone. Those that were tried less often come first, so that one
  that cannot arrive holds up no others for good.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import Update, bindparam, exists, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from sync_pipelines.catalog.deliverers import LIVING
from sync_pipelines.catalog.outbox import Delivery, DeliveryState, delivery_of
from sync_pipelines.catalog.tables import OutboxRow, TenantRow
from sync_pipelines.model.notification import Channel

LEASE = timedelta(seconds=8)
OF_A_RULE = 20
"""So many messages of one rule are taken at once."""

MOST_RECEIPTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """What does not keep its sender long: some rules, and some channels as a whole."""

    rules: frozenset[UUID] = frozenset()
    channels: frozenset[Channel] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended. ``said`` is what the other side, or we, have to say.

    ``again_at`` is when it is tried again and, if it holds them up, those behind it, too.
    One that ``is_gone`` has a receiver that wants no more of its rule; an attempt is lost
    if its process was.
    """

    delivery: Delivery
    state: DeliveryState
    said: str
    again_at: datetime | None = None
    holds_up: bool = True
    is_gone: bool = False
    is_lost: bool = False


_TAKE = text("""
    WITH rules AS (
        SELECT rule_id, oldest, gen_random_uuid() AS taker,
               row_number() OVER (PARTITION BY tenant_id ORDER BY oldest) AS turn
        FROM (
            SELECT tenant_id, rule_id, min(next_attempt_at) AS oldest FROM sync.outbox o
            WHERE state = 'pending' AND next_attempt_at <= :now
                AND (:any OR (rule_id = ANY(:rules_known) OR channel = ANY(:channels)) = :quick)
                AND NOT EXISTS (
                    SELECT FROM sync.outbox taken
                    WHERE taken.rule_id = o.rule_id AND taken.taken_by IS NOT NULL
                )
                AND tenant_id IN (SELECT id FROM sync.tenants WHERE is_active)
            GROUP BY tenant_id, rule_id
        ) waiting
        ORDER BY turn, oldest LIMIT :rules
    ), due AS (
        SELECT chosen.id, rules.taker FROM rules CROSS JOIN LATERAL (
            SELECT id FROM sync.outbox o
            WHERE o.rule_id = rules.rule_id AND state = 'pending' AND next_attempt_at <= :now
            ORDER BY attempts, next_attempt_at LIMIT :of_a_rule
        ) chosen
    ), taken AS (
        SELECT o.id, due.taker FROM sync.outbox o JOIN due ON due.id = o.id
        WHERE o.state = 'pending' AND o.next_attempt_at <= :now AND o.taken_by IS NULL
        FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE sync.outbox o SET taken_by = taken.taker, taken_until = :until, taken_in = :taken_in
    FROM taken WHERE o.id = taken.id
    RETURNING o.*
""")

_NOBODYS: dict[str, Any] = dict.fromkeys(("taken_by", "taken_until", "taken_in", "begun_at"))


def take_for_all_tenants(
    db: Db,
    *,
    now: datetime,
    rules: int,
    quick: Quick | None = None,
    is_quick: bool = True,
    taken_in: int | None = None,
) -> list[Delivery]:
    """Take what is due of so many rules for `LEASE`: one of each tenant, then a second.

    Of what is ``quick``, or of everything else; None: whatever it is. ``taken_in`` is the
    number of a deliverer that shows that it lives. For all tenants, as one worker delivers
    for all.
    """
    known = quick or Quick()
    arguments = {
        "now": now,
        "until": now + LEASE,
        "taken_in": taken_in,
        "rules": rules,
        "of_a_rule": OF_A_RULE,
        "any": quick is None,
        "rules_known": list(known.rules),
        "channels": [str(channel) for channel in known.channels],
        "quick": is_quick,
    }
    rows = [delivery_of(row) for row in db.execute(_TAKE, arguments).mappings()]
    return sorted(rows, key=lambda one: (one.attempts, one.next_attempt_at, one.created_at))


def begin(
    db: Db, delivery: Delivery, *, now: datetime, after: Ended | None = None
) -> Delivery | None:
    """Count an attempt, before it is made; and note how the one before it ended.

    None if it is not to be made: another has taken the message since, or its tenant is
    suspended. One statement, so that messages which are sent one after the other cost a
    single question each.
    """
    statement = update(OutboxRow).where(
        *_is_mine(delivery),
        exists().where(TenantRow.id == OutboxRow.tenant_id, TenantRow.is_active),
    )
    if after is not None:
        statement = statement.add_cte(_settled(after, now).cte("settled"))
    values = {"attempts": OutboxRow.attempts + 1, "begun_at": now}
    attempts = db.execute(
        statement.values(values).returning(OutboxRow.attempts)
    ).scalar_one_or_none()
    return None if attempts is None else replace(delivery, attempts=attempts, begun_at=now)


def renew(db: Db, takers: Collection[UUID], *, now: datetime) -> None:
    """Say that those who took messages go on: they have them for another `LEASE`.

    It waits for none that is being settled: a turn holds two messages at a time, and
    whoever waited for one with the other in hand would wait in a circle.
    """
    theirs = select(OutboxRow.id).where(OutboxRow.taken_by.in_(takers))
    free = theirs.with_for_update(skip_locked=True).cte("free")
    statement = update(OutboxRow).where(OutboxRow.id.in_(select(free.c.id)))
    db.execute(statement.values(taken_until=now + LEASE))


_LAPSED = text(f"""
    SELECT * FROM sync.outbox
    WHERE taken_by IS NOT NULL
        AND (taken_until <= :now OR (taken_in IS NOT NULL AND taken_in NOT IN ({LIVING})))
    FOR UPDATE SKIP LOCKED
""")


def lapsed_for_all_tenants(db: Db, *, now: datetime) -> list[Delivery]:
    """What somebody took and neither settled nor renewed, or whose process is gone. Held.

    For all tenants, as one worker delivers for all.
    """
    return [delivery_of(row) for row in db.execute(_LAPSED, {"now": now}).mappings()]


def settle(db: Db, ended: Ended, *, now: datetime) -> bool:
    """Note how an attempt ended; False if another has taken the message since."""
    return db.execute(_settled(ended, now)).rowcount == 1


def _settled(ended: Ended, now: datetime) -> Update:
    delivery, state = ended.delivery, ended.state
    receipt: dict[str, Any] = {
        "at": now.isoformat(),
        "attempt": delivery.attempts,
        "state": state,
        "said": ended.said,
    }
    if delivery.begun_at is not None:
        receipt["begun_at"] = delivery.begun_at.isoformat()
    if ended.is_lost:
        receipt["lost"] = True
    is_sent = state is DeliveryState.SENT
    values = {
        **_NOBODYS,
        "state": state,
        "last_error": None if is_sent else ended.said,
        "sent_at": now if is_sent else None,
        "receipts": OutboxRow.receipts.op("||")(bindparam("receipt", [receipt], type_=JSONB)),
    }
    if ended.again_at is not None:
        values["next_attempt_at"] = ended.again_at
    if len(delivery.receipts) >= MOST_RECEIPTS:
        del values["receipts"]
    return update(OutboxRow).where(*_is_mine(delivery)).values(values)


_SECONDS = text("""
    SELECT channel, rule_id, max(seconds)::float8 AS longest FROM (
        SELECT channel, rule_id, extract(epoch FROM (receipts -> -1 ->> 'at')::timestamptz
            - (receipts -> -1 ->> 'begun_at')::timestamptz) AS seconds
        FROM sync.outbox WHERE sent_at >= :since ORDER BY sent_at DESC LIMIT :most
    ) latest
    WHERE seconds IS NOT NULL GROUP BY channel, rule_id
""")


def sending_seconds_for_all_tenants(
    db: Db, *, since: datetime, most: int
) -> list[tuple[Channel, UUID, float]]:
    """How long a message took to send at most, of each rule of which some arrived lately.

    Of so many messages at most. For all tenants, as one worker delivers for all.
    """
    found = db.execute(_SECONDS, {"since": since, "most": most})
    return [(Channel(row.channel), row.rule_id, row.longest) for row in found]


def give_back(db: Db, deliveries: Sequence[Delivery], *, again_at: datetime | None = None) -> None:
    """Leave messages that were taken and not tried to others, ``again_at`` if not at once."""
    values = dict(_NOBODYS)
    if again_at is not None:
        values["next_attempt_at"] = again_at
    for taker in {delivery.taken_by for delivery in deliveries}:
        mine = [delivery.id for delivery in deliveries if delivery.taken_by == taker]
        theirs = (OutboxRow.id.in_(mine), OutboxRow.taken_by == taker)
        db.execute(update(OutboxRow).where(*theirs).values(values))


def _is_mine(delivery: Delivery) -> tuple[Any, ...]:
    """A message as long as it is in the hands of who took it."""
    return (
        OutboxRow.id == delivery.id,
        OutboxRow.taken_by == delivery.taken_by,
        OutboxRow.state == DeliveryState.PENDING,
    )
