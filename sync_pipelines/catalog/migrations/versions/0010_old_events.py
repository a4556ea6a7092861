"""Old events: found by when they were done with."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "webhook_events_done_idx",
        "webhook_events",
        ["processed_at"],
        schema="sync",
        postgresql_where=sa.text("status IN ('processed', 'ignored')"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("webhook_events_done_idx", table_name="webhook_events", schema="sync")
