"""Who may come in, and the second wall between tenants: row-level security."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sync_pipelines.catalog.isolation import GATEWAY_ROLE, guard, make_role, release

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

GUARDED = (
    "connections",
    "syncs",
    "sync_schedules",
    "sync_executions",
    "sync_summaries",
    "sync_state",
    "webhook_events",
    "sync_decisions",
    "sync_breakers",
    "dead_letters",
    "sync_schedule_conflicts",
    "incidents",
    "api_tokens",
    "memberships",
    "idempotency_keys",
)
"""Tables whose rows a tenant may change, each its own."""

READ = ("SELECT",)
APPENDED = ("SELECT", "INSERT")

ROLES = "role IN ('viewer', 'operator', 'admin')"

# Plain SQL cannot do it: the lock must be held before the last row is looked for.
AUDIT_HEAD = """
CREATE FUNCTION sync.audit_head() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    last text;
BEGIN
    PERFORM pg_advisory_xact_lock(7283551907);
    SELECT hash INTO last FROM sync.audit_log ORDER BY id DESC LIMIT 1;
    RETURN last;
END $$
"""


def _time(name: str, *, nullable: bool = False, now: bool = False) -> "sa.Column[object]":
    default = sa.text("now()") if now else None
    return sa.Column(
        name, postgresql.TIMESTAMP(timezone=True), nullable=nullable, server_default=default
    )


def _id() -> "sa.Column[object]":
    return sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)


def _owned_by(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"sync.{owner}.id"],
        name=op.f(f"{table}_{column}_fkey"),
        ondelete="CASCADE",
    )


def upgrade() -> None:
    """Apply."""
    _make_users()
    _make_tokens()
    _make_signing_in()
    _make_idempotency_keys()
    db = op.get_bind()
    make_role(db)
    for table in GUARDED:
        guard(db, table)
    guard(db, "tenants", column="id", rights=READ)
    guard(db, "audit_log", rights=APPENDED)
    op.execute(AUDIT_HEAD)
    op.execute("REVOKE ALL ON FUNCTION sync.audit_head() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION sync.audit_head() TO {GATEWAY_ROLE}")


def _make_users() -> None:
    op.create_table(
        "users",
        _id(),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column(
            "is_instance_admin", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        _time("created_at", now=True),
        _time("updated_at", now=True),
        sa.CheckConstraint("email = lower(email)", name=op.f("users_email_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
        schema="sync",
    )
    op.create_table(
        "memberships",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        _time("created_at", now=True),
        sa.CheckConstraint(ROLES, name=op.f("memberships_role_check")),
        _owned_by("memberships", "tenant_id", "tenants"),
        _owned_by("memberships", "user_id", "users"),
        sa.PrimaryKeyConstraint("user_id", "tenant_id", name=op.f("memberships_pkey")),
        schema="sync",
    )
    _index("memberships", "tenant_id")


def _make_tokens() -> None:
    op.create_table(
        "api_tokens",
        _id(),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column(
            "scopes", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        _time("created_at", now=True),
        _time("expires_at", nullable=True),
        _time("last_used_at", nullable=True),
        _time("revoked_at", nullable=True),
        sa.CheckConstraint(ROLES, name=op.f("api_tokens_role_check")),
        _owned_by("api_tokens", "tenant_id", "tenants"),
        sa.PrimaryKeyConstraint("id", name=op.f("api_tokens_pkey")),
        sa.UniqueConstraint("prefix", name=op.f("api_tokens_prefix_key")),
        schema="sync",
    )
    _index("api_tokens", "tenant_id")


def _make_signing_in() -> None:
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("csrf", sa.String(), nullable=False),
        _time("created_at", now=True),
        _time("expires_at"),
        _owned_by("sessions", "user_id", "users"),
        sa.PrimaryKeyConstraint("hash", name=op.f("sessions_pkey")),
        schema="sync",
    )
    _index("sessions", "user_id")
    _index("sessions", "expires_at")
    op.create_table(
        "sign_in_failures",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        _time("locked_until", nullable=True),
        _time("last_failed_at"),
        sa.PrimaryKeyConstraint("subject", name=op.f("sign_in_failures_pkey")),
        schema="sync",
    )
    _index("sign_in_failures", "last_failed_at")
    op.create_table(
        "first_admin_links",
        sa.Column("hash", sa.String(), nullable=False),
        _time("expires_at"),
        _time("used_at", nullable=True),
        sa.PrimaryKeyConstraint("hash", name=op.f("first_admin_links_pkey")),
        schema="sync",
    )


def _make_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.String(), nullable=True),
        _time("created_at", now=True),
        _owned_by("idempotency_keys", "tenant_id", "tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("idempotency_keys_pkey")),
        schema="sync",
    )
    _index("idempotency_keys", "created_at")


def _index(table: str, column: str) -> None:
    op.create_index(op.f(f"{table}_{column}_idx"), table, [column], schema="sync")


def downgrade() -> None:
    """Take back; the role stays, for it belongs to other databases of the server too."""
    op.execute("DROP FUNCTION sync.audit_head()")
    db = op.get_bind()
    for table in (*GUARDED, "tenants", "audit_log"):
        release(db, table)
    op.execute("DROP FUNCTION sync.current_tenant()")
    op.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA sync FROM {GATEWAY_ROLE}")
    op.execute(f"REVOKE ALL ON SCHEMA sync FROM {GATEWAY_ROLE}")
    for table in (
        "idempotency_keys",
        "first_admin_links",
        "sign_in_failures",
        "sessions",
        "api_tokens",
        "memberships",
        "users",
    ):
        op.drop_table(table, schema="sync")
