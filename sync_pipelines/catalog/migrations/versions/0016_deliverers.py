"""Deliverers: which of them has a message, so that the end of its process is seen at once."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What somebody has at this moment is theirs for as long as they said."""
    op.add_column("outbox", sa.Column("taken_in", sa.BigInteger()), schema="sync")


def downgrade() -> None:
    """Take back."""
    op.drop_column("outbox", "taken_in", schema="sync")
