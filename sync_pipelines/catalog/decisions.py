"""What was decided on the instants of schedules, and why.

Law: an instant has one decision. Whoever comes second changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, delete, func, select, union_all
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.tables import DecisionRow, ExecutionRow
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Decision, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision as it was recorded."""

    sync_id: UUID
    schedule_id: UUID | None
    schedule_name: str
    decision: Decision
    execution_id: UUID | None
    decided_at: datetime


def record(
    db: Db,
    decided: Sequence[tuple[Schedule, Decision]],
    *,
    executions: Mapping[tuple[UUID, datetime], UUID],
    now: datetime,
) -> None:
    """Record decisions; ``executions`` are the ids of those that start one."""
    rows = [
        {
            "tenant_id": schedule.tenant_id,
            "sync_id": schedule.sync_id,
            "schedule_id": schedule.id,
            "schedule_name": schedule.name,
            "due_at": decision.due_at,
            "first_due_at": decision.first_due_at,
            "count": decision.count,
            "outcome": decision.outcome,
            "cause": decision.cause,
            "reason": decision.reason,
            "into": decision.into,
            "execution_id": executions.get((schedule.id, decision.due_at)),
            "decided_at": now,
        }
        for schedule, decision in decided
    ]
    if rows:
        statement = insert(DecisionRow)
        db.execute(statement.on_conflict_do_nothing(index_elements=["schedule_id", "due_at"]), rows)


def covering(db: Db, schedule_id: UUID, at: datetime, *, tenant_id: UUID) -> Decided | None:
    """The decision on the latest instant of a schedule due at or before ``at``, if any."""
    query = (
        select(DecisionRow.__table__)
        .where(
            DecisionRow.tenant_id == tenant_id,
            DecisionRow.schedule_id == schedule_id,
            DecisionRow.first_due_at <= at,
        )
        .order_by(DecisionRow.due_at.desc())
        .limit(1)
    )
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _decided(row)


def taken_for_all_tenants(
    db: Db, schedule_ids: Collection[UUID], since: datetime
) -> dict[UUID, datetime]:
    """The last instant, ``since`` or later, of each schedule that is decided on or claimed.

    For all tenants, because the engine acts for each of them.
    """
    taken = union_all(
        *(
            select(row.schedule_id, row.due_at).where(
                row.schedule_id.in_(schedule_ids), row.due_at >= since
            )
            for row in (DecisionRow, ExecutionRow)
        )
    ).subquery()
    query = select(taken.c.schedule_id, func.max(taken.c.due_at)).group_by(taken.c.schedule_id)
    return {row[0]: row[1] for row in db.execute(query)}


def of_sync(
    db: Db,
    sync_id: UUID,
    *,
    tenant_id: UUID,
    before: datetime | None = None,
    limit: int = 50,
    only_idle: bool = False,
) -> list[Decided]:
    """A sync's decisions, latest instants first; ``only_idle`` those that started nothing."""
    query = select(DecisionRow.__table__).where(
        DecisionRow.tenant_id == tenant_id, DecisionRow.sync_id == sync_id
    )
    if before is not None:
        query = query.where(DecisionRow.due_at < before)
    if only_idle:
        query = query.where(DecisionRow.execution_id.is_(None))
    query = query.order_by(DecisionRow.due_at.desc(), DecisionRow.id.desc()).limit(limit)
    return [_decided(row) for row in db.execute(query).mappings()]


def forget_for_all_tenants(db: Db, *, before: datetime) -> int:
    """Delete decisions made before an instant; how many there were.

    For all tenants, because housekeeping is the installation's.
    """
    return db.execute(delete(DecisionRow).where(DecisionRow.decided_at < before)).rowcount


def _decided(row: RowMapping | Mapping[str, Any]) -> Decided:
    return Decided(
        sync_id=row["sync_id"],
        schedule_id=row["schedule_id"],
        schedule_name=row["schedule_name"],
        decision=Decision(
            due_at=row["due_at"],
            first_due_at=row["first_due_at"],
            count=row["count"],
            outcome=Outcome(row["outcome"]),
            reason=row["reason"],
            cause=None if row["cause"] is None else Cause(row["cause"]),
            into=row["into"],
        ),
        execution_id=row["execution_id"],
        decided_at=row["decided_at"],
    )
