"""Events: the span of the request that they came with, for what they start."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of what came before nobody knows."""
    op.add_column("webhook_events", sa.Column("traceparent", sa.String()), schema="sync")


def downgrade() -> None:
    """Take back."""
    op.drop_column("webhook_events", "traceparent", schema="sync")
