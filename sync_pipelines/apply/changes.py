"""What applying a file changes, as data: shown before it is done, audited after."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from sync_pipelines.apply.describe import Described, FieldChange
from sync_pipelines.apply.manifest import WantedConnection, WantedRule, WantedSync
from sync_pipelines.catalog.conflicts import Conflict
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.notify.thresholds import Thresholds


class Kind(StrEnum):
    """What a change is about."""

    TENANT = "tenant"
    CONNECTION = "connection"
    SYNC = "sync"
    SCHEDULE = "schedule"
    RULE = "rule"
    ALERTS = "alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSync:
    """A sync to be stored, with ``is_active`` and ``pause_reason`` decided."""

    wanted: WantedSync
    connector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSchedule:
    """A schedule to be stored; its sync may not have an id yet.

    ``pause`` says why the whole sync is paused, if it is.
    """

    sync: str
    schedule: Schedule
    pause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRule:
    """A rule to be stored; what it is about may not have an id yet.

    ``url`` is where it sends to, a secret. ``paused``: why nothing is sent by it still.
    """

    wanted: WantedRule
    url: str | None = field(repr=False)
    is_active: bool
    paused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAlerts:
    """Where a tenant's alerts begin and end from now on."""

    thresholds: Thresholds


Put: TypeAlias = "str | WantedConnection | PutSync | PutSchedule | PutRule | PutAlerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that becomes new or other. ``before`` None: it is new.

    ``name`` is its whole name, such as ``acme/orders``. ``before`` and ``after``
    hold no secret.
    """

    kind: Kind
    name: str
    before: Described | None
    after: Described
    fields: tuple[FieldChange, ...]
    put: Put

    @property
    def is_new(self) -> bool:
        """Whether there was nothing of that name."""
        return self.before is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying does, in order, and how many things of the file are as they should be.

    ``conflicts`` are those among the tenant's schedules once it is done.
    """

    tenant: str
    changes: tuple[Change, ...]
    unchanged: int
    conflicts: tuple[Conflict, ...] = ()
