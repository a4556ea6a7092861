"""The end of the audit's chain is kept outside of it: rows that are cut off are missed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_OF_ROWS_THAT_ARE_THERE = """
INSERT INTO sync.audit_heads (id, length, last_id, hash)
SELECT 1, (SELECT count(*) FROM sync.audit_log), id, hash
FROM sync.audit_log ORDER BY id DESC LIMIT 1
"""

# By a trigger, for the gateway's role may add rows and must not reach their end.
_MOVE = """
CREATE FUNCTION sync.move_audit_head() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    INSERT INTO sync.audit_heads AS head (id, length, last_id, hash)
    VALUES (1, 1, NEW.id, NEW.hash)
    ON CONFLICT (id) DO UPDATE
        SET length = head.length + 1, last_id = NEW.id, hash = NEW.hash;
    RETURN NULL;
END $$
"""

_TRIGGER = """
CREATE TRIGGER move_audit_head AFTER INSERT ON sync.audit_log
FOR EACH ROW EXECUTE FUNCTION sync.move_audit_head()
"""

_LAST_ROW = "SELECT hash INTO last FROM sync.audit_log ORDER BY id DESC LIMIT 1;"

# A row that follows those that were cut off names the hash of the last of them, and so
# tells of the cut for ever.
_KEPT_HEAD = f"SELECT hash INTO last FROM sync.audit_heads; IF NOT FOUND THEN {_LAST_ROW} END IF;"


def _head_by(statements: str) -> str:
    return f"""
    CREATE OR REPLACE FUNCTION sync.audit_head() RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
    DECLARE
        last text;
    BEGIN
        PERFORM pg_advisory_xact_lock(7283551907);
        {statements}
        RETURN last;
    END $$
    """


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_heads",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("audit_heads_id_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_heads_pkey")),
        schema="sync",
    )
    op.execute(_OF_ROWS_THAT_ARE_THERE)
    op.execute(_MOVE)
    op.execute("REVOKE ALL ON FUNCTION sync.move_audit_head() FROM PUBLIC")
    op.execute(_TRIGGER)
    op.execute(_head_by(_KEPT_HEAD))


def downgrade() -> None:
    """Take back."""
    op.execute(_head_by(_LAST_ROW))
    op.execute("DROP TRIGGER move_audit_head ON sync.audit_log")
    op.execute("DROP FUNCTION sync.move_audit_head()")
    op.drop_table("audit_heads", schema="sync")
