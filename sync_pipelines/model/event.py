"""An event: somebody said that something changed, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync_pipelines.model.kinds import EventTrigger


class EventStatus(StrEnum):
    """Where an event stands. `PROCESSED` only once an execution it caused has succeeded."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    PROCESSED = "processed"
    IGNORED = "ignored"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message that something changed.

    ``platform`` names who sent it and ``event_id`` is the sender's own id: together
    they make an event known again when it is sent twice. ``sync_id`` is set where it is
    meant for one sync only. ``streams`` are the usual names of the streams that changed,
    empty where that is not said; ``delivery_id`` is the request that it came with, and
    ``traceparent`` names that one's span, where spans are recorded.
    """

    id: UUID
    tenant_id: UUID
    source: EventTrigger
    platform: str
    event_id: str
    event_type: str
    entity_type: str | None = None
    entity_id: str | None = None
    sync_id: UUID | None = None
    streams: tuple[str, ...] = ()
    delivery_id: UUID | None = None
    traceparent: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    status: EventStatus = EventStatus.PENDING
    reason: str | None = None
    execution_id: UUID | None = None
    received_at: datetime
    processed_at: datetime | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """What conditions are held against: the payload, and under ``event`` what it is.

        A payload's own field ``event`` does not count, so that no sender can pretend.
        """
        named = {
            "event_type": self.event_type,
            "entity_type": self.entity_type,
            "entity_id": self.entity_id,
            "platform": self.platform,
        }
        known = {name: value for name, value in named.items() if value is not None}
        return {**self.payload, "event": known}
