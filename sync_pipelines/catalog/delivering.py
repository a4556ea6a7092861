"""Who has which message of the outbox to deliver, and how its attempts end.

Laws:

* Whoever takes messages has them for `LEASE`, and says in time that it goes on. Should
  its process die, others take them after that: a message may arrive twice then, under
  one id, but is never lost.
* An attempt is counted before it is made: one that ends its process was made, too.
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
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from sync_pipelines.catalog.outbox import Delivery, DeliveryState, delivery_of
from sync_pipelines.catalog.tables import OutboxRow
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
    UPDATE sync.outbox o SET taken_by = taken.taker, taken_until = :until
    FROM taken WHERE o.id = taken.id
    RETURNING o.*
""")

_NOBODYS: dict[str, Any] = {"taken_by": None, "taken_until": None, "begun_at": None}


def take_for_all_tenants(
    db: Db, *, now: datetime, rules: int, quick: Quick | None = None, is_quick: bool = True
) -> list[Delivery]:
    """Take what is due of so many rules for `LEASE`: one of each tenant, then a second.

    Of what is ``quick``, or of everything else; None: whatever it is. For all tenants, as
    one worker delivers for all.
    """
    known = quick or Quick()
    arguments = {
        "now": now,
        "until": now + LEASE,
        "rules": rules,
        "of_a_rule": OF_A_RULE,
        "any": quick is None,
        "rules_known": list(known.rules),
        "channels": [str(channel) for channel in known.channels],
        "quick": is_quick,
    }
    rows = [delivery_of(row) for row in db.execute(_TAKE, arguments).mappings()]
    return sorted(rows, key=lambda one: (one.attempts, one.next_attempt_at, one.created_at))


def begin(db: Db, delivery: Delivery, *, now: datetime) -> Delivery | None:
    """Count an attempt, before it is made; None if another has taken the message since."""
    statement = update(OutboxRow).where(*_is_mine(delivery)).returning(OutboxRow.attempts)
    values = {"attempts": OutboxRow.attempts + 1, "begun_at": now}
    attempts = db.execute(statement.values(values)).scalar_one_or_none()
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


def lapsed_for_all_tenants(db: Db, *, now: datetime) -> list[Delivery]:
    """What somebody took and neither settled nor renewed: their process is gone. Held.

    For all tenants, as one worker delivers for all.
    """
    query = (
        select(OutboxRow.__table__)
        .where(OutboxRow.taken_by.is_not(None), OutboxRow.taken_until <= now)
        .with_for_update(skip_locked=True)
    )
    return [delivery_of(row) for row in db.execute(query).mappings()]


def settle(
    db: Db,
    delivery: Delivery,
    state: DeliveryState,
    *,
    said: str,
    now: datetime,
    again_at: datetime | None = None,
    is_lost: bool = False,
) -> bool:
    """Note how an attempt ended; False if another has taken the message since.

    ``said`` is what the other side, or we, have to say. ``again_at`` is for what stays
    pending. An attempt is lost if its process was.
    """
    receipt: dict[str, Any] = {
        "at": now.isoformat(),
        "attempt": delivery.attempts,
        "state": state,
        "said": said,
    }
    if delivery.begun_at is not None:
        receipt["begun_at"] = delivery.begun_at.isoformat()
    if is_lost:
        receipt["lost"] = True
    is_sent = state is DeliveryState.SENT
    values = {
        **_NOBODYS,
        "state": state,
        "last_error": None if is_sent else said,
        "sent_at": now if is_sent else None,
        "receipts": OutboxRow.receipts.op("||")(bindparam("receipt", [receipt], type_=JSONB)),
    }
    if again_at is not None:
        values["next_attempt_at"] = again_at
    if len(delivery.receipts) >= MOST_RECEIPTS:
        del values["receipts"]
    statement = update(OutboxRow).where(*_is_mine(delivery))
    return db.execute(statement.values(values)).rowcount == 1


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
