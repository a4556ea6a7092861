"""What happened: executions and their summaries, the state they reached, who changed what."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
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
from sync_pipelines.model.event import EventStatus
from sync_pipelines.model.execution import Status, Trigger
from sync_pipelines.model.kinds import EventTrigger

ACTIVE = "status IN ('pending', 'queued', 'running')"
FAILED = "status IN ('failed', 'partial')"
ZERO = text("0")


class ExecutionRow(Base):
    """One occurrence of a sync, with what it did.

    ``(schedule_id, due_at)`` claims a due instant once; one execution of a sync
    runs at a time. ``attempts`` keeps how each earlier attempt ended, of which the
    last ``fruitless_attempts`` moved nothing. ``priority`` orders what waits of one
    tenant; ``queued_by`` is the dispatcher's turn that handed it to Dagster, ``place``
    where it then stood in its tenant's line. ``told_at``: its outcome was told as it was
    settled. ``followed_up_at``: what its end brings about for others has been done.
    ``audited_at``: its end is in the audit.
    """

    __tablename__ = "sync_executions"
    __table_args__ = (
        UniqueConstraint("schedule_id", "due_at"),
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "schedule_id"],
            ["sync_schedules.tenant_id", "sync_schedules.id"],
            ondelete="SET NULL (schedule_id)",
        ),
        CheckConstraint(one_of("status", Status), name="status"),
        CheckConstraint(one_of("trigger", Trigger), name="trigger"),
        CheckConstraint("attempt >= 1", name="attempt"),
        Index("sync_executions_running_key", "sync_id", unique=True,
              postgresql_where=text("status = 'running'")),
        Index("sync_executions_active_idx", "next_attempt_at", postgresql_where=text(ACTIVE)),
        Index("sync_executions_unfollowed_idx", "completed_at",
              postgresql_where=text("completed_at IS NOT NULL AND followed_up_at IS NULL")),
        Index("sync_executions_unaudited_idx", "completed_at",
              postgresql_where=text("completed_at IS NOT NULL AND audited_at IS NULL")),
        Index("sync_executions_completed_idx", "completed_at",
              postgresql_where=text("completed_at IS NOT NULL")),
        Index("sync_executions_failed_idx", "sync_id", "created_at",
              postgresql_where=text(FAILED)),
        Index(None, "tenant_id", "created_at"),
        Index(None, "sync_id", "created_at"),
        Index(None, "schedule_id", "created_at"),
        Index(None, "status"),
        Index(None, "created_at"),
        Index(None, "run_id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    sync_id: Mapped[UUID]
    schedule_id: Mapped[UUID | None]
    trigger: Mapped[str]
    status: Mapped[str]
    due_at: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    attempts: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    fruitless_attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    queued_by: Mapped[str | None]
    place: Mapped[int] = mapped_column(server_default=text("0"))
    run_id: Mapped[str | None]
    request: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    followed_up_at: Mapped[datetime | None]
    audited_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    progressed_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None]
    records_processed: Mapped[int] = mapped_column(server_default=text("0"))
    records_created: Mapped[int] = mapped_column(server_default=text("0"))
    records_updated: Mapped[int] = mapped_column(server_default=text("0"))
    records_deleted: Mapped[int] = mapped_column(server_default=text("0"))
    records_rejected: Mapped[int] = mapped_column(server_default=text("0"))
    bytes_moved: Mapped[int] = mapped_column(server_default=text("0"))
    progress: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    error_message: Mapped[str | None]
    error_details: Mapped[Jsonb | None]
    execution_metadata: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SummaryRow(Base):
    """What a sync's executions of a day came to, of those whose rows are no longer kept.

    ``day`` is the UTC day on which they ended. Together with the rows that are left it
    says everything: an execution is in one of the two.
    """

    __tablename__ = "sync_summaries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id", "day"),
    )

    sync_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    completed: Mapped[int]
    partial: Mapped[int]
    failed: Mapped[int]
    cancelled: Mapped[int]
    attempts: Mapped[int]
    records_processed: Mapped[int]
    records_created: Mapped[int]
    records_updated: Mapped[int]
    records_deleted: Mapped[int]
    records_rejected: Mapped[int]
    bytes_moved: Mapped[int]
    duration_ms: Mapped[int]
    longest_ms: Mapped[int]


class DayRow(Base):
    """What a sync's executions of a day have come to, of those that have ended.

    ``day`` is the UTC day on which they were created; each that has ended and whose row is
    kept is counted, by triggers, in the transaction that ends or changes it.
    ``durations`` counts them by the place that `rollups.BOUNDS` gives a duration.
    """

    __tablename__ = "execution_days"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        Index(
            None,
            "tenant_id",
            "day",
            postgresql_include=["completed", "partial", "failed", "cancelled", "records_processed"],
        ),
    )

    sync_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    completed: Mapped[int] = mapped_column(server_default=ZERO)
    partial: Mapped[int] = mapped_column(server_default=ZERO)
    failed: Mapped[int] = mapped_column(server_default=ZERO)
    cancelled: Mapped[int] = mapped_column(server_default=ZERO)
    attempts: Mapped[int] = mapped_column(server_default=ZERO)
    records_processed: Mapped[int] = mapped_column(server_default=ZERO)
    records_created: Mapped[int] = mapped_column(server_default=ZERO)
    records_updated: Mapped[int] = mapped_column(server_default=ZERO)
    records_deleted: Mapped[int] = mapped_column(server_default=ZERO)
    records_rejected: Mapped[int] = mapped_column(server_default=ZERO)
    bytes_moved: Mapped[int] = mapped_column(server_default=ZERO)
    duration_ms: Mapped[int] = mapped_column(server_default=ZERO)
    longest_ms: Mapped[int | None]
    durations: Mapped[list[int]] = mapped_column(
        ARRAY(Integer), server_default=text("'{}'::integer[]")
    )


class StateRow(Base):
    """A mirror of what each destination has committed, for people and pages to look at."""

    __tablename__ = "sync_state"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id"),
    )

    sync_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    version: Mapped[int]
    value: Mapped[Jsonb]
    watermark: Mapped[str | None]
    execution_id: Mapped[UUID | None]
    committed_at: Mapped[datetime]


class EventRow(Base):
    """Somebody said that something changed: a webhook, a call, a person.

    An event is known by its tenant, where it comes from, and the id it has there, and
    taken in once. ``execution_id`` is the execution that answers it; ``streams`` are the
    usual names of what changed. ``delivery_id`` is the request it came with, for as long
    as that is kept, and ``traceparent`` that one's span (W3C Trace Context).
    """

    __tablename__ = "webhook_events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "platform", "event_id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        CheckConstraint(one_of("status", EventStatus), name="status"),
        CheckConstraint(one_of("source", EventTrigger), name="source"),
        Index(None, "tenant_id", "received_at"),
        Index("webhook_events_pending_idx", "received_at",
              postgresql_where=text("status = 'pending'")),
        Index("webhook_events_done_idx", "processed_at",
              postgresql_where=text("status IN ('processed', 'ignored')")),
        Index(None, "execution_id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    source: Mapped[str]
    platform: Mapped[str]
    event_id: Mapped[str]
    event_type: Mapped[str]
    entity_type: Mapped[str | None]
    entity_id: Mapped[str | None]
    sync_id: Mapped[UUID | None]
    streams: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    delivery_id: Mapped[UUID | None]
    traceparent: Mapped[str | None]
    payload: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    reason: Mapped[str | None]
    execution_id: Mapped[UUID | None]
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    processed_at: Mapped[datetime | None]


class AuditRow(Base):
    """Who changed what, from what to what. ``hash`` covers the row and the hash before it."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "tenant_id", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID | None]
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    before: Mapped[Jsonb | None]
    after: Mapped[Jsonb | None]
    previous_hash: Mapped[str]
    hash: Mapped[str]


class AuditHeadRow(Base):
    """The one row that says how long the audit's chain is and where it ends; a trigger moves it."""

    __tablename__ = "audit_heads"
    __table_args__ = (CheckConstraint("id = 1", name="id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    length: Mapped[int]
    last_id: Mapped[int]
    hash: Mapped[str]
