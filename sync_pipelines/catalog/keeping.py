"""Forgets executions, decisions and events that the retention policy lets go.

Laws: an execution is either there or counted in its sync's summary of the day, never
both, never neither: one transaction moves a batch. What has not ended, what nobody has
followed up, and what an open dead letter, event or incident names stays. Rows that
somebody else holds are left for the next time; locks are taken in the order of all
others, syncs first. Everything here is the installation's, so for all tenants.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import Row, TextClause, select, text

from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import SummaryRow
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retention import Bound, Ending, RetentionPolicy

Stop: TypeAlias = Callable[[], bool]
"""Asked before each batch: whether to leave the rest for the next time."""

BATCH = 1000
SYNCS_A_PAGE = 200

_FIRST = UUID(int=0)

_PAGE = text("""
    SELECT s.id,
        (SELECT e.created_at FROM sync.sync_executions e
         WHERE e.sync_id = s.id AND e.status = 'completed'
         ORDER BY e.created_at DESC OFFSET :successes - 1 LIMIT 1) AS success,
        (SELECT e.created_at FROM sync.sync_executions e
         WHERE e.sync_id = s.id AND e.status IN ('failed', 'partial')
         ORDER BY e.created_at DESC OFFSET :failures - 1 LIMIT 1) AS failure
    FROM (SELECT id FROM sync.syncs WHERE id > :after ORDER BY id LIMIT :size) s
    ORDER BY s.id
""")

_FORGETTABLE = """
    WITH bounds AS (
        SELECT * FROM unnest(CAST(:syncs AS uuid[]), CAST(:success AS timestamptz[]),
                             CAST(:failure AS timestamptz[]), CAST(:other AS timestamptz[]))
            AS b (sync_id, success, failure, other)
    ), incidents AS MATERIALIZED (
        SELECT (regexp_matches(i.subject || ' ' || i.details, '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}'
                               '-[0-9a-f]{12}', 'g'))[1] AS named
        FROM sync.incidents i WHERE i.resolved_at IS NULL
    )
    SELECT e.id, e.sync_id FROM bounds b CROSS JOIN LATERAL (
        SELECT id, sync_id, status, created_at, completed_at, followed_up_at
        FROM sync.sync_executions
        WHERE sync_id = b.sync_id AND created_at < :ended
        OFFSET 0  -- each sync by its own index, not all that is old of all syncs
    ) e
    WHERE e.completed_at < :ended AND e.followed_up_at IS NOT NULL
      AND e.created_at < CASE WHEN e.status = 'completed' THEN b.success
                              WHEN e.status IN ('failed', 'partial') THEN b.failure
                              WHEN e.status = 'cancelled' THEN b.other END
      AND NOT EXISTS (SELECT FROM sync.dead_letters l
                      WHERE l.execution_id = e.id AND l.status = 'open')
      AND NOT EXISTS (SELECT FROM sync.webhook_events w
                      WHERE w.execution_id = e.id AND w.status IN ('pending', 'dispatched'))
      AND NOT EXISTS (SELECT FROM incidents i WHERE i.named = CAST(e.id AS text))
"""
_CANDIDATES = text(f"{_FORGETTABLE} LIMIT :size")
_COUNT = text(f"SELECT count(*) FROM ({_FORGETTABLE}) AS forgettable")

_LOCK_SYNCS = text("""
    SELECT id FROM sync.syncs WHERE id = ANY(:syncs) ORDER BY id FOR KEY SHARE SKIP LOCKED
