"""Idempotency keys: that there is an answer says that the work is done."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What was done, and its answer lost, is not done again."""
    lost = '{"status": 409, "title": "Conflict", "detail": "it was done; its answer was lost"}'
    op.execute(
        sa.text(
            "UPDATE sync.idempotency_keys SET status = 409, body = :lost "
            "WHERE status IS NULL AND worked_at IS NOT NULL"
        ).bindparams(lost=lost)
    )
    op.drop_column("idempotency_keys", "worked_at", schema="sync")


def downgrade() -> None:
    """Take back. What was answered was done."""
    instant = sa.DateTime(timezone=True)
    op.add_column("idempotency_keys", sa.Column("worked_at", instant), schema="sync")
    op.execute("UPDATE sync.idempotency_keys SET worked_at = created_at WHERE status IS NOT NULL")
