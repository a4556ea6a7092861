"""History stays bounded: summaries of what is forgotten, and quick finding of failures."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBERS = (
    "completed",
    "partial",
    "failed",
    "cancelled",
    "attempts",
    "records_processed",
    "records_created",
    "records_updated",
    "records_deleted",
    "records_rejected",
    "bytes_moved",
    "duration_ms",
    "longest_ms",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sync_summaries",
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in NUMBERS),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("sync_summaries_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sync_id", "day", name=op.f("sync_summaries_pkey")),
        schema="sync",
    )
    op.create_index(
        op.f("sync_summaries_tenant_id_day_idx"),
        "sync_summaries",
        ["tenant_id", "day"],
        schema="sync",
    )
    op.create_index(
        "sync_executions_failed_idx",
        "sync_executions",
        ["sync_id", "created_at"],
        schema="sync",
        postgresql_where=sa.text("status IN ('failed', 'partial')"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("sync_executions_failed_idx", table_name="sync_executions", schema="sync")
    op.drop_table("sync_summaries", schema="sync")