""")

_SUMMARISE = text("""
    WITH gone AS (
        DELETE FROM sync.sync_executions WHERE id IN (
            SELECT id FROM sync.sync_executions
            WHERE id = ANY(:ids) AND sync_id = ANY(:syncs) FOR UPDATE SKIP LOCKED)
        RETURNING *
    ), summed AS (
        INSERT INTO sync.sync_summaries AS s (sync_id, day, tenant_id, completed, partial, failed,
            cancelled, attempts, records_processed, records_created, records_updated,
            records_deleted, records_rejected, bytes_moved, duration_ms, longest_ms)
        SELECT sync_id, CAST(completed_at AT TIME ZONE 'UTC' AS date), tenant_id,
            count(*) FILTER (WHERE status = 'completed'),
            count(*) FILTER (WHERE status = 'partial'),
            count(*) FILTER (WHERE status = 'failed'),
            count(*) FILTER (WHERE status = 'cancelled'),
            sum(attempt), sum(records_processed), sum(records_created), sum(records_updated),
            sum(records_deleted), sum(records_rejected), sum(bytes_moved),
            coalesce(sum(duration_ms), 0), coalesce(max(duration_ms), 0)
        FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2
        ON CONFLICT (sync_id, day) DO UPDATE SET
            completed = s.completed + excluded.completed,
            partial = s.partial + excluded.partial,
            failed = s.failed + excluded.failed,
            cancelled = s.cancelled + excluded.cancelled,
            attempts = s.attempts + excluded.attempts,
            records_processed = s.records_processed + excluded.records_processed,
            records_created = s.records_created + excluded.records_created,
            records_updated = s.records_updated + excluded.records_updated,
            records_deleted = s.records_deleted + excluded.records_deleted,
            records_rejected = s.records_rejected + excluded.records_rejected,
            bytes_moved = s.bytes_moved + excluded.bytes_moved,
            duration_ms = s.duration_ms + excluded.duration_ms,
            longest_ms = greatest(s.longest_ms, excluded.longest_ms)
    )
    SELECT count(*) FROM gone
""")

_OLD_DECISIONS = """
    SELECT d.id FROM sync.sync_decisions d
    WHERE d.decided_at < :before AND (d.schedule_id IS NULL OR EXISTS (
        SELECT FROM sync.sync_decisions n
        WHERE n.schedule_id = d.schedule_id AND n.due_at > d.due_at))
"""
_COUNT_DECISIONS = text(f"SELECT count(*) FROM ({_OLD_DECISIONS}) AS old")
_FORGET_DECISIONS = text(f"""
    DELETE FROM sync.sync_decisions
    WHERE id IN ({_OLD_DECISIONS} LIMIT :size FOR UPDATE OF d SKIP LOCKED)
""")

_OLD_EVENTS = """
    SELECT id FROM sync.webhook_events
    WHERE status IN ('processed', 'ignored') AND processed_at < :before
