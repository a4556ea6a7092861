"""The line of executions that wait to be handed to Dagster, over all tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select, text

from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Status

ADMISSION_LOCK = 7_283_551_908
"""Key of the advisory lock under which one dispatcher at a time counts and queues."""

IN_FLIGHT = (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedEnd:
    """A connection that bears only so many executions at a time."""

    id: UUID
    most: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An execution that may go to Dagster, and its place in its tenant's line, from 1."""

    id: UUID
    place: int
    limited: tuple[LimitedEnd, ...]


def hold(db: Db) -> None:
    """Wait until no other dispatcher admits anything, and keep it so in this transaction."""
    db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADMISSION_LOCK})


def in_flight_for_all_tenants(db: Db) -> int:
    """How many executions are in Dagster's queue or running.

    For all tenants, because they share the machine.
    """
    query = select(func.count()).where(ExecutionRow.status.in_(IN_FLIGHT))
    return db.execute(query).scalar_one()


_FRONT = text(
    """
    WITH flying AS (
        SELECT tenant_id, sync_id FROM sync.sync_executions
        WHERE status IN ('queued', 'running')
    ),
    tenant_flying AS (
        SELECT tenant_id, count(*) AS number FROM flying GROUP BY tenant_id
    ),
    ends AS (
        SELECT c.id, c.most_at_once AS most, count(f.sync_id) AS number
        FROM sync.connections c
        LEFT JOIN sync.syncs s ON c.id IN (s.source_id, s.destination_id)
        LEFT JOIN flying f ON f.sync_id = s.id
        WHERE c.most_at_once IS NOT NULL
        GROUP BY c.id
    ),
    first_of_sync AS (
        SELECT DISTINCT ON (e.sync_id) e.id, e.tenant_id, e.sync_id, e.priority,
               e.next_attempt_at, e.due_at
        FROM sync.sync_executions e
        WHERE e.status = 'pending' AND e.next_attempt_at <= :now
          AND NOT EXISTS (SELECT FROM flying f WHERE f.sync_id = e.sync_id)
        ORDER BY e.sync_id, e.priority DESC, e.next_attempt_at, e.due_at, e.created_at, e.id
    ),
    placed AS (
        SELECT f.*, s.connector, s.source_id, s.destination_id,
               coalesce(t.number, 0) + row_number() OVER (
                   PARTITION BY f.tenant_id
                   ORDER BY f.priority DESC, f.next_attempt_at, f.due_at, f.id
               ) AS place
        FROM first_of_sync f
        JOIN sync.syncs s ON s.id = f.sync_id
        LEFT JOIN tenant_flying t ON t.tenant_id = f.tenant_id
        WHERE NOT EXISTS (
            SELECT FROM ends
            WHERE ends.id IN (s.source_id, s.destination_id) AND ends.number >= ends.most
        )
    )
    SELECT p.id, ceil(p.place::numeric / t.weight)::bigint AS place,
           source.id AS source_id, source.most AS source_most, source.number AS source_number,
           destination.id AS destination_id, destination.most AS destination_most,
           destination.number AS destination_number
    FROM placed p
    JOIN sync.tenants t ON t.id = p.tenant_id
    LEFT JOIN ends source ON source.id = p.source_id
    LEFT JOIN ends destination
        ON destination.id = p.destination_id AND p.destination_id <> p.source_id
    WHERE t.is_active AND p.place <= coalesce((t.limits ->> 'concurrent')::bigint, :per_tenant)
      AND (CAST(:connector AS text) IS NULL OR p.connector = :connector)
    ORDER BY p.place::numeric / t.weight, p.next_attempt_at, p.id
    LIMIT :limit
    """
)


def front_for_all_tenants(
    db: Db, now: datetime, *, connector: str | None, per_tenant: int, limit: int
) -> list[Candidate]:
    """Whose turn it is, in order: at most one execution of a sync, none of a busy one,
    none of a suspended tenant.

    For all tenants, because fairness among them is decided on the whole.
    """
    values = {"now": now, "connector": connector, "per_tenant": per_tenant, "limit": limit}
    found = []
    for row in db.execute(_FRONT, values):
        sides = (
            (row.source_id, row.source_most, row.source_number),
            (row.destination_id, row.destination_most, row.destination_number),
        )
        limited = tuple(
            LimitedEnd(id=end, most=most, in_flight=number)
            for end, most, number in sides
            if end is not None
        )
        found.append(Candidate(id=row.id, place=row.place, limited=limited))
    return found


_QUEUE = text(
    """
    UPDATE sync.sync_executions e
    SET status = 'queued', queued_at = :now, queued_by = :turn, place = chosen.place
    FROM unnest(CAST(:ids AS uuid[]), CAST(:places AS bigint[])) AS chosen (id, place)
    WHERE e.id = chosen.id AND e.status = 'pending'
    RETURNING e.id
    """
)


def queue(db: Db, candidates: Sequence[Candidate], *, now: datetime, turn: str) -> list[UUID]:
    """Mark executions as handed over by a dispatcher's turn; those that still waited."""
    if not candidates:
        return []
    values = {
        "ids": [one.id for one in candidates],
        "places": [one.place for one in candidates],
        "now": now,
        "turn": turn,
    }
    return list(db.scalars(_QUEUE, values))
