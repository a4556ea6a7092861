"""Who is told of what, and how: rules, and what may be told.

Laws:

* A rule that exists is valid: its constructor refuses what could never be delivered.
* People hear of a cause once, machines of every outcome: see `Channel.is_for_people`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from connectors.errors import ConfigError
from sync_pipelines.model.endpoint import Secret


class Channel(StrEnum):
    """How somebody is told. `APPRISE` is whatever Apprise can: Slack, PagerDuty, Teams and more."""

    EMAIL = "email"
    IN_APP = "in_app"
    WEBHOOK = "webhook"
    APPRISE = "apprise"

    @property
    def is_for_people(self) -> bool:
        """Whether a person reads it, to whom one message of a cause is enough."""
        return self is not Channel.WEBHOOK

    @property
    def is_quiet_at_night(self) -> bool:
        """Whether quiet hours hold it back: an inbox and a machine disturb nobody."""
        return self in (Channel.EMAIL, Channel.APPRISE)


class Topic(StrEnum):
    """What may be told. Of an attempt that is repeated only `RETRYING` tells, no failure."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    FIRST_FAILURE = "first_failure"
    RETRYING = "retrying"
    RECOVERED = "recovered"
    ESCALATED = "escalated"
    REMINDER = "reminder"
    PAUSED = "paused"
    LATE = "late"
    STALE = "stale"
    ALERT = "alert"
    SCHEMA_CHANGE = "schema_change"
    DIGEST = "digest"
    TEST = "test"


USUAL = (Topic.WARNING, Topic.FAILURE, Topic.RECOVERED, Topic.PAUSED, Topic.LATE)
"""What a rule tells of that does not say."""


class Scope(StrEnum):
    """What a rule is about."""

    TENANT = "tenant"
    SYNC = "sync"
    SCHEDULE = "schedule"
    TAG = "tag"


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Every(StrEnum):
    """How often a digest comes."""

    DAILY = "daily"
    WEEKLY = "weekly"


MONDAY = 1

SHORTEST_REMINDER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """From ``start`` to ``end`` on the clocks of ``timezone`` nobody is disturbed.

    ``start`` after ``end`` is the night between them.
    """

    start: time
    end: time
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ConfigError(f"quiet hours from {self.start:%H:%M} to {self.end:%H:%M} are none")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestTime:
    """When a digest comes: at ``at`` on the clocks of ``timezone``; a weekly one on ``weekday``.

    ``weekday`` counts from Monday, 1. ``when_empty``: also where nothing has happened.
    """

    every: Every = Every.DAILY
    at: time = time(7)
    weekday: int = MONDAY
    timezone: str = "UTC"
    when_empty: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.weekday <= 7:
            raise ConfigError(f"weekday {self.weekday} is none; write 1, Monday, to 7, Sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Tell ``recipients`` by ``channel`` of ``topics``.

    ``recipients`` are addresses of mail and of users; a webhook and Apprise have their
    ``targets`` instead, a URL that is a secret, and ``shown``, what may be told of it.
    ``escalate_after`` failures of one cause
    `Topic.ESCALATED` is told, and `Topic.REMINDER` every ``remind_after``.
    ``unsubscribed`` have asked for no more mail. ``paused``: why nothing is sent.
    """

    id: UUID
    tenant_id: UUID
    name: str
    channel: Channel
    scope: Scope = Scope.TENANT
    sync_id: UUID | None = None
    schedule_id: UUID | None = None
    tag: str | None = None
    topics: tuple[Topic, ...] = USUAL
    recipients: tuple[str, ...] = ()
    targets: tuple[str, ...] = field(default=(), repr=False)
    signing: tuple[Secret, ...] = ()
    shown: str | None = None
    quiet: QuietHours | None = None
    digest: DigestTime = field(default_factory=DigestTime)
    escalate_after: int = 10
    remind_after: timedelta = timedelta(days=1)
    unsubscribed: tuple[str, ...] = ()
    is_active: bool = True
    paused: str | None = None

    def __post_init__(self) -> None:
        if not self.topics:
            raise ConfigError(f"rule {self.name!r} tells of nothing; name a topic such as failure")
        if self.channel in (Channel.EMAIL, Channel.IN_APP) and not self.recipients:
            raise ConfigError(f"rule {self.name!r} tells nobody; name a recipient")
        if self.channel in (Channel.WEBHOOK, Channel.APPRISE) and len(self.targets) != 1:
            raise ConfigError(f"rule {self.name!r} needs one URL to send to")
        if (self.sync_id is None) is (self.scope is Scope.SYNC):
            raise ConfigError(f"rule {self.name!r} is about one sync, or about none: name it so")
        if (self.schedule_id is None) is (self.scope is Scope.SCHEDULE):
            raise ConfigError(f"rule {self.name!r} is about one schedule, or none: name it so")
        if (self.tag is None) is (self.scope is Scope.TAG):
            raise ConfigError(f"rule {self.name!r} is about the syncs of one tag, or none: name it")
        if Topic.DIGEST in self.topics and self.scope in (Scope.SCHEDULE, Scope.TAG):
            raise ConfigError("a digest is of a sync or of the tenant, not of a schedule or a tag")
        if self.escalate_after < 1:
            raise ConfigError(f"escalate_after {self.escalate_after} must be at least 1")
        if self.remind_after < SHORTEST_REMINDER:
            raise ConfigError(f"remind_after {self.remind_after} must be at least an hour")

    @property
    def target(self) -> str:
        """Where a webhook or Apprise sends to."""
        return self.targets[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """As much of a rule as it takes to know whom to tell of what; nothing of it is secret.

    ``since`` is when the rule was made. One that is wide is about the whole tenant, one
    with a ``tag`` about the syncs that have it.
    """

    rule_id: UUID
    tenant_id: UUID
    channel: Channel
    topics: tuple[Topic, ...]
    told: tuple[str, ...]
    quiet: QuietHours | None
    digest: DigestTime
    escalate_after: int
    remind_after: timedelta
    since: datetime
    is_wide: bool
    sync_id: UUID | None
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to tell. ``event_id`` is its identity, by which nobody is told of it twice.

    ``payload`` is what a webhook is sent, and what messages to people are made of.
    """

    event_id: str
    topic: Topic
    severity: Severity
    at: datetime
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a user wants to be told by a tenant. What is None is left to the rules.

    ``muted`` topics and ``muted_channels`` never come; nor does mail by ``muted_rules``,
    from which they have unsubscribed.
    """

    timezone: str | None = None
    quiet: QuietHours | None = None
    muted: tuple[Topic, ...] = ()
    muted_channels: tuple[Channel, ...] = ()
    muted_rules: tuple[UUID, ...] = ()

    def want(self, topic: Topic, *, channel: Channel, rule_id: UUID) -> bool:
        """Whether something may come. A test always does: whoever tries a rule wants to see it."""
        if channel is Channel.EMAIL and rule_id in self.muted_rules:
            return False
        return topic is Topic.TEST or not (topic in self.muted or channel in self.muted_channels)
