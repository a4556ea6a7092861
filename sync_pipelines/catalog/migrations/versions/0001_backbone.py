"""The backbone: tenants, connections, syncs, schedules, executions, state, audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
        schema="sync",
    )
    op.create_index(
        op.f("audit_log_tenant_id_at_idx"),
        "audit_log",
        ["tenant_id", "at"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "limits",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("weight", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("weight > 0", name=op.f("tenants_weight_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("tenants_pkey")),
        sa.UniqueConstraint("name", name=op.f("tenants_name_key")),
        schema="sync",
    )
    op.create_table(
        "connections",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column(
            "config",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("secrets", sa.String(), nullable=True),
        sa.Column("secrets_key_id", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["sync.tenants.id"],
            name=op.f("connections_tenant_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("connections_pkey")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("connections_tenant_id_id_key")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("connections_tenant_id_name_key")),
        schema="sync",
    )
    op.create_index(
        op.f("connections_tenant_id_connector_idx"),
        "connections",
        ["tenant_id", "connector"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "syncs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("destination_id", sa.Uuid(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("streams", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "retry",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "destination_id"],
            ["sync.connections.tenant_id", "sync.connections.id"],
            name=op.f("syncs_tenant_id_destination_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "source_id"],
            ["sync.connections.tenant_id", "sync.connections.id"],
            name=op.f("syncs_tenant_id_source_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["sync.tenants.id"],
            name=op.f("syncs_tenant_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("syncs_pkey")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("syncs_tenant_id_id_key")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("syncs_tenant_id_name_key")),
        schema="sync",
    )
    op.create_index(
        op.f("syncs_connector_idx"), "syncs", ["connector"], unique=False, schema="sync"
    )
    op.create_table(
        "sync_schedules",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("schedule_type", sa.String(), nullable=False),
        sa.Column("cron_expression", sa.String(), nullable=True),
        sa.Column("timezone", sa.String(), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "config",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "notification_settings",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("next_run_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_run_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("sync_schedules_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_schedules_pkey")),
        sa.UniqueConstraint("sync_id", "name", name=op.f("sync_schedules_sync_id_name_key")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("sync_schedules_tenant_id_id_key")),
        schema="sync",
    )
    op.create_index(
        op.f("sync_schedules_is_active_next_run_at_idx"),
        "sync_schedules",
        ["is_active", "next_run_at"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        op.f("sync_schedules_tenant_id_idx"),
        "sync_schedules",
        ["tenant_id"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "sync_state",
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("watermark", sa.String(), nullable=True),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column("committed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("sync_state_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sync_id", "stream", name=op.f("sync_state_pkey")),
        schema="sync",
    )
    op.create_index(
        op.f("sync_state_tenant_id_idx"), "sync_state", ["tenant_id"], unique=False, schema="sync"
    )
    op.create_table(
        "sync_executions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=True),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("attempt", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "attempts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("next_attempt_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column(
            "request",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("queued_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("completed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("heartbeat_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column(
            "records_processed", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("records_created", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_updated", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_deleted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_rejected", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes_moved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "progress",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("error_details", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "execution_metadata",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'queued', 'running', "
            "'completed', 'partial', 'failed', 'cancelled', 'skipped')",
            name=op.f("sync_executions_status_check"),
        ),
        sa.CheckConstraint(
            "trigger IN ('scheduled', 'manual', 'realtime', 'retry', 'catchup', 'backfill')",
            name=op.f("sync_executions_trigger_check"),
        ),
        sa.CheckConstraint("attempt >= 1", name=op.f("sync_executions_attempt_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "schedule_id"],
            ["sync.sync_schedules.tenant_id", "sync.sync_schedules.id"],
            name=op.f("sync_executions_tenant_id_schedule_id_fkey"),
            ondelete="SET NULL (schedule_id)",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("sync_executions_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_executions_pkey")),
        sa.UniqueConstraint(
            "schedule_id", "due_at", name=op.f("sync_executions_schedule_id_due_at_key")
        ),
        schema="sync",
    )
    op.create_index(
        "sync_executions_active_idx",
        "sync_executions",
        ["next_attempt_at"],
        unique=False,
        schema="sync",
        postgresql_where=sa.text("status IN ('pending', 'queued', 'running')"),
    )
    op.create_index(
        op.f("sync_executions_created_at_idx"),
        "sync_executions",
        ["created_at"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        op.f("sync_executions_run_id_idx"),
        "sync_executions",
        ["run_id"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        "sync_executions_running_key",
        "sync_executions",
        ["sync_id"],
        unique=True,
        schema="sync",
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        op.f("sync_executions_schedule_id_idx"),
        "sync_executions",
        ["schedule_id"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        op.f("sync_executions_status_idx"),
        "sync_executions",
        ["status"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        op.f("sync_executions_sync_id_created_at_idx"),
        "sync_executions",
        ["sync_id", "created_at"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        op.f("sync_executions_tenant_id_created_at_idx"),
        "sync_executions",
        ["tenant_id", "created_at"],
        unique=False,
        schema="sync",
    )


def downgrade() -> None:
    """Take back."""
    for table in (
        "sync_executions",
        "sync_state",
        "sync_schedules",
        "syncs",
        "connections",
        "tenants",
        "audit_log",
    ):
        op.drop_table(table, schema="sync")
