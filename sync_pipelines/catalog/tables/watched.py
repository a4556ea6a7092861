"""What the watch sees: signs of life, and incidents."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from sync_pipelines.catalog.tables.base import EMPTY_OBJECT, NEW_ID, Base, Jsonb


class HeartbeatRow(Base):
    """When a part of the installation last gave a sign of life, and how often it should."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    every_seconds: Mapped[int]
    detail: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)


class IncidentRow(Base):
    """Something is wrong with ``subject``; one open row for each kind and subject.

    ``tenant_id`` None: it concerns the installation. ``seen`` counts how often it was
    found while open. Who acknowledges it wants no more reminders, who snoozes it none
    until then.
    """

    __tablename__ = "incidents"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        Index("incidents_open_key", "kind", "subject", unique=True,
              postgresql_where=text("resolved_at IS NULL")),
        Index(None, "tenant_id", "opened_at"),
        Index(None, "opened_at"),
        Index("incidents_resolved_idx", "resolved_at",
              postgresql_where=text("resolved_at IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID | None]
    kind: Mapped[str]
    subject: Mapped[str]
    message: Mapped[str]
    remedy: Mapped[str]
    severity: Mapped[str] = mapped_column(server_default=text("'warning'"))
    details: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    seen: Mapped[int] = mapped_column(server_default=text("1"))
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    snoozed_until: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
