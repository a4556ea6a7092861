"""What connections share while they run: budgets of calls, and tokens."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

from sync_pipelines.catalog.isolation import guard

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _owned(table: str) -> tuple[sa.Column[Any], sa.ForeignKeyConstraint]:
    return (
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["sync.connections.tenant_id", "sync.connections.id"],
            name=op.f(f"{table}_tenant_id_connection_id_fkey"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    """Apply."""
    instant = TIMESTAMP(timezone=True)
    now, zero = sa.text("now()"), sa.text("0")
    op.create_table(
        "connection_budgets",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        *_owned("connection_budgets"),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("refilled_at", instant, server_default=now, nullable=False),
        sa.Column("granted", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("remaining", sa.BigInteger()),
        sa.Column("resets_at", instant),
        sa.Column("calls", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("throttles", sa.BigInteger(), server_default=zero, nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "bucket", name=op.f("connection_budgets_pkey")),
        schema="sync",
    )
    op.create_table(
        "connection_tokens",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        *_owned("connection_tokens"),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("updated_at", instant, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("connection_id", name=op.f("connection_tokens_pkey")),
        schema="sync",
    )
    for table in ("connection_budgets", "connection_tokens"):
        op.create_index(op.f(f"{table}_tenant_id_idx"), table, ["tenant_id"], schema="sync")
        guard(op.get_bind(), table)


def downgrade() -> None:
    """Take back."""
    op.drop_table("connection_tokens", schema="sync")
    op.drop_table("connection_budgets", schema="sync")
