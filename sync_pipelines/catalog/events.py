"""Events: taken in once, and what became of each.

Laws:

* An event is known by its tenant, its platform and the id it has there. What another
  tenant was sent under the same id is another event.
* Whoever processes an event holds its row; others pass over it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection as Db
from sqlalchemy import Row, Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError

from connectors.errors import ConfigError
from sync_pipelines.catalog.tables import EventRow, ExecutionRow
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.kinds import EventTrigger

LONGEST = 255
"""Characters of a platform, an id or a type."""

_NAMED = ("platform", "event_id", "event_type", "entity_type", "entity_id")


def accept(db: Db, event: Event) -> bool:
    """Take an event in; False when it has been taken in before.

    `ConfigError` when it has no platform, id or type, or holds what cannot be stored.
    """
    for name in _NAMED:
        _check(name, getattr(event, name))
    statement = (
        insert(EventRow)
        .values(_values(event))
        .on_conflict_do_nothing(index_elements=["tenant_id", "platform", "event_id"])
        .returning(EventRow.id)
    )
    try:
        with db.begin_nested():
            return db.execute(statement).one_or_none() is not None
    except (DataError, UnicodeEncodeError) as error:
        raise ConfigError(
            f"event {event.event_id!r} of {event.platform!r} cannot be stored: its text has "
            "a NUL or half a character in it, or its data a number that JSON does not know"
        ) from error


_TAKE_IN = text("""
    INSERT INTO sync.webhook_events (id, tenant_id, source, platform, event_id, event_type,
        entity_type, entity_id, sync_id, streams, delivery_id, traceparent, payload, received_at)
    SELECT id, tenant_id, source, platform, event_id, event_type, entity_type, entity_id,
        sync_id, CAST(convert_from(streams, 'UTF8') AS jsonb), delivery_id, traceparent,
        CAST(convert_from(payload, 'UTF8') AS jsonb), received_at
    FROM unnest(
        CAST(:id AS uuid[]), CAST(:tenant_id AS uuid[]), CAST(:source AS text[]),
        CAST(:platform AS text[]), CAST(:event_id AS text[]), CAST(:event_type AS text[]),
        CAST(:entity_type AS text[]), CAST(:entity_id AS text[]), CAST(:sync_id AS uuid[]),
        CAST(:streams AS bytea[]), CAST(:delivery_id AS uuid[]), CAST(:traceparent AS text[]),
        CAST(:payload AS bytea[]), CAST(:received_at AS timestamptz[])
    ) AS t (id, tenant_id, source, platform, event_id, event_type, entity_type, entity_id,
        sync_id, streams, delivery_id, traceparent, payload, received_at)
    ON CONFLICT (tenant_id, platform, event_id) DO NOTHING
    RETURNING id
""")

_TAKEN_IN = (
    *("id", "tenant_id", "source", "platform", "event_id", "event_type", "entity_type"),
    *("entity_id", "sync_id", "delivery_id", "traceparent", "received_at"),
)


def accept_all_for_all_tenants(db: Db, accepted: Sequence[Event]) -> list[UUID]:
    """Take in what has been checked already; the ids of those that are new.

    For all tenants, because one transaction takes in what came to all of them. Columns go
    to the server whole: a statement made for each row takes far longer than storing it.
    """
    if not accepted:
        return []
    # In one order, whoever inserts: two that wait for each other's keys would deadlock.
    ordered = sorted(accepted, key=lambda one: (one.tenant_id, one.platform, one.event_id))
    columns: dict[str, Any] = {name: [getattr(one, name) for one in ordered] for name in _TAKEN_IN}
    columns["streams"] = [as_json(one.streams) for one in ordered]
    columns["payload"] = [as_json(dict(one.payload)) for one in ordered]
    return list(db.scalars(_TAKE_IN, columns))


def as_json(value: object) -> bytes:
    """A value for a list of them that goes to the server, where `convert_from` makes text of it.

    In a list of texts the driver would look for every quotation mark, and there are many.
    """
    return json.dumps(value).encode()


def pending_for_all_tenants(db: Db, *, limit: int) -> list[UUID]:
    """Events that wait: every tenant's oldest, then every tenant's second, and so on.

    For all tenants, because a turn serves all of them, and none waits for another's flood.
    """
    place = func.row_number().over(
        partition_by=EventRow.tenant_id, order_by=(EventRow.received_at, EventRow.id)
    )
    query = (
        select(EventRow.id)
        .where(EventRow.status == EventStatus.PENDING)
        .order_by(place, EventRow.received_at, EventRow.id)
        .limit(limit)
    )
    return list(db.scalars(query))


def pending_of_ids_for_all_tenants(db: Db, event_ids: Sequence[UUID]) -> list[Event]:
    """Those of these events that wait, oldest first, held by somebody or not.

    For all tenants, because their ids come from the catalog itself.
    """
    return [_event(row) for row in db.execute(_pending(event_ids))]


def lock_pending_for_all_tenants(db: Db, event_ids: Sequence[UUID]) -> list[Event]:
    """Those of these events that wait, held, oldest first; without those that others hold.

    For all tenants, because their ids come from the catalog itself.
    """
    query = _pending(event_ids).with_for_update(skip_locked=True)
    return [_event(row) for row in db.execute(query)]


def answers_pending_for_all_tenants(db: Db, event_ids: Sequence[UUID]) -> list[UUID]:
    """The executions that answer these events and wait for nobody but Dagster.

    For all tenants, because their ids come from the catalog itself.
    """
    query = (
        select(ExecutionRow.id)
        .distinct()
        .join(EventRow, EventRow.execution_id == ExecutionRow.id)
        .where(EventRow.id.in_(event_ids), ExecutionRow.status == Status.PENDING)
    )
    return list(db.scalars(query))


def put_all_dispatched(
    db: Db, answered: Sequence[Event], *, sync_id: UUID, execution_id: UUID
) -> None:
    """One execution answers them all; they are one tenant's."""
    if answered:
        mine = (
            EventRow.tenant_id == answered[0].tenant_id,
            EventRow.id.in_([event.id for event in answered]),
        )
        values = {
            "status": EventStatus.DISPATCHED,
            "sync_id": sync_id,
            "execution_id": execution_id,
            "reason": None,
        }
        db.execute(update(EventRow).where(*mine).values(values))


