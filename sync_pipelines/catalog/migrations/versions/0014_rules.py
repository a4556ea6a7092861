"""Rules: tags of syncs, rules by tag, thresholds by tenant, and what a person wants."""

from alembic import op

from sync_pipelines.catalog.isolation import GATEWAY_ROLE

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ADDED = (
    ("syncs", "tags jsonb DEFAULT '[]'::jsonb NOT NULL"),
    ("tenants", "thresholds jsonb DEFAULT '{}'::jsonb NOT NULL"),
    ("sync_notifications", "tag varchar"),
    ("notification_preferences", "muted_channels jsonb DEFAULT '[]'::jsonb NOT NULL"),
    ("notification_preferences", "muted_rules jsonb DEFAULT '[]'::jsonb NOT NULL"),
    ("incidents", "snoozed_until timestamp with time zone"),
)

_SCOPES = """
    ALTER TABLE sync.sync_notifications
        DROP CONSTRAINT sync_notifications_scope_check,
        ADD CONSTRAINT sync_notifications_scope_check CHECK (scope IN ({scopes}))
"""

# What waits is found by its own indexes; these are for lists and for forgetting what is old.
_INDEXES = (
    ("outbox_settled_idx", "outbox (created_at) WHERE state <> 'pending'"),
    ("outbox_sent_idx", "outbox (sent_at) WHERE sent_at IS NOT NULL"),
    ("notifications_created_at_idx", "notifications (created_at)"),
    ("incidents_resolved_idx", "incidents (resolved_at) WHERE resolved_at IS NOT NULL"),
)


def upgrade() -> None:
    """Apply."""
    for table, column in ADDED:
        op.execute(f"ALTER TABLE sync.{table} ADD COLUMN {column}")
    op.execute(_SCOPES.format(scopes="'tenant', 'sync', 'schedule', 'tag'"))
    for name, on in _INDEXES:
        op.execute(f"CREATE INDEX {name} ON sync.{on}")
    op.execute(f"GRANT UPDATE (thresholds) ON sync.tenants TO {GATEWAY_ROLE}")


def downgrade() -> None:
    """Take back; rules by tag go, for nothing else can hold them."""
    for name, _ in _INDEXES:
        op.execute(f"DROP INDEX sync.{name}")
    op.execute("DELETE FROM sync.sync_notifications WHERE scope = 'tag'")
    op.execute(_SCOPES.format(scopes="'tenant', 'sync', 'schedule'"))
    for table, column in reversed(ADDED):
        op.execute(f"ALTER TABLE sync.{table} DROP COLUMN {column.partition(' ')[0]}")
