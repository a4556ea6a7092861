"""The client's parts about notifications.

An inbox and preferences are a person's: a client, which has a token, has none.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sync_pipelines.client.shapes import read
from sync_pipelines.client.told_shapes import AlertThreshold, Digest, Incident, NoticeDelivery
from sync_pipelines.client.transport import Transport, path_of

PAGE = 200


class Incidents:
    """What is wrong."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int = PAGE, **which: object) -> Iterator[Incident]:
        """Incidents, newest first; ``is_open`` and ``kind`` are filters."""
        for one in self._transport.pages(path_of("incidents"), {"limit": page_size, **which}):
            yield read(Incident, one)

    def get(self, identity: UUID) -> Incident:
        """One by its id."""
        return read(Incident, self._transport.send("GET", path_of("incidents", identity)).json())

    def acknowledge(self, identity: UUID) -> Incident:
        """Somebody minds it: no more reminders."""
        return self._done(identity, "acknowledge")

    def snooze(self, identity: UUID, *, until: datetime) -> Incident:
        """No reminders until then."""
        return self._done(identity, "snooze", {"until": until.isoformat()})

    def resolve(self, identity: UUID) -> Incident:
        """Take it for over."""
        return self._done(identity, "resolve")

    def _done(
        self, identity: UUID, verb: str, said: Mapping[str, object] | None = None
    ) -> Incident:
        path = path_of("incidents", identity, verb)
        return read(Incident, self._transport.send("POST", path, json=said).json())


class NoticeDeliveries:
    """What was sent to whom."""

    resource = "notification-deliveries"

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int = PAGE, **which: object) -> Iterator[NoticeDelivery]:
        """Deliveries, newest first; ``which`` are filters."""
        params = {"limit": page_size, **which}
        for one in self._transport.pages(path_of(self.resource), params):
            yield read(NoticeDelivery, one)

    def get(self, identity: UUID) -> NoticeDelivery:
        """One by its id, with its receipts."""
        said = self._transport.send("GET", path_of(self.resource, identity)).json()
        return read(NoticeDelivery, said)

    def redeliver(self, identity: UUID) -> NoticeDelivery:
        """Send it again under its id."""
        path = path_of(self.resource, identity, "redeliver")
        return read(NoticeDelivery, self._transport.send("POST", path).json())


class Alerts:
    """Where alerts begin and end."""

    resource = "alert-thresholds"

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self) -> Sequence[AlertThreshold]:
        """Every measure."""
        return self._read(self._transport.send("GET", path_of(self.resource)).json())

    def put(self, thresholds: Mapping[str, Any]) -> Sequence[AlertThreshold]:
        """Say where they begin and end; what is left out is as usual, False is off."""
        path = path_of(self.resource)
        return self._read(self._transport.send("PUT", path, json=thresholds).json())

    def _read(self, said: Mapping[str, Any]) -> Sequence[AlertThreshold]:
        return [read(AlertThreshold, one) for one in said["items"]]


def preview_digest(transport: Transport, **when: object) -> Digest:
    """The digest that ended last, as it would be sent."""
    said = transport.send("GET", path_of("digests", "preview"), params=when).json()
    return read(Digest, said)
