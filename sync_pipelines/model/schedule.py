"""When a sync runs: a cadence in a time zone, under policies."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sync_pipelines.model.cadence import Cadence, ClockChange
from sync_pipelines.model.policy import Policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The interval that an adaptive cadence has come to, since when, and why."""

    minutes: int
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule of one sync.

    Every instant due at or before ``decided_until`` has its decision. ``next_run_at`` is
    when it may start something next; None where nothing is to come, or no clock drives
    it. ``learned`` is an adaptive cadence's present interval.
    """

    id: UUID
    tenant_id: UUID
    sync_id: UUID
    name: str
    description: str | None = None
    cadence: Cadence
    timezone: str = "UTC"
    clock_change: ClockChange = field(default_factory=ClockChange)
    policies: Policies = field(default_factory=Policies)
    learned: Learned | None = None
    is_active: bool = True
    created_at: datetime
    decided_until: datetime | None = None
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None

    @property
    def anchor(self) -> datetime:
        """What "every N minutes" counts from: a whole minute, as dispatchers look at those."""
        return self.created_at.replace(second=0, microsecond=0)
