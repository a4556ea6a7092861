"""Executions: when their end was written into the audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What has ended before is written down, too, by and by."""
    column = sa.Column("audited_at", postgresql.TIMESTAMP(timezone=True))
    op.add_column("sync_executions", column, schema="sync")
    op.create_index(
        "sync_executions_unaudited_idx",
        "sync_executions",
        ["completed_at"],
        schema="sync",
        postgresql_where=sa.text("completed_at IS NOT NULL AND audited_at IS NULL"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_column("sync_executions", "audited_at", schema="sync")
