"""Counts what comes to endpoints in memory, to be added to their rows now and then."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from connectors.webhooks.contract import Verdict
from sync_pipelines.model.endpoint import Health


class Tallies:
    """What came since it was last taken away; for one thread."""

    def __init__(self) -> None:
        self._held: dict[UUID, Health] = {}

    def received(self, endpoint_id: UUID, at: datetime) -> None:
        """A genuine request."""
        held = self._held.get(endpoint_id, Health())
        self._held[endpoint_id] = replace(
            held, received=held.received + 1, streak=0, last_received_at=at
        )

    def refused(self, endpoint_id: UUID, at: datetime, why: Verdict) -> None:
        """One that was refused."""
        held = self._held.get(endpoint_id, Health())
        self._held[endpoint_id] = replace(
            held,
            refused=held.refused + 1,
            streak=held.streak + 1,
            last_refused_at=at,
            last_refusal=str(why),
        )

    def take(self) -> Mapping[UUID, Health]:
        """What is held, which from now on is the caller's."""
        held, self._held = self._held, {}
        return held
