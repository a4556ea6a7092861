"""Who is told of what: rules, what is on its way to whom, and the inbox."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from sync_pipelines.catalog.tables.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    NEW_ID,
    NOW,
    Base,
    Jsonb,
    one_of,
)
from sync_pipelines.model.notification import Channel, Scope, Severity

DELIVERY_STATES = ("pending", "sent", "dead", "dropped")


class RuleRow(Base):
    """Who is told of what. ``secrets`` is one encrypted JSON object: targets, signing secrets."""

    __tablename__ = "sync_notifications"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "schedule_id"],
            ["sync_schedules.tenant_id", "sync_schedules.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(one_of("channel", Channel), name="channel"),
        CheckConstraint(one_of("scope", Scope), name="scope"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    name: Mapped[str]
    scope: Mapped[str]
    sync_id: Mapped[UUID | None]
    schedule_id: Mapped[UUID | None]
    tag: Mapped[str | None]
    channel: Mapped[str]
    events: Mapped[list[Any]]
    recipients: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    config: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    secrets: Mapped[str | None]
    secrets_key_id: Mapped[str | None]
    quiet_hours: Mapped[Jsonb | None]
    unsubscribed: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    pause_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PreferenceRow(Base):
    """How a user wants to be told, whatever rules say.

    ``muted`` are topics that never come, ``muted_channels`` ways in which nothing comes;
    ``muted_rules`` are the ids of rules whose mail they have unsubscribed from.
    """

    __tablename__ = "notification_preferences"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        Index(None, "tenant_id"),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    timezone: Mapped[str | None]
    quiet_hours: Mapped[Jsonb | None]
    muted: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    muted_channels: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    muted_rules: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class OutboxRow(Base):
    """One message on its way to one recipient. A rule tells nobody twice of an event.

    The rule may be gone. ``taken_by`` has it ``taken_until`` then, unless it says that it
    goes on, as a part of the deliverer ``taken_in``; it is being sent since ``begun_at``.
    ``receipts`` keeps how each attempt ended.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("rule_id", "event_id", "recipient"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        CheckConstraint(one_of("channel", Channel), name="channel"),
        CheckConstraint(one_of("state", DELIVERY_STATES), name="state"),
        Index(None, "tenant_id", "created_at"),
        Index("outbox_pending_idx", "next_attempt_at",
              postgresql_where=text("state = 'pending'")),
        Index("outbox_taken_idx", "rule_id", postgresql_where=text("taken_by IS NOT NULL")),
        Index("outbox_of_rule_idx", "rule_id", "attempts", "next_attempt_at",
              postgresql_where=text("state = 'pending'")),
        Index("outbox_settled_idx", "created_at",
              postgresql_where=text("state <> 'pending'")),
        Index("outbox_sent_idx", "sent_at", postgresql_where=text("sent_at IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    rule_id: Mapped[UUID]
    channel: Mapped[str]
    recipient: Mapped[str]
    event_id: Mapped[str]
    event: Mapped[str]
    payload: Mapped[Jsonb]
    state: Mapped[str] = mapped_column(server_default=text("'pending'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime]
    taken_until: Mapped[datetime | None]
    taken_by: Mapped[UUID | None]
    taken_in: Mapped[int | None]
    begun_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    receipts: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class InboxRow(Base):
    """A message in a user's inbox."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("rule_id", "event_id", "user_id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        CheckConstraint(one_of("severity", Severity), name="severity"),
        Index(None, "tenant_id", "user_id", "created_at"),
        Index(None, "user_id"),
        Index(None, "created_at"),
        Index("notifications_incident_idx", "incident_id",
              postgresql_where=text("resolved_at IS NULL")),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    rule_id: Mapped[UUID]
    event_id: Mapped[str]
    event: Mapped[str]
    severity: Mapped[str]
    incident_id: Mapped[UUID | None]
    payload: Mapped[Jsonb]
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    snoozed_until: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]


class AffectedRow(Base):
    """A sync that an incident's cause keeps from succeeding, and since when."""

    __tablename__ = "incident_syncs"
    __table_args__ = (
        ForeignKeyConstraint(["incident_id"], ["incidents.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id"),
        Index("incident_syncs_sync_id_idx", "sync_id"),
    )

    incident_id: Mapped[UUID] = mapped_column(primary_key=True)
    sync_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    failed_at: Mapped[datetime]
