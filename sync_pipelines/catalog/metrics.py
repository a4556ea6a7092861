"""Figures of the whole installation, for whoever runs it: a few grouped queries.

Laws:

* What stands is counted anew at each look, by indexes over what has not ended.
* What has ended is counted once, in the look after its end, however much history there is.
* The number of rows that come back does not grow with tenants, syncs or executions.

For all tenants throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection as Db
from sqlalchemy import text

from sync_pipelines.catalog import heartbeats

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Upper bounds in seconds, of durations and of lateness."""

MOST_TENANTS = 20
"""So many tenants are told by name, those with most in work; the rest are one."""

REST = "(others)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What has not ended. ``oldest`` is since when the first that is due has waited.

    ``pending`` counts what is due and not yet handed to Dagster, ``later`` what has its
    time still to come.
    """

    pending: int = 0
    later: int = 0
    queued: int = 0
    running: int = 0
    oldest: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a tenant has in work: handed over or running, and waiting for that."""

    tenant: str
    in_flight: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the installation stands. ``dispatch_lag`` is of the schedule that is most overdue.

    ``beats`` are the ages of signs of life by part; ``webhooks`` are received and refused
    by scheme; ``incidents`` are the open ones by kind.
    """

    waiting: Waiting
    dispatch_lag: timedelta
    beats: Mapping[str, timedelta]
    incidents: Mapping[str, int]
    schedules: Mapping[str, int]
    shares: Sequence[Share]
    webhooks: Mapping[str, tuple[int, int]]
    pending_events: int
    dead_letters: int
    database_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Executions of one connector that ended in one way. ``attempts`` are of all of them.

    ``durations`` and ``lateness`` count by bucket of `BUCKETS`, the last beyond all of
    them; lateness is of those that were due at a time and needed one attempt.
    """

    connector: str
    status: str
    number: int
    attempts: int
    records: Mapping[str, int] = field(default_factory=dict)
    bytes_moved: int = 0
    durations: Sequence[int] = ()
    duration_seconds: float = 0.0
    lateness: Sequence[int] = ()
    late_seconds: float = 0.0


def waiting_for_all_tenants(db: Db, now: datetime) -> Waiting:
    """What has not ended, by the index over just that."""
    row = db.execute(_WAITING, {"now": now}).one()
    return Waiting(
        pending=row.pending,
        later=row.later,
        queued=row.queued,
        running=row.running,
        oldest=_since(row.oldest, now),
    )


def dispatch_lag_for_all_tenants(db: Db, now: datetime) -> timedelta:
    """For how long the schedule that is most overdue should have been decided on."""
    return _since(db.execute(_OVERDUE, {"now": now}).scalar_one(), now)


def database_bytes(db: Db) -> int:
    """What the catalog's database takes up; Dagster's tables are among it."""
    size: int = db.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    return size


def standing_for_all_tenants(db: Db, now: datetime) -> Standing:
    """Everything that stands, now."""
    counts = db.execute(_COUNTS).one()
    beats = heartbeats.read_all(db)
    return Standing(
        waiting=waiting_for_all_tenants(db, now),
        dispatch_lag=dispatch_lag_for_all_tenants(db, now),
        beats={name: max(now - beat.at, timedelta(0)) for name, beat in beats.items()},
        incidents={row.kind: row.number for row in db.execute(_INCIDENTS)},
        schedules={"active": counts.active, "paused": counts.schedules - counts.active},
        shares=[
            Share(tenant=row.tenant, in_flight=row.in_flight, waiting=row.waiting)
            for row in db.execute(_SHARES, {"most": MOST_TENANTS, "rest": REST})
        ],
        webhooks={row.scheme: (row.received, row.refused) for row in db.execute(_WEBHOOKS)},
        pending_events=counts.events,
        dead_letters=counts.letters,
        database_bytes=database_bytes(db),
    )


def ended_for_all_tenants(db: Db, *, since: datetime, until: datetime) -> list[Ended]:
    """What ended from one instant to before another, by connector and how."""
    values = {"since": since, "until": until, "bounds": list(BUCKETS)}
    return [
        Ended(
            connector=row.connector,
            status=row.status,
            number=row.number,
            attempts=row.attempts,
            records={kind: getattr(row, kind) for kind in RECORDS},
            bytes_moved=row.bytes_moved,
            durations=_counts(row.durations),
            duration_seconds=row.duration_seconds,
            lateness=_counts(row.lateness),
            late_seconds=row.late_seconds,
        )
        for row in db.execute(_ENDED, values)
    ]


