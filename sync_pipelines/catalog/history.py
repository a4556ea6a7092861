"""What has happened: executions as their tenant sees them, newest first; and what did not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, func, or_

from connectors.contract import Counts
from sync_pipelines.catalog import decisions
from sync_pipelines.catalog.decisions import Decided
from sync_pipelines.catalog.executions import from_row, selected
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One execution as its tenant sees it, with what it moved."""

    execution: Execution
    counts: Counts
    duration: timedelta | None
    error_message: str | None
    error_details: Mapping[str, Any] | None
    attempts: Sequence[Mapping[str, Any]]
    progress: Mapping[str, Any]
    metadata: Mapping[str, Any]


MOST_IDLE = 1000
"""So many of the latest decisions are looked through for what did not run."""

Happening: TypeAlias = HistoryEntry | Decided
"""An execution, or a decision by which none came about."""


def history(
    db: Db, sync_id: UUID, *, tenant_id: UUID, limit: int = 20, before: datetime | None = None
) -> list[HistoryEntry]:
    """A sync's executions, newest first; ``before`` pages on by ``created_at``."""
    query = selected().where(ExecutionRow.tenant_id == tenant_id, ExecutionRow.sync_id == sync_id)
    if before is not None:
        query = query.where(ExecutionRow.created_at < before)
    query = query.order_by(ExecutionRow.created_at.desc(), ExecutionRow.id).limit(limit)
    return [entry_from_row(row) for row in db.execute(query).mappings()]


def timeline(db: Db, sync_id: UUID, *, tenant_id: UUID, limit: int = 20) -> list[Happening]:
    """A sync's executions and what did not run, latest first.

    What did not run stands at the last of the instants that its decision is about. Of a
    schedule, all that did not run between two executions for one reason are one.
    """
    ran = history(db, sync_id, tenant_id=tenant_id, limit=limit)
    most = max(limit, MOST_IDLE)
    idle = decisions.of_sync(db, sync_id, tenant_id=tenant_id, limit=most, only_idle=True)
    found: list[list[Happening]] = [[*ran], [*idle]]
    return _together(merge(*found, key=happened_at, reverse=True))[:limit]


def happened_at(happening: Happening) -> datetime:
    """Where something stands in time."""
    if isinstance(happening, HistoryEntry):
        return happening.execution.created_at
    return happening.decision.due_at


def _together(happenings: Iterable[Happening]) -> list[Happening]:
    found: list[Happening] = []
    places: dict[object, int] = {}
    for happening in happenings:
        if isinstance(happening, HistoryEntry):
            places.clear()
            found.append(happening)
            continue
        later, decision = None, happening.decision
        fate = (happening.schedule_id, decision.outcome, decision.reason, decision.into)
        place = places.setdefault(fate, len(found))
        if place < len(found):
            later = found[place]
        if not isinstance(later, Decided):
            found.append(happening)
            continue
        both = replace(
            later.decision,
            first_due_at=decision.first_due_at,
            count=later.decision.count + decision.count,
        )
        found[place] = replace(later, decision=both)
    return found


def unscheduled(
    db: Db, sync_id: UUID, *, tenant_id: UUID, since: datetime, until: datetime, limit: int = 5
) -> list[HistoryEntry]:
    """Executions that no schedule started, and that lived between two instants, newest first."""
    query = selected().where(
        ExecutionRow.tenant_id == tenant_id,
        ExecutionRow.sync_id == sync_id,
        ExecutionRow.due_at.is_(None),
        func.coalesce(ExecutionRow.started_at, ExecutionRow.created_at) < until,
        or_(ExecutionRow.completed_at.is_(None), ExecutionRow.completed_at >= since),
    )
    query = query.order_by(ExecutionRow.created_at.desc(), ExecutionRow.id).limit(limit)
    return [entry_from_row(row) for row in db.execute(query).mappings()]


def find(db: Db, execution_id: UUID, *, tenant_id: UUID) -> HistoryEntry | None:
    """One execution of a tenant, or None."""
    query = selected().where(
        ExecutionRow.id == execution_id, ExecutionRow.tenant_id == tenant_id
    )  # fmt: skip
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else entry_from_row(row)


def entry_from_row(row: RowMapping) -> HistoryEntry:
    """A row that `executions.selected` brought."""
    milliseconds = row["duration_ms"]
    return HistoryEntry(
        execution=from_row(row),
        counts=Counts(
            processed=row["records_processed"],
            created=row["records_created"],
            updated=row["records_updated"],
            deleted=row["records_deleted"],
            rejected=row["records_rejected"],
            bytes=row["bytes_moved"],
        ),
        duration=None if milliseconds is None else timedelta(milliseconds=milliseconds),
        error_message=row["error_message"],
        error_details=row["error_details"],
        attempts=row["attempts"],
        progress=row["progress"],
        metadata=row["execution_metadata"],
    )
