"""``/api/v2/notification-deliveries``: what was sent to whom, and what became of it."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sync_pipelines.catalog import outbox, told
from sync_pipelines.catalog.happenings import TimeSort
from sync_pipelines.catalog.outbox import Delivery, DeliveryState
from sync_pipelines.catalog.told import WhichDeliveries
from sync_pipelines.gateway.api import starting
from sync_pipelines.gateway.api.once import OnceOperator, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Caller, Viewer
from sync_pipelines.gateway.problems import not_found
from sync_pipelines.model.notification import Channel, Topic

router = APIRouter(
    prefix="/api/v2/notification-deliveries",
    tags=["notification-deliveries"],
    route_class=OnceRoute,
)


class DeliveryTold(BaseModel):
    """A message to one recipient. ``event_id`` is what it is known by wherever it arrives."""

    id: UUID
    rule_id: UUID
    event_id: str
    channel: Channel
    recipient: str
    topic: Topic
    state: DeliveryState
    attempts: int
    last_error: str | None
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="Null once nothing more is tried.")
    sent_at: datetime | None


class DeliveryWhole(DeliveryTold):
    """With what it says, and how each attempt ended."""

    payload: Json
    receipts: list[Json]


class Deliveries(BaseModel):
    """A page of deliveries."""

    items: list[DeliveryTold]
    next: str | None


@router.get("")
def list_(
    caller: Viewer,
    state: DeliveryState | None = None,
    channel: Channel | None = None,
    topic: Topic | None = None,
    rule_id: UUID | None = None,
    recipient: str | None = None,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Deliveries:
    """What is on its way, has arrived, or was given up; newest first."""
    which = WhichDeliveries(
        state=state, channel=channel, topic=topic, rule_id=rule_id, recipient=recipient
    )
    after = key_of(cursor, sort)
    with caller.catalog.begin() as db:
        found = told.list_deliveries(
            db, which, tenant_id=caller.tenant.id, sort=sort, after=after, limit=limit
        )
    items = [DeliveryTold(**_fields(one)) for one in found.items]
    return Deliveries(items=items, next=cursor_of(found.next, sort))


@router.get("/{delivery_id}")
def get(delivery_id: UUID, caller: Viewer) -> DeliveryWhole:
    """One delivery, with its receipts."""
    return _found(caller, delivery_id)


@router.post("/{delivery_id}/redeliver", status_code=HTTPStatus.ACCEPTED)
def redeliver(delivery_id: UUID, caller: OnceOperator, doors: ItsDoors) -> DeliveryWhole:
    """Send it again under its id, whatever became of it."""
    with caller.catalog.begin() as db:
        now, tenant_id = doors.clock(), caller.tenant.id
        if not outbox.redeliver(db, delivery_id, tenant_id=tenant_id, now=now):
            raise not_found("delivery", delivery_id)
        subject = f"delivery {delivery_id}"
        starting.note(db, caller, doors, "notifications.redelivered", subject=subject)
    return _found(caller, delivery_id)


def _found(caller: Caller, delivery_id: UUID) -> DeliveryWhole:
    with caller.catalog.begin() as db:
        found = outbox.find(db, delivery_id, tenant_id=caller.tenant.id)
    if found is None:
        raise not_found("delivery", delivery_id)
    receipts = [dict(one) for one in found.receipts]
    return DeliveryWhole(**_fields(found), payload=dict(found.payload), receipts=receipts)


def _fields(one: Delivery) -> Json:
    is_waiting = one.state is DeliveryState.PENDING
    return {
        "id": one.id,
        "rule_id": one.rule_id,
        "event_id": one.event_id,
        "channel": one.channel,
        "recipient": one.recipient,
        "topic": one.topic,
        "state": one.state,
        "attempts": one.attempts,
        "last_error": one.last_error,
        "created_at": one.created_at,
        "next_attempt_at": one.next_attempt_at if is_waiting else None,
        "sent_at": one.sent_at,
    }
