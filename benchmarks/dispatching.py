"""The dispatcher's turn: thousands of schedules, of which many are due at once.

Everything is put into the catalog by plain SQL, as it would stand after months of use;
what is measured is `claim_due` and nothing else.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import func, select, text

from benchmarks.task import Task
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.engine.dispatch import claim_due

TENANTS = 100
SCHEDULES = 10_000
DUE = 1_000
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BEFORE = START - timedelta(microseconds=1)

_REWIND = (
    "DELETE FROM sync.sync_decisions",
    "DELETE FROM sync.sync_executions",
    "UPDATE sync.sync_schedules SET decided_until = :before, next_run_at = :now, "
    "last_run_at = NULL WHERE last_run_at = :now",
)

WIPE = "TRUNCATE sync.tenants, sync.sync_decisions CASCADE"
"""Leaves no tenant, and nothing of any, from whatever was measured before."""

_TENANTS = "INSERT INTO sync.tenants (name) SELECT 'tenant-' || n FROM generate_series(1, :n) n"

_CONNECTIONS = """
INSERT INTO sync.connections (tenant_id, name, connector)
SELECT id, 'warehouse', 'database' FROM sync.tenants
"""

_SYNCS = """
INSERT INTO sync.syncs (tenant_id, name, source_id, destination_id, connector, dataset, streams)
SELECT t.id, 'sync-' || n, c.id, c.id, 'database', 'd', '[{"name": "orders"}]'
FROM sync.tenants t
JOIN sync.connections c ON c.tenant_id = t.id
CROSS JOIN generate_series(1, :each) n
"""

_SCHEDULES = """
INSERT INTO sync.sync_schedules (tenant_id, sync_id, name, schedule_type, timezone, config,
       created_at, decided_until, next_run_at)
SELECT s.tenant_id, s.id, 'main', kinds.kind, kinds.zone,
       jsonb_build_object('cadence', kinds.cadence), :made,
       CASE WHEN s.due THEN :before ELSE :now END, CASE WHEN s.due THEN :now ELSE :later END
FROM (
    SELECT *, n <= :due AS due FROM (SELECT *, row_number() OVER (ORDER BY id) n FROM sync.syncs)
) s
JOIN (VALUES
    (0, 'every', 'UTC', '{"type": "every", "minutes": 60}'::jsonb),
    (1, 'hourly', 'Europe/Berlin', '{"type": "hourly", "minute": 0}'),
    (2, 'daily', 'UTC', '{"type": "daily", "at": ["12:00"]}'),
    (3, 'custom', 'Asia/Tokyo', '{"type": "cron", "cron": "0 21 * * *"}'),
    (4, 'weekly', 'UTC', '{"type": "weekly", "days": ["mon"], "at": ["12:00"]}')
) kinds (number, kind, zone, cadence) ON kinds.number = s.n % 5
"""


@dataclass(frozen=True, slots=True)
class Turns:
    """A dispatcher that takes one turn after the other, from the same stand."""

    catalog: Catalog

    def take(self) -> int:
        """One turn; how many executions it claimed."""
        claim_due(self.catalog, "database", START, tick=str(uuid4()))
        with self.catalog.begin() as db:
            return db.execute(select(func.count()).select_from(ExecutionRow)).scalar_one()

    def rewind(self) -> None:
        """As it stood before."""
        with self.catalog.begin() as db:
            for statement in _REWIND:
                db.execute(text(statement), {"before": BEFORE, "now": START})


@contextmanager
def dispatching(task: Task) -> Iterator[Turns]:
    """A dispatcher with ``task.due`` schedules due of ten times as many."""
    with closing(open_catalog(task.catalog, SecretBox((new_key(),)))) as catalog:
        furnish(catalog, schedules=max(task.due * 10, TENANTS), due=task.due)
        yield Turns(catalog)


def furnish(catalog: Catalog, *, schedules: int = SCHEDULES, due: int = DUE) -> None:
    """Tenants with their syncs and schedules, ``due`` of which are so at `START`."""
    with catalog.begin() as db:
        db.execute(text(WIPE))
        db.execute(text(_TENANTS), {"n": TENANTS})
        db.execute(text(_CONNECTIONS))
        db.execute(text(_SYNCS), {"each": schedules // TENANTS})
        values = {
            "made": START - timedelta(days=90),
            "before": BEFORE,
            "now": START,
            "later": START + timedelta(hours=1),
            "due": due,
        }
        db.execute(text(_SCHEDULES), values)
    with catalog.engine.connect() as db:
        db.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
