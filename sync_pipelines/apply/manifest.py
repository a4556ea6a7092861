"""A tenant's file as frozen data: connections, syncs, schedules and rules, each with its line.

A sync becomes what the file says of it, defaults included. Only ``is_active`` and a
pause that are left out stay as they are, so that applying does not start what somebody
paused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from connectors.contract import Json
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.cadence import After, Cadence, ClockChange
from sync_pipelines.model.notification import USUAL, Channel, DigestTime, QuietHours, Topic
from sync_pipelines.model.policy import Policies
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import SyncStream
from sync_pipelines.notify.thresholds import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedConnection:
    """A connection as the file has it; ``secrets`` are the part that is encrypted.

    ``reaches_private``: it may lead to addresses inside this network; who writes files may.
    """

    name: str
    line: int
    connector: str
    config: Mapping[str, Json]
    secrets: Mapping[str, Json] = field(repr=False)
    reaches_private: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSchedule:
    """A schedule as the file has it."""

    name: str
    line: int
    description: str | None = None
    cadence: Cadence
    timezone: str = "UTC"
    clock_change: ClockChange = field(default_factory=ClockChange)
    policies: Policies = field(default_factory=Policies)
    is_active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A connection's name where a sync mentions it. ``role``: source or destination.

    ``hidden`` are values of the environment in the name, see `apply.document.Scalar`.
    """

    role: str
    name: str
    line: int
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Where a schedule of ``sync`` names another sync to wait for. ``hidden`` as for `End`."""

    sync: str
    cadence: After
    line: int
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSync:
    """A sync as the file has it."""

    name: str
    line: int
    source: End
    destination: End
    dataset: str
    streams: tuple[SyncStream, ...]
    description: str | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    is_active: bool | None = None
    pause_reason: str | None = None
    tags: tuple[str, ...] = ()
    schedules: tuple[WantedSchedule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRule:
    """A rule of notifications as the file has it.

    ``url`` is None where the channel needs none, or where a body leaves what there is.
    ``lines`` are those of its keys.
    """

    name: str
    line: int
    channel: Channel
    topics: tuple[Topic, ...] = USUAL
    recipients: tuple[str, ...] = ()
    url: str | None = field(default=None, repr=False)
    sync: str | None = None
    schedule: str | None = None
    tag: str | None = None
    quiet: QuietHours | None = None
    digest: DigestTime = field(default_factory=DigestTime)
    escalate_after: int = 10
    remind_after: timedelta = timedelta(days=1)
    is_active: bool | None = None
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAlerts:
    """Where a tenant's alerts begin and end; what is not named is as usual."""

    line: int
    thresholds: Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole file.

    ``ends`` are all the mentions of connections, and ``waits`` those of syncs to wait
    for, from broken syncs too.
    """

    file: str
    tenant: str
    connections: tuple[WantedConnection, ...] = ()
    broken_connections: frozenset[str] = frozenset()
    syncs: tuple[WantedSync, ...] = ()
    broken_syncs: frozenset[str] = frozenset()
    ends: tuple[End, ...] = ()
    waits: tuple[Wait, ...] = ()
    rules: tuple[WantedRule, ...] = ()
    alerts: WantedAlerts | None = None
