"""The outbox: what is on its way to whom.

Laws:

* A message is put in by the transaction of what it tells of; a rule tells a recipient of
  an event once, by the unique key of the three.
* What is pending somebody takes and delivers: see `catalog.delivering`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, select, update
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.tables import OutboxRow
from sync_pipelines.model.notification import Channel, Notice, Topic


class DeliveryState(StrEnum):
    """Where a message stands. Dropped: its rule is gone or paused. Dead: given up."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one recipient.

    ``attempts`` counts how often somebody has begun to send it, ``receipts`` tells how each
    try ended. ``taken_by`` is who has it, since ``begun_at`` to send it.
    """

    id: UUID
    tenant_id: UUID
    rule_id: UUID
    channel: Channel
    recipient: str
    event_id: str
    topic: Topic
    payload: Mapping[str, Any]
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime
    last_error: str | None
    receipts: Sequence[Mapping[str, Any]]
    created_at: datetime
    sent_at: datetime | None
    taken_by: UUID | None = None
    begun_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A notice, addressed: by which rule, to whom, and when at the earliest."""

    tenant_id: UUID
    rule_id: UUID
    channel: Channel
    recipient: str
    notice: Notice
    not_before: datetime


def post(db: Db, posted: Sequence[Posted], *, now: datetime) -> int:
    """Put messages in; how many were new."""
    if not posted:
        return 0
    rows = [
        {
            "tenant_id": one.tenant_id,
            "rule_id": one.rule_id,
            "channel": one.channel,
            "recipient": one.recipient,
            "event_id": one.notice.event_id,
            "event": one.notice.topic,
            "payload": dict(one.notice.payload),
            "next_attempt_at": one.not_before,
            "created_at": now,
        }
        for one in posted
    ]
    keys = ["rule_id", "event_id", "recipient"]
    statement = insert(OutboxRow).values(rows).on_conflict_do_nothing(index_elements=keys)
    return len(db.execute(statement.returning(OutboxRow.id)).all())


def redeliver(db: Db, delivery_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Send a message again, under its id, whatever became of it; False if there is none.

    It is tried for as long as a new one.
    """
    statement = update(OutboxRow).where(
        OutboxRow.id == delivery_id, OutboxRow.tenant_id == tenant_id
    )
    values = {"state": DeliveryState.PENDING, "next_attempt_at": now, "created_at": now}
    return db.execute(statement.values(values)).rowcount == 1


def look_again(db: Db, recipient: str, *, tenant_id: UUID, now: datetime) -> None:
    """Let mail to somebody that waits for its first attempt be looked at now.

    Who delivers it heeds what they want by then.
    """
    theirs = (
        OutboxRow.tenant_id == tenant_id,
        OutboxRow.channel == Channel.EMAIL,
        OutboxRow.recipient == recipient,
    )
    waits = (OutboxRow.state == DeliveryState.PENDING, OutboxRow.next_attempt_at > now)
    untried = (OutboxRow.attempts == 0, OutboxRow.taken_by.is_(None))
    db.execute(update(OutboxRow).where(*theirs, *waits, *untried).values(next_attempt_at=now))


def find(db: Db, delivery_id: UUID, *, tenant_id: UUID) -> Delivery | None:
    """One of a tenant's messages, or None."""
    mine = (OutboxRow.id == delivery_id, OutboxRow.tenant_id == tenant_id)
    row = db.execute(select(OutboxRow.__table__).where(*mine)).mappings().one_or_none()
    return None if row is None else delivery_of(row)


def list_deliveries(
    db: Db, *, tenant_id: UUID, state: DeliveryState | None = None, limit: int = 100
) -> list[Delivery]:
    """A tenant's messages, newest first."""
    query = select(OutboxRow.__table__).where(OutboxRow.tenant_id == tenant_id)
    if state is not None:
        query = query.where(OutboxRow.state == state)
    query = query.order_by(OutboxRow.created_at.desc(), OutboxRow.id).limit(limit)
    return [delivery_of(row) for row in db.execute(query).mappings()]


def delivery_of(row: RowMapping) -> Delivery:
    """A row of the outbox."""
    return Delivery(
        id=row["id"],
        tenant_id=row["tenant_id"],
        rule_id=row["rule_id"],
        channel=Channel(row["channel"]),
        recipient=row["recipient"],
        event_id=row["event_id"],
        topic=Topic(row["event"]),
        payload=row["payload"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        last_error=row["last_error"],
        receipts=row["receipts"],
        created_at=row["created_at"],
        sent_at=row["sent_at"],
        taken_by=row["taken_by"],
        begun_at=row["begun_at"],
    )
