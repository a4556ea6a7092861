"""Executions: whether their outcome was told as they were settled."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What has ended and was not followed up is told when it is, as before."""
    column = sa.Column("told_at", postgresql.TIMESTAMP(timezone=True))
    op.add_column("sync_executions", column, schema="sync")


def downgrade() -> None:
    """Take back."""
    op.drop_column("sync_executions", "told_at", schema="sync")
