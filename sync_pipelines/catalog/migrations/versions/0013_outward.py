"""Outward: consent that is waited for, who may reach inside, waits of calls, leases of keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

from sync_pipelines.catalog.isolation import guard

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    instant = TIMESTAMP(timezone=True)
    op.create_table(
        "connection_authorizations",
        sa.Column("state_hash", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("connection_authorizations_pkey")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["sync.connections.tenant_id", "sync.connections.id"],
            name=op.f("connection_authorizations_tenant_id_connection_id_fkey"),
            ondelete="CASCADE",
        ),
        schema="sync",
    )
    op.create_index(
        op.f("connection_authorizations_tenant_id_connection_id_idx"),
        "connection_authorizations",
        ["tenant_id", "connection_id"],
        schema="sync",
    )
    guard(op.get_bind(), "connection_authorizations")
    # What there is was judged when it was saved, or is the operator's own.
    op.add_column(
        "connections",
        sa.Column("reaches_private", sa.Boolean(), server_default=sa.true(), nullable=False),
        schema="sync",
    )
    op.add_column(
        "connection_budgets",
        sa.Column("waited_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        schema="sync",
    )
    for column in (
        sa.Column("owner", sa.Uuid()),
        sa.Column("leased_until", instant),
        sa.Column("worked_at", instant),
    ):
        op.add_column("idempotency_keys", column, schema="sync")


def downgrade() -> None:
    """Take back."""
    for column in ("worked_at", "leased_until", "owner"):
        op.drop_column("idempotency_keys", column, schema="sync")
    op.drop_column("connection_budgets", "waited_ms", schema="sync")
    op.drop_column("connections", "reaches_private", schema="sync")
    op.drop_table("connection_authorizations", schema="sync")
