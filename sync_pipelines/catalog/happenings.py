"""Lists of what happened to a tenant's syncs, page by page: executions, dead letters."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import dead_letters
from sync_pipelines.catalog.executions import selected
from sync_pipelines.catalog.history import HistoryEntry, entry_from_row
from sync_pipelines.catalog.paging import Key, Listed, equal, listed, order_of, page
from sync_pipelines.catalog.tables import DeadLetterRow, ExecutionRow, SyncRow
from sync_pipelines.model.dead_letter import DeadLetter
from sync_pipelines.model.execution import Status, Trigger


class TimeSort(StrEnum):
    """What happened is sorted by when it came about."""

    CREATED = "created_at"
    CREATED_DOWN = "-created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichExecutions:
    """Which executions are meant, created from ``since`` on and before ``until``."""

    sync: str | None = None
    schedule_id: UUID | None = None
    status: Status | None = None
    trigger: Trigger | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_executions(
    db: Db,
    which: WhichExecutions,
    *,
    tenant_id: UUID,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    after: Key | None = None,
    limit: int,
) -> Listed[HistoryEntry]:
    """A tenant's executions."""
    wanted: dict[ColumnElement[Any], Any] = {
        SyncRow.name.expression: which.sync,
        ExecutionRow.schedule_id.expression: which.schedule_id,
        ExecutionRow.status.expression: which.status,
        ExecutionRow.trigger.expression: which.trigger,
    }
    query = selected().where(ExecutionRow.tenant_id == tenant_id, *equal(wanted))
    if which.since is not None:
        query = query.where(ExecutionRow.created_at >= which.since)
    if which.until is not None:
        query = query.where(ExecutionRow.created_at < which.until)
    by = {"created_at": ExecutionRow.created_at}
    paged = page(db, query, order_of(sort, by, ExecutionRow.id), after=after, limit=limit)
    return listed(paged, entry_from_row)


def list_letters(
    db: Db,
    which: dead_letters.Which,
    *,
    tenant_id: UUID,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    after: Key | None = None,
    limit: int,
) -> Listed[DeadLetter]:
    """A tenant's dead letters."""
    wanted: dict[ColumnElement[Any], Any] = {
        DeadLetterRow.status.expression: which.status,
        DeadLetterRow.cause.expression: which.cause,
        SyncRow.name.expression: which.sync,
    }
    query = dead_letters.selected().where(DeadLetterRow.tenant_id == tenant_id, *equal(wanted))
    by = {"created_at": DeadLetterRow.created_at}
    paged = page(db, query, order_of(sort, by, DeadLetterRow.id), after=after, limit=limit)
    return listed(paged, dead_letters.letter_from_row)
