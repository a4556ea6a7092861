"""Figures of what is told, for whoever runs the installation: what waits, what has arrived.

Law: what waits or was given up is counted anew at each look, by its own indexes; what has
arrived once, in the look after it. For all tenants throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection as Db
from sqlalchemy import text

BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 21600.0)
"""Upper bounds in seconds, of how long messages were on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """What is in the outbox, by channel.

    ``failing`` are those that wait after an attempt in vain; ``oldest`` is for how long
    the first that is due has been, but for tenants that are suspended.
    """

    pending: Mapping[str, int]
    failing: Mapping[str, int]
    dead: Mapping[str, int]
    oldest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What arrived by one channel: how long it took, by bucket of `BUCKETS` and in all."""

    channel: str
    latency: Sequence[int]
    seconds: float


def outbox_for_all_tenants(db: Db, now: datetime) -> Outbox:
    """What is in the outbox now."""
    waiting = db.execute(_PENDING, {"now": now}).all()
    due = [row.oldest for row in waiting if row.oldest is not None]
    return Outbox(
        pending={row.channel: row.number for row in waiting},
        failing={row.channel: row.failing for row in waiting},
        dead={row.channel: row.number for row in db.execute(_DEAD)},
        oldest=max(now - min(due), timedelta(0)) if due else timedelta(0),
    )


def arrived_for_all_tenants(db: Db, *, since: datetime, until: datetime) -> list[Arrived]:
    """What arrived from one instant to before another."""
    values = {"since": since, "until": until, "bounds": list(BUCKETS)}
    return [
        Arrived(channel=row.channel, latency=_counts(row.places), seconds=row.seconds)
        for row in db.execute(_ARRIVED, values)
    ]


def _counts(places: Sequence[int]) -> Sequence[int]:
    counts = [0] * (len(BUCKETS) + 1)
    for place in places:
        counts[place] += 1
    return counts


_PENDING = text("""
    SELECT channel, count(*) AS number, count(last_error) AS failing,
           min(next_attempt_at) FILTER (WHERE next_attempt_at <= :now AND is_active) AS oldest
    FROM sync.outbox JOIN sync.tenants ON tenants.id = tenant_id
    WHERE state = 'pending' GROUP BY channel
""")

_DEAD = text("SELECT channel, count(*) AS number FROM sync.outbox WHERE state = 'dead' GROUP BY 1")

# What arrived at the first attempt was on its way since it was due: quiet hours are no delay.
_ARRIVED = text("""
    WITH arrived AS (
        SELECT channel, extract(epoch FROM greatest(interval '0', sent_at
            - CASE WHEN attempts = 1 THEN next_attempt_at ELSE created_at END)) AS seconds
        FROM sync.outbox WHERE sent_at >= :since AND sent_at < :until
    )
    SELECT channel, sum(seconds)::float8 AS seconds,
        array_agg(width_bucket(seconds::float8, CAST(:bounds AS float8[]))) AS places
    FROM arrived GROUP BY channel
""")
