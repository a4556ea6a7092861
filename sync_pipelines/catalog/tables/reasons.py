"""Why something ran or did not: decisions, breakers, dead letters, conflicts."""

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
from sync_pipelines.model.dead_letter import LetterKind, LetterStatus
from sync_pipelines.timing.decisions import Outcome


class DecisionRow(Base):
    """What was decided on a schedule's instants: on ``due_at``, or on ``count`` that end there.

    One that starts something stands for one instant, and has its ``execution_id``. Those
    that were collapsed name the instant ``into`` whose execution stands for them.
    """

    __tablename__ = "sync_decisions"
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
        CheckConstraint(one_of("outcome", Outcome), name="outcome"),
        CheckConstraint("count >= 1 AND first_due_at <= due_at", name="run"),
        Index(None, "tenant_id"),
        Index(None, "sync_id", "due_at"),
        Index(None, "decided_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    sync_id: Mapped[UUID]
    schedule_id: Mapped[UUID | None]
    schedule_name: Mapped[str]
    due_at: Mapped[datetime]
    first_due_at: Mapped[datetime]
    count: Mapped[int] = mapped_column(server_default=text("1"))
    outcome: Mapped[str]
    cause: Mapped[str | None]
    reason: Mapped[str]
    into: Mapped[datetime | None]
    execution_id: Mapped[UUID | None]
    decided_at: Mapped[datetime]


class BreakerRow(Base):
    """How a sync has fared: its final failures in a row, and since when its breaker is open.

    A sync that has no row has not failed.
    """

    __tablename__ = "sync_breakers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        CheckConstraint("failures >= 0 AND probes >= 0", name="counts"),
        Index(None, "tenant_id"),
    )

    sync_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    opened_at: Mapped[datetime | None]
    probes: Mapped[int] = mapped_column(server_default=text("0"))
    probe_at: Mapped[datetime | None]


class DeadLetterRow(Base):
    """An execution that failed for good, or an event that nothing could be made of.

    ``cause`` is the error's class, by which letters are redriven together; ``payload``
    is what was asked for, or what the event said.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        CheckConstraint(one_of("kind", LetterKind), name="kind"),
        CheckConstraint(one_of("status", LetterStatus), name="status"),
        UniqueConstraint("execution_id"),
        UniqueConstraint("event_id"),
        Index(None, "tenant_id", "created_at"),
        Index("dead_letters_open_idx", "sync_id", postgresql_where=text("status = 'open'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    kind: Mapped[str]
    sync_id: Mapped[UUID | None]
    execution_id: Mapped[UUID | None]
    event_id: Mapped[UUID | None]
    cause: Mapped[str]
    reason: Mapped[str]
    payload: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    status: Mapped[str] = mapped_column(server_default=text("'open'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    closed_at: Mapped[datetime | None]
    redriven_as: Mapped[UUID | None]


class ConflictRow(Base):
    """What schedules do to each other; ``fingerprint`` knows the same finding again."""

    __tablename__ = "sync_schedule_conflicts"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        Index("sync_schedule_conflicts_open_key", "tenant_id", "fingerprint", unique=True,
              postgresql_where=text("resolved_at IS NULL")),
        Index(None, "tenant_id", "found_at"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    fingerprint: Mapped[str]
    kind: Mapped[str]
    severity: Mapped[str]
    schedules: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    message: Mapped[str]
    remedy: Mapped[str]
    found_at: Mapped[datetime]
    last_found_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