def put_dispatched(db: Db, event: Event, *, sync_id: UUID, execution_id: UUID) -> None:
    """An execution of a sync answers it; it is that sync's event from now on."""
    _put(db, event, EventStatus.DISPATCHED, sync_id=sync_id, execution_id=execution_id, reason=None)


def put_ignored(db: Db, event: Event, *, reason: str, now: datetime) -> None:
    """Nothing is made of it, and why."""
    _put(db, event, EventStatus.IGNORED, reason=reason, processed_at=now)


def put_processed(db: Db, answer: Execution, *, now: datetime) -> None:
    """The execution that answers them has succeeded."""
    db.execute(
        update(EventRow)
        .where(*_answered_by(answer))
        .values(status=EventStatus.PROCESSED, processed_at=now)
    )


def lock_answered_by(db: Db, answer: Execution) -> list[Event]:
    """The events that an execution was to answer, held; oldest first."""
    query = (
        select(EventRow.__table__)
        .where(*_answered_by(answer))
        .order_by(EventRow.received_at, EventRow.id)
        .with_for_update()
    )
    return [_event(row) for row in db.execute(query)]


def pass_on(
    db: Db, told: Sequence[Event], *, sync_ids: Sequence[UUID], names: Sequence[str]
) -> list[UUID]:
    """Give events to these syncs too, to each as one of its own; once, whoever asks.

    The ids of those of its own.
    """
    own = [
        replace(event, id=uuid4(), event_id=f"{event.event_id}@{name}", sync_id=sync_id)
        for event in told
        for sync_id, name in zip(sync_ids, names, strict=True)
    ]
    return accept_all_for_all_tenants(db, own)


def list_events(
    db: Db, *, tenant_id: UUID, status: EventStatus | None = None, limit: int = 50
) -> list[Event]:
    """A tenant's events, newest first."""
    query = select(EventRow.__table__).where(EventRow.tenant_id == tenant_id)
    if status is not None:
        query = query.where(EventRow.status == status)
    query = query.order_by(EventRow.received_at.desc(), EventRow.id).limit(limit)
    return [_event(row) for row in db.execute(query)]


def _answered_by(answer: Execution) -> tuple[Any, ...]:
    return (
        EventRow.tenant_id == answer.tenant_id,
        EventRow.execution_id == answer.id,
        EventRow.status == EventStatus.DISPATCHED,
    )


def _pending(event_ids: Sequence[UUID]) -> Select[Any]:
    return (
        select(EventRow.__table__)
        .where(EventRow.id.in_(event_ids), EventRow.status == EventStatus.PENDING)
        .order_by(EventRow.received_at, EventRow.id)
    )


def _put(db: Db, event: Event, status: EventStatus, **values: Any) -> None:
    mine = (EventRow.id == event.id, EventRow.tenant_id == event.tenant_id)
    db.execute(update(EventRow).where(*mine).values(status=status, **values))


def _check(name: str, value: str | None) -> None:
    if value is None and name.startswith("entity"):
        return
    if not value or len(value) > LONGEST:
        raise ConfigError(f"{name} {value!r} of an event must have 1 to {LONGEST} characters")


def _values(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "tenant_id": event.tenant_id,
        "source": event.source,
        "platform": event.platform,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "sync_id": event.sync_id,
        "streams": list(event.streams),
        "delivery_id": event.delivery_id,
        "traceparent": event.traceparent,
        "payload": dict(event.payload),
        "received_at": event.received_at,
    }


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        tenant_id=row.tenant_id,
        source=EventTrigger(row.source),
        platform=row.platform,
        event_id=row.event_id,
        event_type=row.event_type,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
        sync_id=row.sync_id,
        streams=tuple(row.streams),
        delivery_id=row.delivery_id,
        traceparent=row.traceparent,
        payload=row.payload,
        status=EventStatus(row.status),
        reason=row.reason,
        execution_id=row.execution_id,
        received_at=row.received_at,
        processed_at=row.processed_at,
    )
