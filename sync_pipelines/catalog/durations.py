"""How long executions have taken, for whoever looks ahead."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select

from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Status

LATEST = 50
"""So many of a sync's last executions are looked at."""

_MEASURED = (Status.COMPLETED, Status.PARTIAL)


def recent_for_all_tenants(db: Db, sync_ids: Iterable[UUID]) -> dict[UUID, tuple[timedelta, ...]]:
    """The durations of each sync's last executions that got through, latest first.

    For all tenants, because conflicts are looked for over all of them at night.
    """
    nth = func.row_number().over(
        partition_by=ExecutionRow.sync_id, order_by=ExecutionRow.completed_at.desc()
    )
    latest = (
        select(ExecutionRow.sync_id, ExecutionRow.duration_ms, nth.label("nth"))
        .where(
            ExecutionRow.sync_id.in_(set(sync_ids)),
            ExecutionRow.status.in_(_MEASURED),
            ExecutionRow.duration_ms.is_not(None),
        )
        .subquery()
    )
    query = select(latest).where(latest.c.nth <= LATEST).order_by(latest.c.sync_id, latest.c.nth)
    found: defaultdict[UUID, list[timedelta]] = defaultdict(list)
    for row in db.execute(query):
        found[row.sync_id].append(timedelta(milliseconds=row.duration_ms))
    return {sync_id: tuple(durations) for sync_id, durations in found.items()}
