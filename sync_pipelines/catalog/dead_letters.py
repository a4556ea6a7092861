"""Dead letters: what could not be done, kept until somebody decides about it.

Law: a letter leaves `LetterStatus.OPEN` once: whoever closes it holds its row, and has
looked at its status while doing so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Uuid,
    any_,
    literal,
    select,
    update,
)
from sqlalchemy import Connection as Db
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import InstrumentedAttribute

from sync_pipelines.catalog.tables import DeadLetterRow, EventRow, SyncRow, TenantRow
from sync_pipelines.model.dead_letter import DeadLetter, LetterKind, LetterStatus
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.execution import Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which letters are meant; what is None does not matter. ``sync`` is its bare name."""

    status: LetterStatus | None = None
    cause: str | None = None
    sync: str | None = None


def put_execution(
    db: Db, execution: Execution, *, cause: str, reason: str, payload: Mapping[str, Any]
) -> None:
    """Keep an execution that failed for good, as of when it ended; once, whoever asks."""
    statement = insert(DeadLetterRow).values(
        tenant_id=execution.tenant_id,
        kind=LetterKind.EXECUTION,
        sync_id=execution.sync_id,
        execution_id=execution.id,
        cause=cause,
        reason=reason,
        payload=dict(payload),
        created_at=execution.completed_at,
    )
    db.execute(statement.on_conflict_do_nothing(index_elements=["execution_id"]))


def put_event(db: Db, event: Event, *, cause: str, reason: str, now: datetime) -> None:
    """Keep an event that nothing could be made of, and mark it dead.

    One that was redriven, and comes to nothing again, has its old letter opened again.
    """
    values = {
        "sync_id": event.sync_id,
        "cause": cause,
        "reason": reason,
        "payload": _of_event(event),
        "status": LetterStatus.OPEN,
        "created_at": now,
        "closed_at": None,
        "redriven_as": None,
    }
    db.execute(
        insert(DeadLetterRow)
        .values(tenant_id=event.tenant_id, kind=LetterKind.EVENT, event_id=event.id, **values)
        .on_conflict_do_update(index_elements=["event_id"], set_=values)
    )
    db.execute(
        update(EventRow)
        .where(EventRow.id == event.id, EventRow.tenant_id == event.tenant_id)
        .values(status=EventStatus.DEAD, reason=reason)
    )


def list_letters(
    db: Db, which: Which, *, tenant_id: UUID, limit: int | None = 100
) -> list[DeadLetter]:
    """A tenant's letters, newest first."""
    return _listed(db, which, DeadLetterRow.tenant_id == tenant_id, limit=limit)


def list_letters_for_all_tenants(
    db: Db, which: Which, *, limit: int | None = 100
) -> list[DeadLetter]:
    """Everybody's letters, newest first, for whoever runs the installation."""
    return _listed(db, which, limit=limit)


def find_for_all_tenants(db: Db, letter_ids: Iterable[UUID]) -> list[DeadLetter]:
    """Letters by their ids, for whoever runs the installation; those that there are."""
    return _listed(db, Which(), _among(DeadLetterRow.id, letter_ids), limit=None)


def find(db: Db, letter_id: UUID, *, tenant_id: UUID) -> DeadLetter | None:
    """One letter of a tenant, or None."""
    query = selected().where(DeadLetterRow.tenant_id == tenant_id, DeadLetterRow.id == letter_id)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else letter_from_row(row)


def open_of_execution(db: Db, execution_id: UUID, *, tenant_id: UUID) -> UUID | None:
    """The open letter of an execution, if it has one."""
    query = select(DeadLetterRow.id).where(
        DeadLetterRow.tenant_id == tenant_id,
        DeadLetterRow.execution_id == execution_id,
        DeadLetterRow.status == LetterStatus.OPEN,
    )
    return db.scalar(query)


def lock_open(db: Db, letter_ids: Iterable[UUID], *, tenant_id: UUID) -> list[DeadLetter]:
    """Those of a tenant's letters that are open, locked until the transaction ends.

    Oldest first. One that somebody else closes meanwhile is not among them.
    """
    return _locked(db, DeadLetterRow.tenant_id == tenant_id, _among(DeadLetterRow.id, letter_ids))


