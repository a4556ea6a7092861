"""Hands waiting executions to Dagster: fairly among tenants, by priority within one.

Laws:

* A tenant's place in line is what it has in flight already plus its own place; tenants
  are served by place over weight, so that one with ten thousand waiting delays one
  with a single execution by nothing but what already runs.
* Handing over changes an execution once, whoever else tries.
* A tenant, and a connection, never has more in flight than its limit.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import line
from sync_pipelines.catalog.line import Candidate

AT_ONCE = 500
"""So many executions are in Dagster's queue or running; more wait in the catalog."""

PER_TENANT = 25
"""So many of one tenant, where it has no limit of its own."""


def admit(
    db: Db,
    now: datetime,
    *,
    turn: str,
    connector: str | None = None,
    only: UUID | None = None,
) -> list[UUID]:
    """Queue what may go to Dagster now, under the turn's name; which these were.

    ``connector`` admits that one's syncs only, ``only`` at most that one execution;
    places are counted over all, so that nobody gets past those who wait longer.
    """
    line.hold(db)
    room = AT_ONCE - line.in_flight_for_all_tenants(db)
    if room <= 0:
        return []
    candidates = line.front_for_all_tenants(
        db, now, connector=connector, per_tenant=PER_TENANT, limit=room
    )
    admitted = _within_connections(candidates)
    if only is not None:
        admitted = [candidate for candidate in admitted if candidate.id == only]
    return line.queue(db, admitted, now=now, turn=turn)


def _within_connections(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that, in this order, leave no connection with more at once than it bears."""
    taken: Counter[object] = Counter()
    chosen = []
    for candidate in candidates:
        if all(end.in_flight + taken[end.id] < end.most for end in candidate.limited):
            chosen.append(candidate)
            taken.update(end.id for end in candidate.limited)
    return chosen
