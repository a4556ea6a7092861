"""When a sync runs: a cadence in a time zone."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sync_pipelines.model.cadence import Cadence, ClockChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule of one sync.

    ``next_run_at`` is the first instant not yet decided on, None for cadences that no
    clock drives.
    """

    id: UUID
    tenant_id: UUID
    sync_id: UUID
    name: str
    cadence: Cadence
    timezone: str = "UTC"
    clock_change: ClockChange = field(default_factory=ClockChange)
    is_active: bool = True
    created_at: datetime
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None

    @property
    def anchor(self) -> datetime:
        """What "every N minutes" counts from: a whole minute, as dispatchers look at those."""
        return self.created_at.replace(second=0, microsecond=0)
