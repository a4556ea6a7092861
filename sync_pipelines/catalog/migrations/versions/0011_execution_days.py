"""Executions counted by day, kept right by the database itself."""

from itertools import pairwise

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sync_pipelines.catalog.isolation import guard

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BOUNDS = tuple(round(16 * 2 ** (step / 2)) for step in range(47))
"""Where the second place and those after it begin, in milliseconds: 16 ms to 37 hours."""

PLACES = len(BOUNDS) + 1

STATUSES = ("completed", "partial", "failed", "cancelled")
ADDED = (
    "records_processed",
    "records_created",
    "records_updated",
    "records_deleted",
    "records_rejected",
    "bytes_moved",
)
SUMS = (*STATUSES, "attempts", *ADDED, "duration_ms")
FIELDS = ("sync_id", "day", "tenant_id", *SUMS, "longest_ms", "durations")

_ENDED = "status IN ('completed', 'partial', 'failed', 'cancelled')"
# Compared one by one, not by `duration_place`: that would be asked again for each of them.
_WITHIN = (
    f"duration_ms < {BOUNDS[0]}",
    *(f"duration_ms >= {low} AND duration_ms < {high}" for low, high in pairwise(BOUNDS)),
    f"duration_ms >= {BOUNDS[-1]}",
)
_DAY = "CAST(created_at AT TIME ZONE 'UTC' AS date)"

_SELECTED = ",\n        ".join(
    (
        f"sync_id, {_DAY}, tenant_id",
        *(f"count(*) FILTER (WHERE status = '{status}')" for status in STATUSES),
        "sum(attempt)",
        *(f"sum({name})" for name in ADDED),
        "coalesce(sum(duration_ms), 0)",
        "max(duration_ms)",
        f"ARRAY[{', '.join(f'count(*) FILTER (WHERE {within})' for within in _WITHIN)}]",
    )
)

_PLACE = f"""
CREATE FUNCTION sync.duration_place(ms bigint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT width_bucket(ms, '{{{",".join(map(str, BOUNDS))}}}'::bigint[]) + 1 $$
"""

_FILL = f"""
INSERT INTO sync.execution_days ({", ".join(FIELDS)})
SELECT {_SELECTED}
FROM sync.sync_executions WHERE {_ENDED} GROUP BY 1, 2, 3
"""

# Each day's row is made or emptied, and so held, before anything is counted: the statement
# after that sees what others who held it have committed. What stays empty goes.
_RECOUNT = f"""
CREATE FUNCTION sync.recount_execution_days(wanted_syncs uuid[], wanted_days date[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    INSERT INTO sync.execution_days (sync_id, day, tenant_id)
    SELECT s.id, w.day, s.tenant_id
    FROM unnest(wanted_syncs, wanted_days) AS w (sync_id, day)
    JOIN sync.syncs s ON s.id = w.sync_id
    ORDER BY s.id, w.day
    ON CONFLICT (sync_id, day) DO UPDATE SET durations = excluded.durations;

    INSERT INTO sync.execution_days ({", ".join(FIELDS)})
    SELECT {_SELECTED}
    FROM (
        SELECT e.* FROM unnest(wanted_syncs, wanted_days) AS w (sync_id, day)
        CROSS JOIN LATERAL (
            SELECT * FROM sync.sync_executions
            WHERE sync_id = w.sync_id
                AND created_at >= CAST(w.day AS timestamp) AT TIME ZONE 'UTC'
                AND created_at < CAST(w.day + 1 AS timestamp) AT TIME ZONE 'UTC'
            OFFSET 0  -- each day by its sync's index, not all of a sync for each of its days
        ) e
    ) counted
    WHERE {_ENDED} GROUP BY 1, 2, 3
    ON CONFLICT (sync_id, day) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in FIELDS[3:])};

    DELETE FROM sync.execution_days d
    USING unnest(wanted_syncs, wanted_days) AS w (sync_id, day)
    WHERE d.sync_id = w.sync_id AND d.day = w.day AND d.durations = '{{}}';
END $$
"""