def lock_open_of_sync(
    db: Db, sync_id: UUID, *, tenant_id: UUID, before: datetime
) -> list[DeadLetter]:
    """A sync's open letters of what had failed before an instant, locked."""
    return _locked(
        db,
        DeadLetterRow.tenant_id == tenant_id,
        DeadLetterRow.sync_id == sync_id,
        DeadLetterRow.created_at < before,
    )


def close(
    db: Db,
    letters: Iterable[DeadLetter],
    status: LetterStatus,
    *,
    now: datetime,
    redriven_as: UUID | None = None,
) -> None:
    """Close letters whose rows are held."""
    db.execute(
        update(DeadLetterRow)
        .where(_among(DeadLetterRow.id, (letter.id for letter in letters)))
        .values(status=status, closed_at=now, redriven_as=redriven_as)
    )


def reopen(db: Db, execution: Execution) -> None:
    """Open again what was redriven as an execution that came to nothing."""
    db.execute(
        update(DeadLetterRow)
        .where(
            DeadLetterRow.tenant_id == execution.tenant_id,
            DeadLetterRow.redriven_as == execution.id,
            DeadLetterRow.status == LetterStatus.REDRIVEN,
        )
        .values(status=LetterStatus.OPEN, closed_at=None, redriven_as=None)
    )


def give_back(db: Db, letters: Iterable[DeadLetter], *, tenant_id: UUID) -> set[UUID]:
    """Let the events of letters be processed again; the ids of those events."""
    statement = (
        update(EventRow)
        .where(
            EventRow.tenant_id == tenant_id,
            _among(EventRow.id, (letter.event_id for letter in letters if letter.event_id)),
            EventRow.status == EventStatus.DEAD,
        )
        .values(status=EventStatus.PENDING, reason=None, execution_id=None, processed_at=None)
        .returning(EventRow.id)
    )
    return set(db.scalars(statement))


def selected() -> Select[Any]:
    """Letters with the names of their syncs; `letter_from_row` reads what it brings."""
    return (
        select(
            DeadLetterRow.__table__,
            (TenantRow.name + "/" + SyncRow.name).label("sync_key"),
        )
        .join(TenantRow, TenantRow.id == DeadLetterRow.tenant_id)
        .outerjoin(SyncRow, SyncRow.id == DeadLetterRow.sync_id)
    )


def _listed(
    db: Db, which: Which, *conditions: ColumnElement[bool], limit: int | None
) -> list[DeadLetter]:
    wanted = {
        DeadLetterRow.status: which.status,
        DeadLetterRow.cause: which.cause,
        SyncRow.name: which.sync,
    }
    query = (
        selected()
        .where(*conditions)
        .where(*(column == value for column, value in wanted.items() if value is not None))
        .order_by(DeadLetterRow.created_at.desc(), DeadLetterRow.id)
        .limit(limit)
    )
    return [letter_from_row(row) for row in db.execute(query).mappings()]


def _locked(db: Db, *conditions: ColumnElement[bool]) -> list[DeadLetter]:
    held = (
        select(DeadLetterRow.id)
        .where(DeadLetterRow.status == LetterStatus.OPEN, *conditions)
        .order_by(DeadLetterRow.id)
        .with_for_update()
    )
    ids = list(db.scalars(held))
    query = (
        selected()
        .where(_among(DeadLetterRow.id, ids))
        .order_by(DeadLetterRow.created_at, DeadLetterRow.id)
    )
    return [letter_from_row(row) for row in db.execute(query).mappings()] if ids else []


def _among(column: InstrumentedAttribute[UUID], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """One parameter, however many ids: a statement has room for so many only."""
    return column == any_(literal(list(ids), ARRAY(Uuid)))


def _of_event(event: Event) -> dict[str, Any]:
    return {
        "source": str(event.source),
        "platform": event.platform,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "payload": dict(event.payload),
    }


def letter_from_row(row: RowMapping) -> DeadLetter:
    """A row that `selected` brought."""
    return DeadLetter(
        id=row["id"],
        tenant_id=row["tenant_id"],
        kind=LetterKind(row["kind"]),
        sync_id=row["sync_id"],
        sync_key=row["sync_key"],
        execution_id=row["execution_id"],
        event_id=row["event_id"],
        cause=row["cause"],
        reason=row["reason"],
        payload=row["payload"],
        status=LetterStatus(row["status"]),
        created_at=row["created_at"],
        closed_at=row["closed_at"],
        redriven_as=row["redriven_as"],
    )