"""
_COUNT_EVENTS = text(f"SELECT count(*) FROM ({_OLD_EVENTS}) AS old")
_FORGET_EVENTS = text(f"""
    DELETE FROM sync.webhook_events
    WHERE id IN ({_OLD_EVENTS} ORDER BY processed_at LIMIT :size FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How many rows went, or would go; whether there was time for all of them."""

    rows: int = 0
    finished: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a sync's forgotten executions of a day came to."""

    day: date
    endings: Mapping[Status, int]
    attempts: int
    records_processed: int
    bytes_moved: int
    duration: timedelta
    longest: timedelta


def forget_executions(
    catalog: Catalog,
    policy: RetentionPolicy,
    *,
    now: datetime,
    stop: Stop,
    dry_run: bool = False,
) -> Forgotten:
    """Move executions that the policy lets go into their summaries, a batch at a time."""
    rows, after = 0, _FIRST
    while not stop():
        with catalog.begin() as db:
            page = db.execute(
                _PAGE,
                {
                    "successes": policy.successes,
                    "failures": policy.failures,
                    "after": after,
                    "size": SYNCS_A_PAGE,
                },
            ).all()
        if not page:
            return Forgotten(rows=rows)
        after = page[-1].id
        arguments = _arguments(page, policy, now)
        if dry_run:
            with catalog.begin() as db:
                rows += db.execute(_COUNT, arguments).scalar_one()
            continue
        there_may_be_more = True
        while there_may_be_more:
            if stop():
                return Forgotten(rows=rows, finished=False)
            with catalog.begin() as db:
                went, there_may_be_more = _forget_batch(db, arguments)
            rows += went
    return Forgotten(rows=rows, finished=False)


def _arguments(
    page: Sequence[Row[tuple[UUID, datetime | None, datetime | None]]],
    policy: RetentionPolicy,
    now: datetime,
) -> dict[str, object]:
    def bounds(ending: Ending) -> list[Bound]:
        return [
            policy.bound(ending, now=now, oldest_kept=getattr(row, ending, None)) for row in page
        ]

    found = {ending: bounds(ending) for ending in Ending}
    return {
        "syncs": [row.id for row in page],
        "ended": found[Ending.OTHER][0].ended,
        **{ending.value: [bound.created for bound in found[ending]] for ending in Ending},
    }


def _forget_batch(db: Db, arguments: dict[str, object]) -> tuple[int, bool]:
    """Forget one batch; how many went, and whether it is worth looking for more."""
    candidates = db.execute(_CANDIDATES, {**arguments, "size": BATCH}).all()
    if not candidates:
        return 0, False
    syncs = sorted({row.sync_id for row in candidates})
    locked = list(db.scalars(_LOCK_SYNCS, {"syncs": syncs}))
    ids = [row.id for row in candidates]
    went = db.execute(_SUMMARISE, {"ids": ids, "syncs": locked}).scalar_one()
    return went, went > 0 and len(candidates) == BATCH


def forget_decisions(
    catalog: Catalog,
    policy: RetentionPolicy,
    *,
    now: datetime,
    stop: Stop,
    dry_run: bool = False,
) -> Forgotten:
    """Delete old decisions, of each schedule all but the last, a batch at a time."""
    before = now - policy.decisions_for
    if dry_run:
        with catalog.begin() as db:
            return Forgotten(rows=db.execute(_COUNT_DECISIONS, {"before": before}).scalar_one())
    return forget_in_batches(catalog, _FORGET_DECISIONS, before=before, stop=stop)


def forget_events(
    catalog: Catalog,
    policy: RetentionPolicy,
    *,
    now: datetime,
    stop: Stop,
    dry_run: bool = False,
) -> Forgotten:
    """Delete events that were done with long ago, a batch at a time.

    Those that wait, are being answered, or came to nothing and have a dead letter stay. One
    that is forgotten would not be known again, were it sent again.
    """
    before = now - policy.events_for
    if dry_run:
        with catalog.begin() as db:
            return Forgotten(rows=db.execute(_COUNT_EVENTS, {"before": before}).scalar_one())
    return forget_in_batches(catalog, _FORGET_EVENTS, before=before, stop=stop)


def forget_in_batches(
    catalog: Catalog, statement: TextClause, *, before: datetime, stop: Stop
) -> Forgotten:
    """Run a statement that deletes at most ``size`` rows until there are none left, or `Stop`."""
    rows = 0
    while not stop():
        with catalog.begin() as db:
            went = db.execute(statement, {"before": before, "size": BATCH}).rowcount
        rows += went
        if went < BATCH:
            return Forgotten(rows=rows)
    return Forgotten(rows=rows, finished=False)


def summaries(db: Db, sync_id: UUID, *, tenant_id: UUID) -> list[Summary]:
    """A sync's days of which executions were forgotten, latest first."""
    query = (
        select(SummaryRow.__table__)
        .where(SummaryRow.tenant_id == tenant_id, SummaryRow.sync_id == sync_id)
        .order_by(SummaryRow.day.desc())
    )
    ended = (Status.COMPLETED, Status.PARTIAL, Status.FAILED, Status.CANCELLED)
    return [
        Summary(
            day=row["day"],
            endings={status: row[status.value] for status in ended},
            attempts=row["attempts"],
            records_processed=row["records_processed"],
            bytes_moved=row["bytes_moved"],
            duration=timedelta(milliseconds=row["duration_ms"]),
            longest=timedelta(milliseconds=row["longest_ms"]),
        )
        for row in db.execute(query).mappings()
    ]
