"""Executions counted by day: percentiles out of counts, and what a dashboard shows.

Laws:

* A row of `DayRow` says what the rows of its sync and day say of those that have ended. The
  database counts, in the transaction that ends, changes or removes an execution; so what
  dies halfway has counted nothing, and nothing is to be caught up with.
* A percentile out of counts stands in the same place as the duration it stands for: between
  two of `BOUNDS`, which are a factor of √2 apart.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import sqrt
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, func, select, text

from sync_pipelines.catalog.tables import DayRow
from sync_pipelines.model.report import Dashboard, Day, success_rate

BOUNDS = tuple(round(16 * 2 ** (step / 2)) for step in range(47))
"""Where the second place and those after it begin, in milliseconds: 16 ms to 37 hours.

The database knows them too, as ``sync.duration_place``.
"""

PLACES = len(BOUNDS) + 1

SHOWN = 7
"""So many days a dashboard shows."""


def estimated(counts: Sequence[int], percent: int, *, longest: int | None) -> float | None:
    """The duration that so many of a hundred do not exceed, in milliseconds, by their counts.

    The middle of its place: at most a fifth above or below the duration of that rank, but
    for those under 16 ms, or above 37 hours.
    """
    total = sum(counts)
    if not total or longest is None:
        return None
    rank = max(1, -(-total * percent // 100))
    place = next(at for at, reached in enumerate(accumulate(counts)) if reached >= rank)
    low = BOUNDS[place - 1] if place else 1
    high = BOUNDS[place] if place < len(BOUNDS) else max(longest, low)
    return round(min(sqrt(low * high), float(longest)), 1)


def dashboard(db: Db, *, tenant_id: UUID, now: datetime) -> Dashboard:
    """How a tenant stands now, and what the last days came to."""
    today = now.astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in reversed(range(SHOWN))]
    of_days = (
        select(DayRow.day, *(func.sum(getattr(DayRow, name)).label(name) for name in _OF_A_DAY))
        .where(DayRow.tenant_id == tenant_id, DayRow.day.between(days[0], today))
        .group_by(DayRow.day)
    )
    counted = {row["day"]: _day(row) for row in db.execute(of_days).mappings()}
    values = {"tenant": tenant_id}
    active = {row.status: row.number for row in db.execute(_ACTIVE, values)}
    schedules = db.execute(_SCHEDULES, values).one()
    return Dashboard(
        at=now,
        days=[counted.get(day, Day(day=day)) for day in days],
        pending=active.get("pending", 0),
        queued=active.get("queued", 0),
        running=active.get("running", 0),
        schedules_active=schedules.active,
        schedules_paused=schedules.number - schedules.active,
        next_run_at=schedules.next_run_at,
    )


_OF_A_DAY = ("completed", "partial", "failed", "cancelled", "records_processed")

_ACTIVE = text("""
    SELECT status, count(*) AS number FROM sync.sync_executions
    WHERE tenant_id = :tenant AND status IN ('pending', 'queued', 'running') GROUP BY status
""")

_SCHEDULES = text("""
    SELECT count(*) AS number, count(*) FILTER (WHERE is_active) AS active,
        min(next_run_at) FILTER (WHERE is_active) AS next_run_at
    FROM sync.sync_schedules WHERE tenant_id = :tenant
""")


def _day(row: RowMapping) -> Day:
    numbers = {name: int(row[name]) for name in _OF_A_DAY}
    ended = numbers["completed"] + numbers["partial"] + numbers["failed"]
    rate = success_rate(completed=numbers["completed"], ended=ended)
    return Day(day=row["day"], success_rate=rate, **numbers)
