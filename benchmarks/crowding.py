"""How long the executions of quiet tenants wait while one other tenant floods.

The catalog and the admission are the real ones; time is played, second by second, with
Dagster's queue as it is configured: so many slots, so many for one tenant, first by
priority and then by age.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from statistics import quantiles
from uuid import UUID

from sqlalchemy import text

from benchmarks.dispatching import START, TENANTS, furnish
from benchmarks.task import Task
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.defs.sensors import SECONDS_BETWEEN_LOOKS
from sync_pipelines.engine.dispatch import Launch, ready

SLOTS = 15
SLOTS_OF_ONE = 5
RUN_SECONDS = 20
PLAYED_SECONDS = 600
SEED = 7


@dataclass
class _Queue:
    """Dagster's: what waits, and until when each slot is taken."""

    waiting: list[Launch] = field(default_factory=list)
    running: dict[UUID, tuple[str, datetime]] = field(default_factory=dict)

    def finished(self, now: datetime) -> list[UUID]:
        done = [one for one, (_, until) in self.running.items() if until <= now]
        for one in done:
            del self.running[one]
        return done

    def started(self, now: datetime) -> list[Launch]:
        taken = Counter(tenant for tenant, _ in self.running.values())
        begun = []
        for launch in sorted(self.waiting, key=lambda one: (-one.priority, one.queued_at)):
            if len(self.running) < SLOTS and taken[launch.tenant] < SLOTS_OF_ONE:
                taken[launch.tenant] += 1
                until = now + timedelta(seconds=RUN_SECONDS)
                self.running[launch.execution_id] = (launch.tenant, until)
                begun.append(launch)
        self.waiting = [one for one in self.waiting if one.execution_id not in self.running]
        return begun


def quiet_wait(task: Task) -> float:
    """The p99 of the seconds that the quiet tenants' executions wait for their start."""
    with closing(open_catalog(task.catalog, SecretBox((new_key(),)))) as catalog:
        furnish(catalog, schedules=TENANTS, due=0)
        if task.due:
            _flood(catalog, task.due)
        waits = _played(catalog)
    return quantiles(waits, n=100)[-1]


def _played(catalog: Catalog) -> list[float]:
    rng, queue, waits = Random(SEED), _Queue(), []
    tenants = iter(range(2, TENANTS + 1))
    arrivals = sorted(rng.uniform(0, PLAYED_SECONDS - 120) for _ in range(TENANTS - 1))
    asked: dict[UUID, datetime] = {}
    for second in range(PLAYED_SECONDS):
        now = START + timedelta(seconds=second)
        while arrivals and arrivals[0] <= second:
            arrivals.pop(0)
            asked[_ask(catalog, next(tenants), now)] = now
        _store(catalog, "completed", queue.finished(now))
        if second % SECONDS_BETWEEN_LOOKS == 0:
            queue.waiting += ready(catalog, now)
        begun = queue.started(now)
        _store(catalog, "running", [one.execution_id for one in begun])
        for one in begun:
            if one.execution_id in asked:
                waits.append((now - asked.pop(one.execution_id)).total_seconds())
    return waits


def _flood(catalog: Catalog, number: int) -> None:
    """So many executions of the first tenant, each of a sync of its own."""
    with catalog.begin() as db:
        db.execute(
            text(
                """
                WITH made AS (
                    INSERT INTO sync.syncs (tenant_id, name, source_id, destination_id,
                           connector, dataset, streams)
                    SELECT s.tenant_id, 'flood-' || n, s.source_id, s.destination_id,
                           'database', 'd', s.streams
                    FROM sync.syncs s JOIN sync.tenants t ON t.id = s.tenant_id
                    CROSS JOIN generate_series(1, :number) n
                    WHERE t.name = 'tenant-1' AND s.name = 'sync-1'
                    RETURNING tenant_id, id
                )
                INSERT INTO sync.sync_executions (tenant_id, sync_id, trigger, status, priority,
                       next_attempt_at, created_at)
                SELECT tenant_id, id, 'manual', 'pending', 20, :now, :now FROM made
                """
            ),
            {"number": number, "now": START},
        )
        db.execute(text("ANALYZE sync.sync_executions"))


def _ask(catalog: Catalog, tenant: int, now: datetime) -> UUID:
    """One execution of a quiet tenant."""
    query = text(
        """
        INSERT INTO sync.sync_executions (tenant_id, sync_id, trigger, status, priority,
               next_attempt_at, created_at)
        SELECT s.tenant_id, s.id, 'scheduled', 'pending', 10, :now, :now
        FROM sync.syncs s JOIN sync.tenants t ON t.id = s.tenant_id
        WHERE t.name = :tenant AND s.name = 'sync-1'
        RETURNING id
        """
    )
    with catalog.begin() as db:
        found: UUID = db.execute(query, {"tenant": f"tenant-{tenant}", "now": now}).scalar_one()
    return found


def _store(catalog: Catalog, status: str, ids: list[UUID]) -> None:
    if ids:
        with catalog.begin() as db:
            db.execute(
                text("UPDATE sync.sync_executions SET status = :status WHERE id = ANY(:ids)"),
                {"status": status, "ids": ids},
            )
