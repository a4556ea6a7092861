"""What has happened: executions as their tenant sees them, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping

from connectors.contract import Counts
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


def history(
    db: Db, sync_id: UUID, *, tenant_id: UUID, limit: int = 20, before: datetime | None = None
) -> list[HistoryEntry]:
    """A sync's executions, newest first; ``before`` pages on by ``created_at``."""
    query = selected().where(ExecutionRow.tenant_id == tenant_id, ExecutionRow.sync_id == sync_id)
    if before is not None:
        query = query.where(ExecutionRow.created_at < before)
    query = query.order_by(ExecutionRow.created_at.desc(), ExecutionRow.id).limit(limit)
    return [_entry(row) for row in db.execute(query).mappings()]


def find(db: Db, execution_id: UUID, *, tenant_id: UUID) -> HistoryEntry | None:
    """One execution of a tenant, or None."""
    query = selected().where(
        ExecutionRow.id == execution_id, ExecutionRow.tenant_id == tenant_id
    )  # fmt: skip
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _entry(row)


def _entry(row: RowMapping) -> HistoryEntry:
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
