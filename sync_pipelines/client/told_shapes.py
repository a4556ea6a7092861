"""What the gateway answers about notifications, as frozen data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who is told of what. ``etag`` is its version, None where it came in a list.

    ``signing_secret`` is there only in the answer that it was made for.
    """

    id: UUID
    name: str
    channel: str
    scope: str
    topics: Sequence[str]
    recipients: Sequence[str]
    target: str | None
    sync: str | None
    schedule: str | None
    tag: str | None
    quiet_hours: Mapping[str, Any] | None
    digest: Mapping[str, Any]
    escalate_after: int
    remind_after: str
    is_active: bool
    paused: str | None
    unsubscribed: Sequence[str]
    created_at: datetime
    updated_at: datetime
    signing_secret: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that is or was wrong, and what helps."""

    id: UUID
    kind: str
    subject: str
    severity: str
    message: str
    remedy: str
    details: Mapping[str, Any]
    seen: int
    syncs: Sequence[str]
    opened_at: datetime
    last_seen_at: datetime
    acknowledged_at: datetime | None
    snoozed_until: datetime | None
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeDelivery:
    """A message to one recipient; ``payload`` and ``receipts`` are None where it came in a list."""

    id: UUID
    rule_id: UUID
    event_id: str
    channel: str
    recipient: str
    topic: str
    state: str
    attempts: int
    last_error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    sent_at: datetime | None
    payload: Mapping[str, Any] | None = None
    receipts: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a digest says."""

    subject: str
    text: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertThreshold:
    """Where an alert begins and ends; both None where it is off."""

    measure: str
    is_on: bool
    opens: float | None
    closes: float | None
    is_own: bool
