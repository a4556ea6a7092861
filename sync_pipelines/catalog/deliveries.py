"""Deliveries: genuine requests as they came, with the events that they told of.

Laws:

* A delivery and its events are stored together, in the caller's transaction.
* What is sent again is stored once: a delivery of which every event is known is not kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import Row, select, text, tuple_

from sync_pipelines.catalog import events
from sync_pipelines.catalog.keeping import Forgotten, Stop, forget_in_batches
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import DeliveryRow
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.event import Event

KEPT_FOR = timedelta(days=14)
"""How long deliveries can be replayed."""

PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A request, and the events that it tells of; ``headers`` without any secret."""

    id: UUID
    tenant_id: UUID
    endpoint_id: UUID
    received_at: datetime
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


_STORE = text("""
    INSERT INTO sync.webhook_deliveries
        (id, tenant_id, endpoint_id, received_at, body, headers, query, event_ids)
    SELECT id, tenant_id, endpoint_id, received_at, body,
        CAST(convert_from(headers, 'UTF8') AS jsonb),
        CAST(convert_from(query, 'UTF8') AS jsonb),
        CAST(convert_from(event_ids, 'UTF8') AS jsonb)
    FROM unnest(
        CAST(:id AS uuid[]), CAST(:tenant_id AS uuid[]), CAST(:endpoint_id AS uuid[]),
        CAST(:received_at AS timestamptz[]), CAST(:body AS bytea[]), CAST(:headers AS bytea[]),
        CAST(:query AS bytea[]), CAST(:event_ids AS bytea[])
    ) AS t (id, tenant_id, endpoint_id, received_at, body, headers, query, event_ids)
""")

_STORED = ("id", "tenant_id", "endpoint_id", "received_at", "body")


def store_for_all_tenants(db: Db, deliveries: Sequence[Delivery]) -> list[UUID]:
    """Store deliveries with their events; the ids of the events that are new.

    For all tenants, because one transaction takes in what came to all of them.
    """
    told = [event for delivery in deliveries for event in delivery.events]
    new = events.accept_all_for_all_tenants(db, told)
    fresh = set(new)
    kept = [
        one
        for one in deliveries
        if not one.events or any(event.id in fresh for event in one.events)
    ]
    if kept:
        columns: dict[str, Any] = {name: [getattr(one, name) for one in kept] for name in _STORED}
        columns["headers"] = [events.as_json(dict(one.headers)) for one in kept]
        columns["query"] = [events.as_json(dict(one.query)) for one in kept]
        columns["event_ids"] = [
            events.as_json([event.event_id for event in one.events]) for one in kept
        ]
        db.execute(_STORE, columns)
    return new


def between(
    catalog: Catalog, endpoint: Endpoint, *, since: datetime, until: datetime
) -> Iterator[Delivery]:
    """What came to an endpoint from ``since`` to before ``until``, in the order it came.

    Without events; a page at a time, so that any number is read in little memory.
    """
    after = (since, UUID(int=0))
    place = tuple_(DeliveryRow.received_at, DeliveryRow.id)
    while True:
        query = (
            select(DeliveryRow.__table__)
            .where(
                DeliveryRow.tenant_id == endpoint.tenant_id,
                DeliveryRow.endpoint_id == endpoint.id,
                place > after,
                DeliveryRow.received_at < until,
            )
            .order_by(DeliveryRow.received_at, DeliveryRow.id)
            .limit(PAGE)
        )
        with catalog.begin() as db:
            page = db.execute(query).all()
        yield from (_delivery(row) for row in page)
        if len(page) < PAGE:
            return
        after = (page[-1].received_at, page[-1].id)


_FORGET = text("""
    DELETE FROM sync.webhook_deliveries WHERE id IN (
        SELECT id FROM sync.webhook_deliveries WHERE received_at < :before
        ORDER BY received_at LIMIT :size
    )
""")


def forget_for_all_tenants(
    catalog: Catalog, *, now: datetime, stop: Stop, kept_for: timedelta = KEPT_FOR
) -> Forgotten:
    """Delete old deliveries, a batch at a time. For all tenants: it is the installation's rule."""
    return forget_in_batches(catalog, _FORGET, before=now - kept_for, stop=stop)


def _delivery(row: Row[tuple[object, ...]]) -> Delivery:
    held = row._mapping
    return Delivery(
        id=held["id"],
        tenant_id=held["tenant_id"],
        endpoint_id=held["endpoint_id"],
        received_at=held["received_at"],
        body=held["body"],
        headers=held["headers"],
        query=held["query"],
    )