RECORDS = ("processed", "created", "updated", "deleted", "rejected")


def _counts(places: Sequence[int | None] | None) -> Sequence[int]:
    """How many fell into each bucket; a place of None was not measured."""
    counts = [0] * (len(BUCKETS) + 1)
    for place in places or ():
        if place is not None:
            counts[place] += 1
    return counts


def _since(at: datetime | None, now: datetime) -> timedelta:
    return timedelta(0) if at is None else max(now - at, timedelta(0))


_WAITING = text(
    """
    SELECT count(*) FILTER (WHERE status = 'pending' AND next_attempt_at <= :now) AS pending,
           count(*) FILTER (WHERE status = 'pending' AND next_attempt_at > :now) AS later,
           count(*) FILTER (WHERE status = 'queued') AS queued,
           count(*) FILTER (WHERE status = 'running') AS running,
           min(next_attempt_at) FILTER (WHERE status = 'pending') AS oldest
    FROM sync.sync_executions WHERE status IN ('pending', 'queued', 'running')
      AND NOT (status = 'pending'
               AND tenant_id IN (SELECT id FROM sync.tenants WHERE NOT is_active))
    """
)

_OVERDUE = text(
    "SELECT min(next_run_at) FROM sync.sync_schedules WHERE is_active AND next_run_at < :now"
)

_INCIDENTS = text(
    "SELECT kind, count(*) AS number FROM sync.incidents WHERE resolved_at IS NULL GROUP BY kind"
)

_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM sync.sync_schedules) AS schedules,
           (SELECT count(*) FROM sync.sync_schedules WHERE is_active) AS active,
           (SELECT count(*) FROM sync.webhook_events WHERE status = 'pending') AS events,
           (SELECT count(*) FROM sync.dead_letters WHERE status = 'open') AS letters
    """
)

_WEBHOOKS = text(
    """
    SELECT scheme, sum(received)::bigint AS received, sum(refused)::bigint AS refused
    FROM sync.webhook_endpoints GROUP BY scheme ORDER BY scheme
    """
)

_SHARES = text(
    """
    WITH work AS (
        SELECT tenant_id, count(*) FILTER (WHERE status <> 'pending') AS in_flight,
               count(*) FILTER (WHERE status = 'pending') AS waiting
        FROM sync.sync_executions WHERE status IN ('pending', 'queued', 'running')
        GROUP BY tenant_id
    ),
    ranked AS (
        SELECT work.*, row_number() OVER (ORDER BY in_flight + waiting DESC, tenant_id) AS place
        FROM work
    )
    SELECT CASE WHEN place <= :most THEN tenants.name ELSE :rest END AS tenant,
           sum(in_flight)::bigint AS in_flight, sum(waiting)::bigint AS waiting
    FROM ranked JOIN sync.tenants ON tenants.id = ranked.tenant_id
    GROUP BY 1 ORDER BY 1
    """
)

_ENDED = text(
    """
    WITH ended AS (
        SELECT syncs.connector, execution.*,
               duration_ms / 1000.0 AS seconds,
               CASE WHEN due_at IS NOT NULL AND attempt = 1
                    THEN extract(epoch FROM greatest(started_at - due_at, interval '0'))
               END AS late
        FROM sync.sync_executions AS execution
        JOIN sync.syncs ON syncs.id = execution.sync_id
        WHERE execution.completed_at >= :since AND execution.completed_at < :until
    )
    SELECT connector, status, count(*) AS number, sum(attempt)::bigint AS attempts,
           sum(records_processed)::bigint AS processed, sum(records_created)::bigint AS created,
           sum(records_updated)::bigint AS updated, sum(records_deleted)::bigint AS deleted,
           sum(records_rejected)::bigint AS rejected, sum(bytes_moved)::bigint AS bytes_moved,
           array_agg(width_bucket(seconds::float8, CAST(:bounds AS float8[]))) AS durations,
           coalesce(sum(seconds), 0)::float8 AS duration_seconds,
           array_agg(width_bucket(late::float8, CAST(:bounds AS float8[]))) AS lateness,
           coalesce(sum(late), 0)::float8 AS late_seconds
    FROM ended GROUP BY connector, status ORDER BY connector, status
    """
)
