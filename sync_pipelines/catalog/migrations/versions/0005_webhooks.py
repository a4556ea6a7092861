"""Webhooks come in: endpoints, raw deliveries, and what an event says of its streams."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sync_pipelines.catalog.isolation import GATEWAY_ROLE, guard

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
JSONB = postgresql.JSONB(astext_type=sa.Text())


def _instant(name: str) -> sa.Column[object]:
    return sa.Column(name, INSTANT, server_default=sa.text("now()"), nullable=False)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _json(name: str, empty: str) -> sa.Column[object]:
    return sa.Column(name, JSONB, server_default=sa.text(f"'{empty}'::jsonb"), nullable=False)


def _id() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "webhook_endpoints",
        _id(),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("name", "key", "scheme")),
        _json("config", "{}"),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("secrets", "secrets_key_id")),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("silence_after_seconds", sa.BigInteger(), nullable=True),
        *(_count(name) for name in ("received", "refused", "failure_streak")),
        sa.Column("last_received_at", INSTANT, nullable=True),
        sa.Column("last_refused_at", INSTANT, nullable=True),
        sa.Column("last_refusal", sa.String(), nullable=True),
        _instant("created_at"),
        _instant("updated_at"),
        sa.CheckConstraint(
            "silence_after_seconds > 0",
            name=op.f("webhook_endpoints_silence_after_seconds_check"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["sync.tenants.id"],
            name=op.f("webhook_endpoints_tenant_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["sync.connections.tenant_id", "sync.connections.id"],
            name=op.f("webhook_endpoints_tenant_id_connection_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_endpoints_pkey")),
        sa.UniqueConstraint("key", name=op.f("webhook_endpoints_key_key")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("webhook_endpoints_tenant_id_name_key")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("webhook_endpoints_tenant_id_id_key")),
        schema="sync",
    )
    op.create_index(
        op.f("webhook_endpoints_connection_id_idx"),
        "webhook_endpoints",
        ["connection_id"],
        schema="sync",
    )
    op.create_table(
        "webhook_deliveries",
        _id(),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _json("headers", "{}"),
        _json("query", "{}"),
        _json("event_ids", "[]"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"],
            ["sync.webhook_endpoints.tenant_id", "sync.webhook_endpoints.id"],
            name=op.f("webhook_deliveries_tenant_id_endpoint_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_deliveries_pkey")),
        schema="sync",
    )
    op.create_index(
        op.f("webhook_deliveries_tenant_id_endpoint_id_received_at_idx"),
        "webhook_deliveries",
        ["tenant_id", "endpoint_id", "received_at"],
        schema="sync",
    )
    op.create_index(
        op.f("webhook_deliveries_received_at_idx"),
        "webhook_deliveries",
        ["received_at"],
        schema="sync",
    )
    op.add_column("webhook_events", _json("streams", "[]"), schema="sync")
    op.add_column(
        "webhook_events", sa.Column("delivery_id", sa.Uuid(), nullable=True), schema="sync"
    )
    op.add_column(
        "tenants",
        sa.Column("takes_webhooks", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        schema="sync",
    )
    for table in ("webhook_endpoints", "webhook_deliveries"):
        guard(op.get_bind(), table)
    # The rest of a tenant's row is the installation's affair.
    op.execute(f"GRANT UPDATE (takes_webhooks, updated_at) ON sync.tenants TO {GATEWAY_ROLE}")


def downgrade() -> None:
    """Take back."""
    op.execute(f"REVOKE UPDATE (takes_webhooks, updated_at) ON sync.tenants FROM {GATEWAY_ROLE}")
    op.drop_column("tenants", "takes_webhooks", schema="sync")
    op.drop_column("webhook_events", "delivery_id", schema="sync")
    op.drop_column("webhook_events", "streams", schema="sync")
    op.drop_table("webhook_deliveries", schema="sync")
    op.drop_table("webhook_endpoints", schema="sync")
