"""Inbound webhooks: where each may come in, and what came."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from sync_pipelines.catalog.tables.base import EMPTY_LIST, EMPTY_OBJECT, NEW_ID, NOW, Base, Jsonb


class EndpointRow(Base):
    """A URL that a provider sends to; ``key`` is its unguessable part.

    ``secrets`` is one encrypted JSON object. ``failure_streak`` is how many requests were
    refused since the last genuine one.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        UniqueConstraint("key"),
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("silence_after_seconds > 0", name="silence_after_seconds"),
        Index(None, "connection_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    connection_id: Mapped[UUID | None]
    name: Mapped[str]
    key: Mapped[str]
    scheme: Mapped[str]
    config: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    secrets: Mapped[str]
    secrets_key_id: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    silence_after_seconds: Mapped[int | None]
    received: Mapped[int] = mapped_column(server_default=text("0"))
    refused: Mapped[int] = mapped_column(server_default=text("0"))
    failure_streak: Mapped[int] = mapped_column(server_default=text("0"))
    last_received_at: Mapped[datetime | None]
    last_refused_at: Mapped[datetime | None]
    last_refusal: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class DeliveryRow(Base):
    """A genuine request as it came, byte for byte, for as long as deliveries are kept.

    Without headers that hold a secret. ``event_ids`` are those it told of, known before
    or not. One that told only of what was known is not kept again.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"],
            ["webhook_endpoints.tenant_id", "webhook_endpoints.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "endpoint_id", "received_at"),
        Index(None, "received_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID]
    endpoint_id: Mapped[UUID]
    received_at: Mapped[datetime]
    body: Mapped[bytes]
    headers: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    query: Mapped[Jsonb] = mapped_column(server_default=EMPTY_OBJECT)
    event_ids: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
