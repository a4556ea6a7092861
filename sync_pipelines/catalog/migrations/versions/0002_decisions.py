"""Schedules that answer: decisions, breakers, dead letters, events, conflicts, the watch.

What used to be an execution that was skipped at birth becomes a decision.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATUSES = "'pending', 'queued', 'running', 'completed', 'partial', 'failed', 'cancelled'"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("every_seconds", sa.BigInteger(), nullable=False),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("heartbeats_pkey")),
        schema="sync",
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("remedy", sa.String(), nullable=False),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("seen", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("opened_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("last_seen_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("resolved_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["sync.tenants.id"],
            name=op.f("incidents_tenant_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("incidents_pkey")),
        schema="sync",
    )
    op.create_index(
        "incidents_open_key",
        "incidents",
        ["kind", "subject"],
        unique=True,
        schema="sync",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(
        op.f("incidents_opened_at_idx"), "incidents", ["opened_at"], unique=False, schema="sync"
    )
    op.create_index(
        op.f("incidents_tenant_id_opened_at_idx"),
        "incidents",
        ["tenant_id", "opened_at"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "sync_schedule_conflicts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column(
            "schedules",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("remedy", sa.String(), nullable=False),
        sa.Column("found_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("last_found_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("resolved_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["sync.tenants.id"],
            name=op.f("sync_schedule_conflicts_tenant_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_schedule_conflicts_pkey")),
        schema="sync",
    )
    op.create_index(
        "sync_schedule_conflicts_open_key",
        "sync_schedule_conflicts",
        ["tenant_id", "fingerprint"],
        unique=True,
        schema="sync",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(
        op.f("sync_schedule_conflicts_tenant_id_found_at_idx"),
        "sync_schedule_conflicts",
        ["tenant_id", "found_at"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sync_id", sa.Uuid(), nullable=True),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("status", sa.String(), server_default=sa.text("'open'"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("redriven_as", sa.Uuid(), nullable=True),
        sa.CheckConstraint("kind IN ('execution', 'event')", name=op.f("dead_letters_kind_check")),
        sa.CheckConstraint(
            "status IN ('open', 'redriven', 'superseded', 'discarded')",
            name=op.f("dead_letters_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("dead_letters_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["sync.tenants.id"],
            name=op.f("dead_letters_tenant_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letters_pkey")),
        sa.UniqueConstraint("event_id", name=op.f("dead_letters_event_id_key")),
        sa.UniqueConstraint("execution_id", name=op.f("dead_letters_execution_id_key")),
        schema="sync",
    )
    op.create_index(
        "dead_letters_open_idx",
        "dead_letters",
        ["sync_id"],
        unique=False,
        schema="sync",
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(
        op.f("dead_letters_tenant_id_created_at_idx"),
        "dead_letters",
        ["tenant_id", "created_at"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "sync_breakers",
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("opened_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("probes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("probe_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "failures >= 0 AND probes >= 0", name=op.f("sync_breakers_counts_check")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("sync_breakers_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sync_id", name=op.f("sync_breakers_pkey")),
        schema="sync",
    )
    op.create_index(
        op.f("sync_breakers_tenant_id_idx"),
        "sync_breakers",
        ["tenant_id"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=True),
        sa.Column("entity_id", sa.String(), nullable=True),
        sa.Column("sync_id", sa.Uuid(), nullable=True),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("status", sa.String(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column(
            "received_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("processed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "source IN ('webhook', 'api', 'user-action')", name=op.f("webhook_events_source_check")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'dispatched', 'processed', 'ignored', 'dead')",
            name=op.f("webhook_events_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("webhook_events_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["sync.tenants.id"],
            name=op.f("webhook_events_tenant_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_events_pkey")),
        sa.UniqueConstraint(
            "tenant_id",
            "platform",
            "event_id",
            name=op.f("webhook_events_tenant_id_platform_event_id_key"),
        ),
        schema="sync",
    )
    op.create_index(
        op.f("webhook_events_execution_id_idx"),
        "webhook_events",
        ["execution_id"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        "webhook_events_pending_idx",
        "webhook_events",
        ["received_at"],
        unique=False,
        schema="sync",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        op.f("webhook_events_tenant_id_received_at_idx"),
        "webhook_events",
        ["tenant_id", "received_at"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "sync_decisions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=True),
        sa.Column("schedule_name", sa.String(), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("first_due_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("count", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("into", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('run', 'catch_up', 'queued', 'cancel_running_and_run', 'collapsed', "
            "'skipped')",
            name=op.f("sync_decisions_outcome_check"),
        ),
        sa.CheckConstraint(
            "count >= 1 AND first_due_at <= due_at", name=op.f("sync_decisions_run_check")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "schedule_id"],
            ["sync.sync_schedules.tenant_id", "sync.sync_schedules.id"],
            name=op.f("sync_decisions_tenant_id_schedule_id_fkey"),
            ondelete="SET NULL (schedule_id)",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("sync_decisions_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_decisions_pkey")),
        sa.UniqueConstraint(
            "schedule_id", "due_at", name=op.f("sync_decisions_schedule_id_due_at_key")
        ),
        schema="sync",
    )
    op.create_index(
        op.f("sync_decisions_decided_at_idx"),
        "sync_decisions",
        ["decided_at"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        op.f("sync_decisions_sync_id_due_at_idx"),
        "sync_decisions",
        ["sync_id", "due_at"],
        unique=False,
        schema="sync",
    )
    op.create_index(
        op.f("sync_decisions_tenant_id_idx"),
        "sync_decisions",
        ["tenant_id"],
        unique=False,
        schema="sync",
    )
    op.add_column(
        "connections", sa.Column("most_at_once", sa.BigInteger(), nullable=True), schema="sync"
    )
    op.add_column(
        "sync_executions",
        sa.Column(
            "fruitless_attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        schema="sync",
    )
    op.add_column(
        "sync_executions",
        sa.Column("priority", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        schema="sync",
    )
    op.add_column(
        "sync_executions", sa.Column("queued_by", sa.String(), nullable=True), schema="sync"
    )
    op.add_column(
        "sync_executions",
        sa.Column("place", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        schema="sync",
    )
    op.add_column(
        "sync_executions",
        sa.Column("followed_up_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        schema="sync",
    )
    op.add_column(
        "sync_executions",
        sa.Column("progressed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        schema="sync",
    )
    op.create_index(
        "sync_executions_unfollowed_idx",
        "sync_executions",
        ["completed_at"],
        unique=False,
        schema="sync",
        postgresql_where=sa.text("completed_at IS NOT NULL AND followed_up_at IS NULL"),
    )
    op.add_column(
        "sync_schedules",
        sa.Column("learned", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        schema="sync",
    )
    op.add_column(
        "sync_schedules",
        sa.Column(
            "decided_until",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        schema="sync",
    )
    op.create_index(
        op.f("sync_schedules_schedule_type_idx"),
        "sync_schedules",
        ["schedule_type"],
        unique=False,
        schema="sync",
    )
    op.add_column(
        "syncs",
        sa.Column(
            "breaker",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        schema="sync",
    )
    op.add_column("syncs", sa.Column("pause_reason", sa.String(), nullable=True), schema="sync")
    op.execute(
        """
        INSERT INTO sync.sync_decisions (tenant_id, sync_id, schedule_id, schedule_name, due_at,
               first_due_at, outcome, cause, reason, decided_at)
        SELECT e.tenant_id, e.sync_id, e.schedule_id, s.name, e.due_at, e.due_at, 'skipped',
               'overlap', coalesce(e.execution_metadata ->> 'reason', 'skipped'), e.created_at
        FROM sync.sync_executions e JOIN sync.sync_schedules s ON s.id = e.schedule_id
        WHERE e.status = 'skipped'
        """
    )
    op.execute("DELETE FROM sync.sync_executions WHERE status = 'skipped'")
    op.execute(
        """
        UPDATE sync.sync_schedules SET decided_until
            = coalesce(next_run_at - interval '1 microsecond', last_run_at, created_at)
        """
    )
    op.execute("UPDATE sync.sync_executions SET followed_up_at = completed_at")
    _check_statuses(STATUSES)


def downgrade() -> None:
    """Take back."""
    _check_statuses(f"{STATUSES}, 'skipped'")
    op.drop_column("syncs", "pause_reason", schema="sync")
    op.drop_column("syncs", "breaker", schema="sync")
    op.drop_index(
        op.f("sync_schedules_schedule_type_idx"), table_name="sync_schedules", schema="sync"
    )
    op.drop_column("sync_schedules", "decided_until", schema="sync")
    op.drop_column("sync_schedules", "learned", schema="sync")
    op.drop_index(
        "sync_executions_unfollowed_idx",
        table_name="sync_executions",
        schema="sync",
        postgresql_where=sa.text("completed_at IS NOT NULL AND followed_up_at IS NULL"),
    )
    op.drop_column("sync_executions", "progressed_at", schema="sync")
    op.drop_column("sync_executions", "followed_up_at", schema="sync")
    op.drop_column("sync_executions", "place", schema="sync")
    op.drop_column("sync_executions", "queued_by", schema="sync")
    op.drop_column("sync_executions", "priority", schema="sync")
    op.drop_column("sync_executions", "fruitless_attempts", schema="sync")
    op.drop_column("connections", "most_at_once", schema="sync")
    op.drop_index(op.f("sync_decisions_tenant_id_idx"), table_name="sync_decisions", schema="sync")
    op.drop_index(
        op.f("sync_decisions_sync_id_due_at_idx"), table_name="sync_decisions", schema="sync"
    )
    op.drop_index(op.f("sync_decisions_decided_at_idx"), table_name="sync_decisions", schema="sync")
    op.drop_table("sync_decisions", schema="sync")
    op.drop_index(
        op.f("webhook_events_tenant_id_received_at_idx"), table_name="webhook_events", schema="sync"
    )
    op.drop_index(
        "webhook_events_pending_idx",
        table_name="webhook_events",
        schema="sync",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index(
        op.f("webhook_events_execution_id_idx"), table_name="webhook_events", schema="sync"
    )
    op.drop_table("webhook_events", schema="sync")
    op.drop_index(op.f("sync_breakers_tenant_id_idx"), table_name="sync_breakers", schema="sync")
    op.drop_table("sync_breakers", schema="sync")
    op.drop_index(
        op.f("dead_letters_tenant_id_created_at_idx"), table_name="dead_letters", schema="sync"
    )
    op.drop_index(
        "dead_letters_open_idx",
        table_name="dead_letters",
        schema="sync",
        postgresql_where=sa.text("status = 'open'"),
    )
    op.drop_table("dead_letters", schema="sync")
    op.drop_index(
        op.f("sync_schedule_conflicts_tenant_id_found_at_idx"),
        table_name="sync_schedule_conflicts",
        schema="sync",
    )
    op.drop_index(
        "sync_schedule_conflicts_open_key",
        table_name="sync_schedule_conflicts",
        schema="sync",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_table("sync_schedule_conflicts", schema="sync")
    op.drop_index(op.f("incidents_tenant_id_opened_at_idx"), table_name="incidents", schema="sync")
    op.drop_index(op.f("incidents_opened_at_idx"), table_name="incidents", schema="sync")
    op.drop_index(
        "incidents_open_key",
        table_name="incidents",
        schema="sync",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_table("incidents", schema="sync")
    op.drop_table("heartbeats", schema="sync")


def _check_statuses(known: str) -> None:
    name = op.f("sync_executions_status_check")
    op.drop_constraint(name, "sync_executions", schema="sync", type_="check")
    op.create_check_constraint(name, "sync_executions", f"status IN ({known})", schema="sync")
