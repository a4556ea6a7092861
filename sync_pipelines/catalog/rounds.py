"""What the watch looks at on its rounds: schedules in turn, dispatchers, executions.

For all tenants throughout: whoever watches, watches all of them.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, func, select
from sqlalchemy import Connection as Db

from sync_pipelines.catalog.codec import retry_from_json
from sync_pipelines.catalog.due import pause_of
from sync_pipelines.catalog.executions import from_row, selected
from sync_pipelines.catalog.schedules import schedule_from_row
from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow, SyncRow, TenantRow
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.retry import SHORTEST_STALL
from sync_pipelines.model.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A schedule as it stands; None, and ``trouble``, where its row cannot be read.

    ``pause`` says why its whole sync, or its tenant, starts nothing; None if it may.
    """

    id: UUID
    tenant_id: UUID
    key: str
    pause: str | None
    schedule: Schedule | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Schedules of one connector that should have been decided on, the first ``since``."""

    connector: str
    number: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """A running execution that has not come further since ``progressed_at``."""

    execution: Execution
    progressed_at: datetime
    stalled_after: timedelta
    cancel_requested_at: datetime | None


def count_for_all_tenants(db: Db) -> int:
    """How many schedules there are."""
    return db.execute(select(func.count()).select_from(ScheduleRow)).scalar_one()


def schedules_in_turn_for_all_tenants(
    db: Db, *, after: UUID | None, until: UUID | None = None, limit: int
) -> list[Looked]:
    """The next schedules by id, after one and at most up to another."""
    query = (
        select(
            ScheduleRow.__table__,
            func.concat(TenantRow.name, "/", SyncRow.name, "/", ScheduleRow.name).label("key"),
            SyncRow.is_active.label("sync_is_active"),
            TenantRow.is_active.label("tenant_is_active"),
            SyncRow.pause_reason,
        )
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .join(TenantRow, TenantRow.id == ScheduleRow.tenant_id)
        .order_by(ScheduleRow.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(ScheduleRow.id > after)
    if until is not None:
        query = query.where(ScheduleRow.id <= until)
    return [_looked(row) for row in db.execute(query).mappings()]


def overdue_for_all_tenants(db: Db, *, before: datetime) -> list[Overdue]:
    """By connector, the schedules that may have started something since before an instant."""
    first: ColumnElement[Any] = func.min(ScheduleRow.next_run_at)
    query = (
        select(SyncRow.connector, func.count(), first)
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .where(ScheduleRow.next_run_at < before)
        .group_by(SyncRow.connector)
        .order_by(SyncRow.connector)
    )
    return [Overdue(connector=row[0], number=row[1], since=row[2]) for row in db.execute(query)]


def slow_for_all_tenants(db: Db, now: datetime) -> list[Slow]:
    """Running executions that have come no further for the shortest time that may matter."""
    query = (
        selected()
        .add_columns(SyncRow.retry)
        .where(
            ExecutionRow.status == Status.RUNNING,
            ExecutionRow.progressed_at < now - SHORTEST_STALL,
        )
    )
    return [
        Slow(
            execution=from_row(row),
            progressed_at=row["progressed_at"],
            stalled_after=retry_from_json(row["retry"]).stalled_after,
            cancel_requested_at=row["cancel_requested_at"],
        )
        for row in db.execute(query).mappings()
    ]


def is_cancel_requested_for_all_tenants(db: Db, execution_id: UUID) -> bool:
    """Whether somebody has asked a running execution to stop."""
    query = select(ExecutionRow.cancel_requested_at).where(ExecutionRow.id == execution_id)
    return db.scalar(query) is not None


def running_for_all_tenants(db: Db) -> list[Execution]:
    """Executions that run, as far as the catalog knows, in a Dagster run or elsewhere."""
    query = selected().where(
        ExecutionRow.status == Status.RUNNING, ExecutionRow.run_id.is_not(None)
    )  # fmt: skip
    return [from_row(row) for row in db.execute(query).mappings()]


def lost_hand_overs_for_all_tenants(
    db: Db, *, before: datetime, connector: str | None
) -> list[Execution]:
    """Executions handed to Dagster before an instant that no run has started.

    Those that a connector's turns handed over, or with None, all that no such turn did.
    """
    query = selected().where(ExecutionRow.status == Status.QUEUED, ExecutionRow.queued_at < before)
    turn = func.coalesce(ExecutionRow.queued_by, "")
    if connector is None:
        query = query.where(func.strpos(turn, "@") == 0)
    else:
        query = query.where(func.starts_with(turn, f"{connector}@"))
    return [from_row(row) for row in db.execute(query.order_by(ExecutionRow.place)).mappings()]


def over_for_all_tenants(
    db: Db, attempts: Iterable[tuple[UUID, int]], *, before: datetime
) -> Collection[tuple[UUID, int]]:
    """Which of these attempts, by execution and number, ended before an instant.

    An attempt of an execution that is gone has ended long ago.
    """
    wanted = set(attempts)
    query = select(
        ExecutionRow.id, ExecutionRow.attempt, ExecutionRow.completed_at, ExecutionRow.attempts
    ).where(ExecutionRow.id.in_({identity for identity, _ in wanted}))
    rows = {row["id"]: row for row in db.execute(query).mappings()}
    return {
        (identity, attempt)
        for identity, attempt in wanted
        if identity not in rows or _is_over(rows[identity], attempt, before)
    }


def _is_over(row: RowMapping, attempt: int, before: datetime) -> bool:
    ends = [_ended_at(one) for one in row["attempts"] if one["attempt"] == attempt]
    if row["attempt"] == attempt and row["completed_at"] is not None:
        ends.append(row["completed_at"])
    return any(end < before for end in ends)


def _ended_at(attempt: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(attempt["ended_at"])


def _looked(row: RowMapping) -> Looked:
    schedule, trouble = None, None
    try:
        schedule = schedule_from_row(row)
    except (ValueError, KeyError, TypeError) as error:  # one bad row must not blind the watch
        trouble = str(error) or type(error).__name__
    return Looked(
        id=row["id"],
        tenant_id=row["tenant_id"],
        key=row["key"],
        pause=pause_of(
            tenant_is_active=row["tenant_is_active"],
            sync_is_active=row["sync_is_active"],
            reason=row["pause_reason"],
        ),
        schedule=schedule,
        trouble=trouble,
    )
