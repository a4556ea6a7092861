"""Deliveries: who has a message, and since when it is being sent."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What is being sent at this moment is sent again: nobody has it any more."""
    op.execute("UPDATE sync.outbox SET taken_until = NULL WHERE taken_until IS NOT NULL")
    op.add_column("outbox", sa.Column("taken_by", sa.Uuid()), schema="sync")
    op.add_column("outbox", sa.Column("begun_at", sa.DateTime(timezone=True)), schema="sync")
    op.drop_index("outbox_taken_idx", table_name="outbox", schema="sync")
    op.create_index(
        "outbox_taken_idx",
        "outbox",
        ["rule_id"],
        schema="sync",
        postgresql_where=sa.text("taken_by IS NOT NULL"),
    )
    op.create_index(
        "outbox_of_rule_idx",
        "outbox",
        ["rule_id", "attempts", "next_attempt_at"],
        schema="sync",
        postgresql_where=sa.text("state = 'pending'"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("outbox_of_rule_idx", table_name="outbox", schema="sync")
    op.drop_index("outbox_taken_idx", table_name="outbox", schema="sync")
    op.create_index(
        "outbox_taken_idx",
        "outbox",
        ["rule_id"],
        schema="sync",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_column("outbox", "begun_at", schema="sync")
    op.drop_column("outbox", "taken_by", schema="sync")
