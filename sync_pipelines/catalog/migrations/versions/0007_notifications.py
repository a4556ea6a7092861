"""Notifications: rules, what is on its way, the inbox, and whom an incident affects."""

from alembic import op

from sync_pipelines.catalog.isolation import guard, release

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

GUARDED = (
    "sync_notifications",
    "notification_preferences",
    "outbox",
    "notifications",
    "incident_syncs",
)

TABLES = (
    """
    CREATE TABLE sync.sync_notifications (
        id UUID DEFAULT gen_random_uuid() NOT NULL,
        tenant_id UUID NOT NULL,
        name VARCHAR NOT NULL,
        scope VARCHAR NOT NULL,
        sync_id UUID,
        schedule_id UUID,
        channel VARCHAR NOT NULL,
        events JSONB NOT NULL,
        recipients JSONB DEFAULT '[]'::jsonb NOT NULL,
        config JSONB DEFAULT '{}'::jsonb NOT NULL,
        secrets VARCHAR,
        secrets_key_id VARCHAR,
        quiet_hours JSONB,
        unsubscribed JSONB DEFAULT '[]'::jsonb NOT NULL,
        is_active BOOLEAN DEFAULT true NOT NULL,
        pause_reason VARCHAR,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT sync_notifications_pkey PRIMARY KEY (id),
        CONSTRAINT sync_notifications_tenant_id_name_key UNIQUE (tenant_id, name),
        CONSTRAINT sync_notifications_tenant_id_fkey
            FOREIGN KEY (tenant_id) REFERENCES sync.tenants (id) ON DELETE CASCADE,
        CONSTRAINT sync_notifications_tenant_id_sync_id_fkey
            FOREIGN KEY (tenant_id, sync_id) REFERENCES sync.syncs (tenant_id, id)
            ON DELETE CASCADE,
        CONSTRAINT sync_notifications_tenant_id_schedule_id_fkey
            FOREIGN KEY (tenant_id, schedule_id) REFERENCES sync.sync_schedules (tenant_id, id)
            ON DELETE CASCADE,
        CONSTRAINT sync_notifications_channel_check
            CHECK (channel IN ('email', 'in_app', 'webhook', 'apprise')),
        CONSTRAINT sync_notifications_scope_check CHECK (scope IN ('tenant', 'sync', 'schedule'))
    )
    """,
    """
    CREATE TABLE sync.notification_preferences (
        user_id UUID NOT NULL,
        tenant_id UUID NOT NULL,
        timezone VARCHAR,
        quiet_hours JSONB,
        muted JSONB DEFAULT '[]'::jsonb NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT notification_preferences_pkey PRIMARY KEY (user_id, tenant_id),
        CONSTRAINT notification_preferences_tenant_id_fkey
            FOREIGN KEY (tenant_id) REFERENCES sync.tenants (id) ON DELETE CASCADE,
        CONSTRAINT notification_preferences_user_id_fkey
            FOREIGN KEY (user_id) REFERENCES sync.users (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX notification_preferences_tenant_id_idx ON sync.notification_preferences (tenant_id)
    """,
    """
    CREATE TABLE sync.outbox (
        id UUID DEFAULT gen_random_uuid() NOT NULL,
        tenant_id UUID NOT NULL,
        rule_id UUID NOT NULL,
        channel VARCHAR NOT NULL,
        recipient VARCHAR NOT NULL,
        event_id VARCHAR NOT NULL,
        event VARCHAR NOT NULL,
        payload JSONB NOT NULL,
        state VARCHAR DEFAULT 'pending' NOT NULL,
        attempts BIGINT DEFAULT 0 NOT NULL,
        next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
        taken_until TIMESTAMP WITH TIME ZONE,
        last_error VARCHAR,
        receipts JSONB DEFAULT '[]'::jsonb NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        sent_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT outbox_pkey PRIMARY KEY (id),
        CONSTRAINT outbox_rule_id_event_id_recipient_key UNIQUE (rule_id, event_id, recipient),
        CONSTRAINT outbox_tenant_id_fkey
            FOREIGN KEY (tenant_id) REFERENCES sync.tenants (id) ON DELETE CASCADE,
        CONSTRAINT outbox_channel_check
            CHECK (channel IN ('email', 'in_app', 'webhook', 'apprise')),
        CONSTRAINT outbox_state_check CHECK (state IN ('pending', 'sent', 'dead', 'dropped'))
    )
    """,
    """
    CREATE INDEX outbox_taken_idx ON sync.outbox (rule_id) WHERE state = 'pending'
    """,
    """
    CREATE INDEX outbox_pending_idx ON sync.outbox (next_attempt_at) WHERE state = 'pending'
    """,
    """
    CREATE INDEX outbox_tenant_id_created_at_idx ON sync.outbox (tenant_id, created_at)
    """,
    """
    CREATE TABLE sync.notifications (
        id UUID DEFAULT gen_random_uuid() NOT NULL,
        tenant_id UUID NOT NULL,
        user_id UUID NOT NULL,
        rule_id UUID NOT NULL,
        event_id VARCHAR NOT NULL,
        event VARCHAR NOT NULL,
        severity VARCHAR NOT NULL,
        incident_id UUID,
        payload JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        read_at TIMESTAMP WITH TIME ZONE,
        acknowledged_at TIMESTAMP WITH TIME ZONE,
        snoozed_until TIMESTAMP WITH TIME ZONE,
        resolved_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT notifications_pkey PRIMARY KEY (id),
        CONSTRAINT notifications_rule_id_event_id_user_id_key UNIQUE (rule_id, event_id, user_id),
        CONSTRAINT notifications_tenant_id_fkey
            FOREIGN KEY (tenant_id) REFERENCES sync.tenants (id) ON DELETE CASCADE,
        CONSTRAINT notifications_user_id_fkey
            FOREIGN KEY (user_id) REFERENCES sync.users (id) ON DELETE CASCADE,
        CONSTRAINT notifications_severity_check CHECK (severity IN ('info', 'warning', 'critical'))
    )
    """,
    """
    CREATE INDEX notifications_incident_idx
        ON sync.notifications (incident_id) WHERE resolved_at IS NULL
    """,
    """
    CREATE INDEX notifications_tenant_id_user_id_created_at_idx
        ON sync.notifications (tenant_id, user_id, created_at)
    """,
    """
    CREATE INDEX notifications_user_id_idx ON sync.notifications (user_id)
    """,
    """
    CREATE TABLE sync.incident_syncs (
        incident_id UUID NOT NULL,
        sync_id UUID NOT NULL,
        tenant_id UUID NOT NULL,
        failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT incident_syncs_pkey PRIMARY KEY (incident_id, sync_id),
        CONSTRAINT incident_syncs_incident_id_fkey
            FOREIGN KEY (incident_id) REFERENCES sync.incidents (id) ON DELETE CASCADE,
        CONSTRAINT incident_syncs_tenant_id_sync_id_fkey
            FOREIGN KEY (tenant_id, sync_id) REFERENCES sync.syncs (tenant_id, id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX incident_syncs_sync_id_idx ON sync.incident_syncs (sync_id)
    """,
    """
    CREATE INDEX incident_syncs_tenant_id_idx ON sync.incident_syncs (tenant_id)
    """,
)


def upgrade() -> None:
    """Apply."""
    op.execute(
        "ALTER TABLE sync.incidents ADD COLUMN severity varchar DEFAULT 'warning' NOT NULL, "
        "ADD COLUMN acknowledged_at timestamp with time zone"
    )
    for statement in TABLES:
        op.execute(statement)
    for table in GUARDED:
        guard(op.get_bind(), table)


def downgrade() -> None:
    """Take back."""
    for table in reversed(GUARDED):
        release(op.get_bind(), table)
        op.drop_table(table, schema="sync")
    op.execute("ALTER TABLE sync.incidents DROP COLUMN severity, DROP COLUMN acknowledged_at")