# What ends is added, as that happens all the time; whatever else changes is counted anew.
# As the owner of the tables, because the gateway only reads what is counted here.
_ADD = f"""
CREATE FUNCTION sync.add_to_execution_days() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    place CONSTANT integer := sync.duration_place(NEW.duration_ms);
    counts integer[] := array_fill(0, ARRAY[{PLACES}]);
BEGIN
    IF place IS NOT NULL THEN
        counts[place] := 1;
    END IF;
    INSERT INTO sync.execution_days AS d ({", ".join(FIELDS)})
    VALUES (NEW.sync_id, CAST(NEW.created_at AT TIME ZONE 'UTC' AS date), NEW.tenant_id,
        {", ".join(f"CAST(NEW.status = '{status}' AS integer)" for status in STATUSES)},
        NEW.attempt, {", ".join(f"NEW.{name}" for name in ADDED)},
        coalesce(NEW.duration_ms, 0), NEW.duration_ms, counts)
    ON CONFLICT (sync_id, day) DO UPDATE SET
        {", ".join(f"{name} = d.{name} + excluded.{name}" for name in SUMS)},
        longest_ms = greatest(d.longest_ms, excluded.longest_ms),
        durations[coalesce(place, 1)] =
            d.durations[coalesce(place, 1)] + CAST(place IS NOT NULL AS integer);
    RETURN NULL;
END $$
"""

_RECOUNT_ONE = """
CREATE FUNCTION sync.recount_changed_execution() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    PERFORM sync.recount_execution_days(array_agg(sync_id), array_agg(day))
    FROM (
        SELECT OLD.sync_id, CAST(OLD.created_at AT TIME ZONE 'UTC' AS date) AS day
        UNION SELECT NEW.sync_id, CAST(NEW.created_at AT TIME ZONE 'UTC' AS date)
    ) touched;
    RETURN NULL;
END $$
"""

_RECOUNT_MANY = f"""
CREATE FUNCTION sync.recount_changed_executions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    PERFORM sync.recount_execution_days(array_agg(sync_id), array_agg(day))
    FROM (SELECT DISTINCT sync_id, {_DAY} AS day FROM changed WHERE {_ENDED}) touched
    HAVING count(*) > 0;
    RETURN NULL;
END $$
"""

_COUNTED = ", ".join(
    ("tenant_id", "sync_id", "created_at", "status", "attempt", *ADDED, "duration_ms")
)


def _row(which: str) -> str:
    return "({})".format(", ".join(f"{which}.{name}" for name in _COUNTED.split(", ")))


_TRIGGERS = {
    "count_ended_execution": f"""
        AFTER UPDATE ON sync.sync_executions FOR EACH ROW
        WHEN (NOT OLD.{_ENDED} AND NEW.{_ENDED})
        EXECUTE FUNCTION sync.add_to_execution_days()""",
    "count_changed_execution": f"""
        AFTER UPDATE ON sync.sync_executions FOR EACH ROW
        WHEN (OLD.{_ENDED} AND {_row("OLD")} IS DISTINCT FROM {_row("NEW")})
        EXECUTE FUNCTION sync.recount_changed_execution()""",
    "count_made_executions": """
        AFTER INSERT ON sync.sync_executions REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION sync.recount_changed_executions()""",
    "count_deleted_executions": """
        AFTER DELETE ON sync.sync_executions REFERENCING OLD TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION sync.recount_changed_executions()""",
}

_FUNCTIONS = {
    "duration_place(bigint)": _PLACE,
    "recount_execution_days(uuid[], date[])": _RECOUNT,
    "add_to_execution_days()": _ADD,
    "recount_changed_execution()": _RECOUNT_ONE,
    "recount_changed_executions()": _RECOUNT_MANY,
}


def upgrade() -> None:
    """Apply."""
    zero = sa.text("0")
    op.create_table(
        "execution_days",
        sa.Column("sync_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default=zero, nullable=False) for name in SUMS),
        sa.Column("longest_ms", sa.BigInteger(), nullable=True),
        sa.Column(
            "durations",
            postgresql.ARRAY(sa.Integer()),
            server_default=sa.text("'{}'::integer[]"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "sync_id"],
            ["sync.syncs.tenant_id", "sync.syncs.id"],
            name=op.f("execution_days_tenant_id_sync_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sync_id", "day", name=op.f("execution_days_pkey")),
        schema="sync",
    )
    op.create_index(
        op.f("execution_days_tenant_id_day_idx"),
        "execution_days",
        ["tenant_id", "day"],
        schema="sync",
        # A dashboard is told of thousands of syncs out of the index alone.
        postgresql_include=[*STATUSES, "records_processed"],
    )
    guard(op.get_bind(), "execution_days", rights=("SELECT",))
    # Nothing may end between the count and the triggers.
    op.execute("LOCK TABLE sync.sync_executions IN SHARE ROW EXCLUSIVE MODE")
    for definition in _FUNCTIONS.values():
        op.execute(definition)
    op.execute(_FILL)
    for name, definition in _TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {definition}")


def downgrade() -> None:
    """Take back."""
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON sync.sync_executions")
    for name in reversed(_FUNCTIONS):
        op.execute(f"DROP FUNCTION sync.{name}")
    op.drop_table("execution_days", schema="sync")
