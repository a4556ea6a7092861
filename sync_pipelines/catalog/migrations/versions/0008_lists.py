"""Lists of the API: schedules in each order, and the executions of one, page by page."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name, by in (
        ("name", sa.text("name")),
        ("created_at", sa.text("created_at")),
        ("coming", sa.text("coalesce(next_run_at, '9999-12-31 00:00:00+00'::timestamptz)")),
    ):
        op.create_index(
            f"sync_schedules_by_{name}_idx",
            "sync_schedules",
            ["tenant_id", by, "id"],
            schema="sync",
        )
    op.create_index(
        op.f("sync_executions_schedule_id_created_at_idx"),
        "sync_executions",
        ["schedule_id", "created_at"],
        schema="sync",
    )
    op.drop_index(
        op.f("sync_executions_schedule_id_idx"), table_name="sync_executions", schema="sync"
    )


def downgrade() -> None:
    """Take back."""
    op.create_index(
        op.f("sync_executions_schedule_id_idx"), "sync_executions", ["schedule_id"], schema="sync"
    )
    op.drop_index(
        op.f("sync_executions_schedule_id_created_at_idx"),
        table_name="sync_executions",
        schema="sync",
    )
    for name in ("coming", "created_at", "name"):
        op.drop_index(f"sync_schedules_by_{name}_idx", table_name="sync_schedules", schema="sync")
