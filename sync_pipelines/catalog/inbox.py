"""The inbox: what each user was told inside the product, and what they made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, func, or_, select, update
from sqlalchemy import Connection as Db
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.tables import InboxRow
from sync_pipelines.model.notification import Notice, Severity, Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message in an inbox. Resolved: what it tells of is over."""

    id: UUID
    user_id: UUID
    topic: Topic
    severity: Severity
    incident_id: UUID | None
    payload: Mapping[str, Any]
    created_at: datetime
    read_at: datetime | None
    acknowledged_at: datetime | None
    snoozed_until: datetime | None
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichMessages:
    """Which messages are meant; ``user_id`` None: everybody's.

    What is over, or snoozed ``now``, is left out unless ``every`` is wanted.
    """

    now: datetime
    user_id: UUID | None = None
    every: bool = False
    only_unread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A notice for a user's inbox."""

    tenant_id: UUID
    user_id: UUID
    rule_id: UUID
    notice: Notice
    incident_id: UUID | None


def put(db: Db, told: Sequence[Told], *, now: datetime) -> int:
    """Put messages into inboxes; how many were new."""
    if not told:
        return 0
    rows = [
        {
            "tenant_id": one.tenant_id,
            "user_id": one.user_id,
            "rule_id": one.rule_id,
            "event_id": one.notice.event_id,
            "event": one.notice.topic,
            "severity": one.notice.severity,
            "incident_id": one.incident_id,
            "payload": dict(one.notice.payload),
            "created_at": now,
        }
        for one in told
    ]
    keys = ["rule_id", "event_id", "user_id"]
    statement = insert(InboxRow).values(rows).on_conflict_do_nothing(index_elements=keys)
    return len(db.execute(statement.returning(InboxRow.id)).all())


def list_messages(
    db: Db,
    *,
    tenant_id: UUID,
    now: datetime,
    user_id: UUID | None = None,
    every: bool = False,
    limit: int = 100,
) -> list[Message]:
    """A user's messages, or all of a tenant's, newest first; ``every``: what is over, too."""
    which = WhichMessages(now=now, user_id=user_id, every=every)
    query = select(InboxRow.__table__).where(InboxRow.tenant_id == tenant_id, *conditions(which))
    query = query.order_by(InboxRow.created_at.desc(), InboxRow.id).limit(limit)
    return [message_from_row(row) for row in db.execute(query).mappings()]


def conditions(which: WhichMessages) -> list[ColumnElement[bool]]:
    """What rows of the inbox must be for that."""
    found: list[ColumnElement[bool]] = []
    if which.user_id is not None:
        found.append(InboxRow.user_id == which.user_id)
    if not which.every:
        found += [InboxRow.resolved_at.is_(None), _is_awake(which.now)]
    if which.only_unread:
        found.append(InboxRow.read_at.is_(None))
    return found


def unread(db: Db, user_id: UUID, *, tenant_id: UUID, now: datetime) -> int:
    """How many messages a user has not read; those that are over or snoozed do not count."""
    query = select(func.count()).where(
        InboxRow.tenant_id == tenant_id,
        InboxRow.user_id == user_id,
        InboxRow.read_at.is_(None),
        InboxRow.resolved_at.is_(None),
        _is_awake(now),
    )
    return db.execute(query).scalar_one()


def mark_read(db: Db, user_id: UUID, *, tenant_id: UUID, now: datetime) -> int:
    """A user has read everything; how much of it was new."""
    mine = (InboxRow.tenant_id == tenant_id, InboxRow.user_id == user_id)
    statement = update(InboxRow).where(*mine, InboxRow.read_at.is_(None))
    return db.execute(statement.values(read_at=now)).rowcount


def read(
    db: Db, message_id: UUID, *, tenant_id: UUID, user_id: UUID, now: datetime
) -> Message | None:
    """A user has read it; the message, or None if that user has none such."""
    values = {"read_at": func.coalesce(InboxRow.read_at, now)}
    return _change(db, message_id, values, tenant_id=tenant_id, user_id=user_id)


def acknowledge(
    db: Db, message_id: UUID, *, tenant_id: UUID, user_id: UUID, now: datetime
) -> Message | None:
    """A user minds it; the message, or None if that user has none such."""
    values = {"acknowledged_at": now, "read_at": now}
    return _change(db, message_id, values, tenant_id=tenant_id, user_id=user_id)


def snooze(
    db: Db, message_id: UUID, *, tenant_id: UUID, user_id: UUID, until: datetime
) -> Message | None:
    """Show it again ``until`` then, as unread; None if that user has none such."""
    values = {"snoozed_until": until, "read_at": None}
    return _change(db, message_id, values, tenant_id=tenant_id, user_id=user_id)


def resolve(
    db: Db, message_id: UUID, *, tenant_id: UUID, user_id: UUID, now: datetime
) -> Message | None:
    """A user takes it for over; None if that user has none such."""
    return _change(db, message_id, {"resolved_at": now}, tenant_id=tenant_id, user_id=user_id)


def resolve_incident(db: Db, incident_id: UUID, *, now: datetime) -> None:
    """What is told of an incident is over for everybody."""
    about = (InboxRow.incident_id == incident_id, InboxRow.resolved_at.is_(None))
    db.execute(update(InboxRow).where(*about).values(resolved_at=now))


def _is_awake(now: datetime) -> ColumnElement[bool]:
    return or_(InboxRow.snoozed_until.is_(None), InboxRow.snoozed_until <= now)


def _change(
    db: Db, message_id: UUID, values: Mapping[str, Any], *, tenant_id: UUID, user_id: UUID
) -> Message | None:
    statement = (
        update(InboxRow)
        .where(
            InboxRow.id == message_id,
            InboxRow.tenant_id == tenant_id,
            InboxRow.user_id == user_id,
        )
        .values(values)
        .returning(InboxRow.__table__)
    )
    row = db.execute(statement).mappings().one_or_none()
    return None if row is None else message_from_row(row)


def message_from_row(row: RowMapping) -> Message:
    """A row of the inbox."""
    return Message(
        id=row["id"],
        user_id=row["user_id"],
        topic=Topic(row["event"]),
        severity=Severity(row["severity"]),
        incident_id=row["incident_id"],
        payload=row["payload"],
        created_at=row["created_at"],
        read_at=row["read_at"],
        acknowledged_at=row["acknowledged_at"],
        snoozed_until=row["snoozed_until"],
        resolved_at=row["resolved_at"],
    )
