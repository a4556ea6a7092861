"""What was configured: tenants, connections, syncs, schedules.

Column names follow the product's source documents where they give them.
Composite foreign keys carry ``tenant_id``, so that a row can only ever point at
rows of its own tenant.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from sync_pipelines.catalog.tables.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    NEW_ID,
    NOW,
    Base,
    Jsonb,
)


class TenantRow(Base):
    """The customer who owns every other row; ``takes_webhooks`` False: only schedules count.

    ``thresholds`` are those of alerts that differ from the usual ones.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("weight > 0", name="weight"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    name: Mapped[str]
    limits: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    weight: Mapped[int] = mapped_column(server_default=text("1"))
    takes_webhooks: Mapped[bool] = mapped_column(server_default=text("true"))
    thresholds: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ConnectionRow(Base):
    """A configured connector; ``secrets`` is one encrypted JSON object, ``config`` the rest.

    ``most_at_once`` is how many executions the system behind it bears at a time.
    ``reaches_private``: it may lead to addresses inside this network.
    """

    __tablename__ = "connections"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "id"),
        CheckConstraint("most_at_once > 0", name="most_at_once"),
        Index(None, "tenant_id", "connector"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    name: Mapped[str]
    connector: Mapped[str]
    config: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    secrets: Mapped[str | None]
    secrets_key_id: Mapped[str | None]
    most_at_once: Mapped[int | None]
    reaches_private: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SyncRow(Base):
    """What moves where. ``connector`` repeats the source's, by which Dagster groups syncs."""

    __tablename__ = "syncs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "source_id"], ["connections.tenant_id", "connections.id"]
        ),
        ForeignKeyConstraint(
            ["tenant_id", "destination_id"], ["connections.tenant_id", "connections.id"]
        ),
        Index(None, "connector"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    name: Mapped[str]
    description: Mapped[str | None]
    source_id: Mapped[UUID]
    destination_id: Mapped[UUID]
    connector: Mapped[str]
    dataset: Mapped[str]
    streams: Mapped[list[Any]]
    tags: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    retry: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    breaker: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    pause_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ScheduleRow(Base):
    """When a sync runs.

    Every instant due at or before ``decided_until`` has its decision. ``next_run_at`` is
    when it may start something next; None where nothing is to come, or no clock drives it.
    ``learned`` is the interval that an adaptive cadence has come to.
    """

    __tablename__ = "sync_schedules"
    __table_args__ = (
        UniqueConstraint("sync_id", "name"),
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id"),
        Index(None, "is_active", "next_run_at"),
        Index(None, "schedule_type"),
        Index("sync_schedules_by_name_idx", "tenant_id", "name", "id"),
        Index("sync_schedules_by_created_at_idx", "tenant_id", "created_at", "id"),
        Index(
            "sync_schedules_by_coming_idx",
            "tenant_id",
            text("coalesce(next_run_at, '9999-12-31 00:00:00+00'::timestamptz)"),
            "id",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    sync_id: Mapped[UUID]
    name: Mapped[str]
    description: Mapped[str | None]
    schedule_type: Mapped[str]
    cron_expression: Mapped[str | None]
    timezone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    config: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    notification_settings: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    learned: Mapped[Jsonb | None]
    decided_until: Mapped[datetime] = mapped_column(server_default=NOW)
    next_run_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
