"""Operations: what ended when, and word of every step of an execution."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Nobody can be watching an execution that is being made, so inserts tell nothing; and a
# sign of life without progress is no news. PostgreSQL sends equal notices of one
# transaction once.
_NOTIFY = """
CREATE FUNCTION sync.notify_progress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sync_progress', NEW.tenant_id || ' ' || NEW.id);
    RETURN NULL;
END $$
"""

_TRIGGER = """
CREATE TRIGGER notify_progress AFTER UPDATE ON sync.sync_executions FOR EACH ROW
WHEN (
    (NEW.status, NEW.attempt, NEW.progress, NEW.cancel_requested_at)
    IS DISTINCT FROM
    (OLD.status, OLD.attempt, OLD.progress, OLD.cancel_requested_at)
)
EXECUTE FUNCTION sync.notify_progress()
"""


def upgrade() -> None:
    """Apply."""
    op.create_index(
        op.f("sync_executions_completed_idx"),
        "sync_executions",
        ["completed_at"],
        schema="sync",
        postgresql_where=sa.text("completed_at IS NOT NULL"),
    )
    op.execute(_NOTIFY)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """Take back."""
    op.execute("DROP TRIGGER notify_progress ON sync.sync_executions")
    op.execute("DROP FUNCTION sync.notify_progress()")
    op.drop_index(
        op.f("sync_executions_completed_idx"), table_name="sync_executions", schema="sync"
    )
