"""Executions on their way in: claimed for a due instant, handed to Dagster by a turn.

Law: a due instant is claimed by inserting its key ``(schedule_id, due_at)``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.executions import ACTIVE, from_row, selected
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Execution, Status, Trigger
from sync_pipelines.tracing import carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A due instant that becomes an execution; it may start ``at``."""

    tenant_id: UUID
    sync_id: UUID
    schedule_id: UUID
    due_at: datetime
    at: datetime
    trigger: Trigger
    priority: int
    metadata: Mapping[str, Any]


def claim(
    db: Db, claimed: Sequence[Claimed], *, now: datetime
) -> dict[tuple[UUID, datetime], UUID]:
    """Claim due instants by their keys; the new executions' ids by ``(schedule_id, due_at)``.

    An instant that was claimed before is not among them: another dispatcher was first.
    """
    if not claimed:
        return {}
    rows = [
        {
            "tenant_id": one.tenant_id,
            "sync_id": one.sync_id,
            "schedule_id": one.schedule_id,
            "due_at": one.due_at,
            "trigger": one.trigger,
            "status": Status.PENDING,
            "priority": one.priority,
            "execution_metadata": {**one.metadata, **carried()},
            "next_attempt_at": max(one.at, now),
            "created_at": now,
        }
        for one in claimed
    ]
    statement = (
        insert(ExecutionRow)
        .on_conflict_do_nothing(index_elements=["schedule_id", "due_at"])
        .returning(ExecutionRow.id, ExecutionRow.schedule_id, ExecutionRow.due_at)
    )
    return {(row.schedule_id, row.due_at): row.id for row in db.execute(statement, rows)}


def handed_over_in_turn_for_all_tenants(db: Db, turn: str) -> list[Execution]:
    """What a dispatcher's turn handed to Dagster and no run has started yet.

    For all tenants, because a turn serves all of a connector's tenants.
    """
    query = (
        selected()
        .where(ExecutionRow.status == Status.QUEUED, ExecutionRow.queued_by == turn)
        .order_by(ExecutionRow.place)
    )
    return [from_row(row) for row in db.execute(query).mappings()]


def of_ids_for_all_tenants(db: Db, ids: Sequence[UUID]) -> list[Execution]:
    """These executions, first those that stood first in their tenant's line.

    For all tenants, because a dispatcher hands over for all of them.
    """
    query = selected().where(ExecutionRow.id.in_(ids)).order_by(ExecutionRow.place)
    return [from_row(row) for row in db.execute(query).mappings()]


def active_for_all_tenants(db: Db, sync_ids: Iterable[UUID]) -> dict[UUID, int]:
    """How many executions of each sync have not ended; none for those that have none.

    For all tenants, because a dispatcher decides on many syncs at once.
    """
    query = (
        select(ExecutionRow.sync_id, func.count())
        .where(ExecutionRow.sync_id.in_(set(sync_ids)), ExecutionRow.status.in_(ACTIVE))
        .group_by(ExecutionRow.sync_id)
    )
    return {row[0]: row[1] for row in db.execute(query)}
