"""Sends events to a world, and looks what became of them."""

from uuid import UUID, uuid4

from sync_pipelines.catalog import events
from sync_pipelines.engine.events import process
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.kinds import EventTrigger
from tests.world import World

ON_WEBHOOK = {"type": "event", "trigger": "webhook"}
REALTIME = {"type": "realtime"}


def send(world: World, tenant_id: UUID, event_id: str | None = None, **fields: object) -> bool:
    """Whether it was new."""
    values = {
        "id": uuid4(),
        "tenant_id": tenant_id,
        "source": EventTrigger.WEBHOOK,
        "platform": "shop",
        "event_id": event_id or str(uuid4()),
        "event_type": "order.paid",
        "received_at": world.clock(),
        **fields,
    }
    with world.catalog.begin() as db:
        return events.accept(db, Event(**values))  # type: ignore[arg-type]


def processed(world: World) -> int:
    return process(world.catalog, world.clock())


def events_of(world: World, tenant_id: UUID) -> list[Event]:
    """Oldest first."""
    with world.catalog.begin() as db:
        found = events.list_events(db, tenant_id=tenant_id, limit=5000)
    return sorted(found, key=lambda event: (event.received_at, event.event_id))


def statuses(world: World, tenant_id: UUID) -> list[EventStatus]:
    return [event.status for event in events_of(world, tenant_id)]
