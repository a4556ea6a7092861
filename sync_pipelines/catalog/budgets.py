"""How often a connection may still call its provider, over all processes.

Law: one statement gives out calls, under the row's lock and by the database's clock, so
that machines whose clocks differ still share one bucket.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import text, update

from connectors.http.pace import FREE, Allowance
from connectors.surroundings import Heard, Lease, Rate
from sync_pipelines.catalog.tables import BudgetRow

_TAKE = text("""
INSERT INTO sync.connection_budgets AS b
       (tenant_id, connection_id, bucket, tokens, refilled_at, granted,
        remaining, resets_at, calls, throttles, waited_ms)
SELECT :tenant_id, :connection_id, :bucket, :burst - given, now(), given,
       CAST(:remaining AS bigint) - given, CAST(:resets_at AS timestamptz), :calls, :throttles,
       :waited_ms
  FROM (SELECT least(:wanted, :burst,
                     CASE WHEN CAST(:resets_at AS timestamptz) > now()
                          THEN CAST(:remaining AS bigint) END) AS given) AS first
ON CONFLICT (connection_id, bucket) DO UPDATE SET
       (tokens, refilled_at, granted, remaining, resets_at, calls, throttles, waited_ms) = (
    SELECT held.tokens - given, greatest(b.refilled_at, now()), given,
           held.remaining - CASE WHEN held.resets_at > now() THEN given ELSE 0 END,
           held.resets_at, b.calls + :calls, b.throttles + :throttles,
           b.waited_ms + :waited_ms
      FROM (SELECT least(:burst, b.tokens + :per_second *
                         greatest(0, extract(epoch FROM now() - b.refilled_at))) AS tokens,
                   CASE WHEN :heard THEN CAST(:remaining AS bigint) ELSE b.remaining END
                       AS remaining,
                   CASE WHEN :heard THEN CAST(:resets_at AS timestamptz) ELSE b.resets_at END
                       AS resets_at) AS held,
           LATERAL (SELECT greatest(0, least(:wanted, floor(held.tokens),
                           CASE WHEN held.resets_at > now() THEN held.remaining END)) AS given
                   ) AS share)
RETURNING granted, extract(epoch FROM CASE
    WHEN resets_at > now() AND remaining <= 0 THEN resets_at - now()
    ELSE make_interval(secs => greatest(0, (1 - tokens) / :per_second)) END) AS wait
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one connection has used, over all its limits; ``remaining`` is of the tightest."""

    tenant: str
    connection: str
    connector: str
    calls: int
    throttles: int
    waited: timedelta
    remaining: int | None


MOST_CONNECTIONS = 200
"""So many connections are told by name, those that called most; the rest are one."""

REST = "(others)"


def take(
    db: Db,
    connection_id: UUID,
    bucket: str,
    rate: Rate | None,
    *,
    tenant_id: UUID,
    wanted: int,
    heard: Heard,
) -> Lease:
    """See `connectors.surroundings.Budget.take`."""
    allowance = FREE if rate is None else Allowance.of(rate)
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "bucket": bucket,
        "burst": allowance.burst,
        "per_second": allowance.per_second,
        "wanted": wanted,
        "heard": heard.remaining is not None or heard.resets_at is not None,
        "remaining": heard.remaining,
        "resets_at": heard.resets_at,
        "calls": heard.calls,
        "throttles": heard.throttles,
        "waited_ms": _milliseconds(heard),
    }
    granted, wait = db.execute(_TAKE, values).one()
    return Lease(
        calls=int(granted),
        lasts=allowance.lasts,
        wait=timedelta(0) if granted else timedelta(seconds=float(wait)),
    )


def note(db: Db, connection_id: UUID, bucket: str, heard: Heard, *, tenant_id: UUID) -> None:
    """Add what was seen; gives out nothing."""
    mine = (
        BudgetRow.connection_id == connection_id,
        BudgetRow.bucket == bucket,
        BudgetRow.tenant_id == tenant_id,
    )
    values: dict[str, Any] = {
        "calls": BudgetRow.calls + heard.calls,
        "throttles": BudgetRow.throttles + heard.throttles,
        "waited_ms": BudgetRow.waited_ms + _milliseconds(heard),
    }
    if heard.remaining is not None or heard.resets_at is not None:
        values |= {"remaining": heard.remaining, "resets_at": heard.resets_at}
    db.execute(update(BudgetRow).where(*mine).values(values))


def spent_for_all_tenants(db: Db, *, most: int = MOST_CONNECTIONS) -> list[Spent]:
    """What connections have used since they were made.

    For all tenants, because the figures are those of the installation.
    """
    return [
        Spent(
            tenant=row.tenant,
            connection=row.connection,
            connector=row.connector,
            calls=row.calls,
            throttles=row.throttles,
            waited=timedelta(milliseconds=row.waited_ms),
            remaining=row.remaining,
        )
        for row in db.execute(_SPENT, {"most": most, "rest": REST})
    ]


def _milliseconds(heard: Heard) -> int:
    return round(heard.waited / timedelta(milliseconds=1))


_SPENT = text("""
WITH spent AS (
    SELECT connection_id, tenant_id, sum(calls)::bigint AS calls,
           sum(throttles)::bigint AS throttles, sum(waited_ms)::bigint AS waited_ms,
           min(remaining) FILTER (WHERE resets_at > now()) AS remaining
      FROM sync.connection_budgets GROUP BY connection_id, tenant_id
), ranked AS (
    SELECT spent.*, row_number() OVER (ORDER BY calls DESC, connection_id) AS place FROM spent
)
SELECT CASE WHEN place <= :most THEN t.name ELSE :rest END AS tenant,
       CASE WHEN place <= :most THEN c.name ELSE :rest END AS connection,
       c.connector, sum(r.calls)::bigint AS calls, sum(r.throttles)::bigint AS throttles,
       sum(r.waited_ms)::bigint AS waited_ms,
       min(r.remaining) FILTER (WHERE place <= :most) AS remaining
  FROM ranked AS r
  JOIN sync.connections AS c ON c.id = r.connection_id
  JOIN sync.tenants AS t ON t.id = r.tenant_id
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")
