"""The catalog's tables, in PostgreSQL schema ``sync``.

Column names follow the product's source documents where they give them.
Composite foreign keys carry ``tenant_id``, so that a row can only ever point at
rows of its own tenant.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sync_pipelines.model.execution import Status, Trigger

SCHEMA = "sync"

Jsonb = dict[str, Any]
"""A JSONB object."""


class Base(DeclarativeBase):
    """Naming and type rules of every table."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        },
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: TIMESTAMP(timezone=True),
        str: String,
        int: BigInteger,
        Jsonb: JSONB,
        list[Any]: JSONB,
    }


def _one_of(column: str, values: type[Status] | type[Trigger]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


NOW = text("now()")
NEW_ID = text("gen_random_uuid()")
EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_LIST = text("'[]'::jsonb")


class TenantRow(Base):
    """The customer who owns every other row."""

    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("weight > 0", name="weight"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    name: Mapped[str]
    limits: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    weight: Mapped[int] = mapped_column(server_default=text("1"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ConnectionRow(Base):
    """A configured connector; ``secrets`` is one encrypted JSON object, ``config`` the rest."""

    __tablename__ = "connections"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "id"),
        Index(None, "tenant_id", "connector"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    name: Mapped[str]
    connector: Mapped[str]
    config: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    secrets: Mapped[str | None]
    secrets_key_id: Mapped[str | None]
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
    retry: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ScheduleRow(Base):
    """When a sync runs. ``next_run_at`` is the first instant not yet decided on."""

    __tablename__ = "sync_schedules"
    __table_args__ = (
        UniqueConstraint("sync_id", "name"),
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "sync_id"], ["syncs.tenant_id", "syncs.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id"),
        Index(None, "is_active", "next_run_at"),
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
    next_run_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


ACTIVE = "status IN ('pending', 'queued', 'running')"


class ExecutionRow(Base):
    """One occurrence of a sync, with what it did.

    ``(schedule_id, due_at)`` claims a due instant once; one execution of a sync
    runs at a time. ``attempts`` keeps how each earlier attempt ended.
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
        CheckConstraint(_one_of("status", Status), name="status"),
        CheckConstraint(_one_of("trigger", Trigger), name="trigger"),
        CheckConstraint("attempt >= 1", name="attempt"),
        Index("sync_executions_running_key", "sync_id", unique=True,
              postgresql_where=text("status = 'running'")),
        Index("sync_executions_active_idx", "next_attempt_at", postgresql_where=text(ACTIVE)),
        Index(None, "tenant_id", "created_at"),
        Index(None, "sync_id", "created_at"),
        Index(None, "schedule_id"),
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
    next_attempt_at: Mapped[datetime | None]
    run_id: Mapped[str | None]
    request: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
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
