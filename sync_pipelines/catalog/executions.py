"""Executions: claiming them and moving them on.

Law: a transition is decided by the model and saved here only if the row is still
what the decision was made on (status, attempt and run). Whoever comes second
finds that out, and does nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from connectors.contract import Committed, Counts
from sync_pipelines.catalog.codec import request_from_json, request_to_json
from sync_pipelines.catalog.tables import (
    ConnectionRow,
    ExecutionRow,
    StateRow,
    SyncRow,
    TenantRow,
)
from sync_pipelines.model.execution import PRIORITY, Execution, Request, Status, Trigger
from sync_pipelines.tracing import CARRIED, carried

ACTIVE = (Status.PENDING, Status.QUEUED, Status.RUNNING)


class SyncBusyError(Exception):
    """Another execution of the sync is running; the transaction has come to nothing."""


@cache
def selected() -> Select[Any]:
    """Executions with the names that they are known by; `from_row` reads what it brings."""
    return (
        select(
            ExecutionRow.__table__,
            func.concat(TenantRow.name, "/", SyncRow.name).label("sync_key"),
            SyncRow.connector,
            ConnectionRow.name.label("connection"),
        )
        .join(SyncRow, SyncRow.id == ExecutionRow.sync_id)
        .join(ConnectionRow, ConnectionRow.id == SyncRow.source_id)
        .join(TenantRow, TenantRow.id == ExecutionRow.tenant_id)
    )


def from_row(row: RowMapping) -> Execution:
    """A row that `selected` brought, as the model's execution."""
    return Execution(
        id=row["id"],
        tenant_id=row["tenant_id"],
        sync_id=row["sync_id"],
        sync_key=row["sync_key"],
        connector=row["connector"],
        connection=row["connection"],
        trigger=Trigger(row["trigger"]),
        status=Status(row["status"]),
        attempt=row["attempt"],
        fruitless=row["fruitless_attempts"],
        place=row["place"],
        schedule_id=row["schedule_id"],
        due_at=row["due_at"],
        created_at=row["created_at"],
        next_attempt_at=row["next_attempt_at"],
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        run_id=row["run_id"],
        request=request_from_json(row["request"]),
        traceparent=row["execution_metadata"].get(CARRIED),
    )


def create(
    db: Db,
    *,
    tenant_id: UUID,
    sync_id: UUID,
    trigger: Trigger,
    now: datetime,
    status: Status = Status.PENDING,
    request: Request | None = None,
    metadata: Mapping[str, Any] | None = None,
    schedule_id: UUID | None = None,
) -> UUID:
    """A new execution that no schedule was due for; its id.

    ``schedule_id`` is the one in whose history it stands, if a person named one.
    """
    statement = (
        insert(ExecutionRow)
        .values(
            tenant_id=tenant_id,
            sync_id=sync_id,
            schedule_id=schedule_id,
            trigger=trigger,
            status=status,
            priority=PRIORITY[trigger],
            request=request_to_json(request or Request()),
            execution_metadata={**(metadata or {}), **carried()},
            next_attempt_at=now,
            queued_at=now if status is Status.QUEUED else None,
            created_at=now,
        )
        .returning(ExecutionRow.id)
    )
    return db.execute(statement).scalar_one()


def put_request(db: Db, execution_id: UUID, request: Request, *, tenant_id: UUID) -> None:
    """What an execution that has not started is to do; its row is new, or held."""
    mine = (
        ExecutionRow.id == execution_id,
        ExecutionRow.tenant_id == tenant_id,
        ExecutionRow.started_at.is_(None),
    )
    db.execute(update(ExecutionRow).where(*mine).values(request=request_to_json(request)))


def lock_for_all_tenants(db: Db, execution_id: UUID) -> Execution | None:
    """One execution, locked until the transaction ends; None when it is gone.

    For all tenants, because the engine acts for each of them; an execution's id
    comes from the catalog itself or from a Dagster run's tag.
    """
    query = selected().where(ExecutionRow.id == execution_id).with_for_update(of=ExecutionRow)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else from_row(row)


def of_run_for_all_tenants(db: Db, run_id: str) -> Execution | None:
    """The execution whose current attempt a Dagster run carries out, if any does.

    For all tenants, because a run tells only its own id.
    """
    query = selected().where(ExecutionRow.run_id == run_id)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else from_row(row)


def running(db: Db, sync_id: UUID, *, tenant_id: UUID) -> Execution | None:
    """The running execution of a sync, if there is one."""
    query = selected().where(
        ExecutionRow.tenant_id == tenant_id,
        ExecutionRow.sync_id == sync_id,
        ExecutionRow.status == Status.RUNNING,
    )
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else from_row(row)


def lock_active(db: Db, sync_id: UUID, *, tenant_id: UUID) -> list[Execution]:
    """A sync's executions that have not ended, locked until the transaction ends."""
    query = (
        selected()
        .where(
            ExecutionRow.tenant_id == tenant_id,
            ExecutionRow.sync_id == sync_id,
            ExecutionRow.status.in_(ACTIVE),
        )
        .order_by(ExecutionRow.id)
        .with_for_update(of=ExecutionRow)
    )
    return [from_row(row) for row in db.execute(query).mappings()]


def waiting(db: Db, sync_id: UUID, *, tenant_id: UUID) -> list[Execution]:
    """A sync's pending executions, oldest first."""
    query = (
        selected()
        .where(
            ExecutionRow.tenant_id == tenant_id,
            ExecutionRow.sync_id == sync_id,
            ExecutionRow.status == Status.PENDING,
        )
        .order_by(ExecutionRow.created_at)
    )
    return [from_row(row) for row in db.execute(query).mappings()]


def save(
    db: Db,
    before: Execution,
    after: Execution,
    *,
    attempted: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **columns: Any,
) -> bool:
    """Store a transition, with other columns that go with it; False when someone was first.

    ``attempted`` is added to the attempts that the row tells of, ``metadata`` to what it has.
    """
    if attempted is not None:
        columns["attempts"] = ExecutionRow.attempts.concat([dict(attempted)])
    if metadata is not None:
        columns["execution_metadata"] = ExecutionRow.execution_metadata.concat(dict(metadata))
    changed = {
        "status": after.status,
        "attempt": after.attempt,
        "fruitless_attempts": after.fruitless,
        "next_attempt_at": after.next_attempt_at,
        "queued_at": after.queued_at,
        "started_at": after.started_at,
        "completed_at": after.completed_at,
        "run_id": after.run_id,
    }
    statement = (
        update(ExecutionRow)
        .where(
            ExecutionRow.id == before.id,
            ExecutionRow.status == before.status,
            ExecutionRow.attempt == before.attempt,
            ExecutionRow.run_id.is_not_distinct_from(before.run_id),
        )
        .values(**changed, **columns)
    )
    return db.execute(statement).rowcount == 1


def start(db: Db, before: Execution, after: Execution, *, now: datetime) -> None:
    """Store that a locked execution runs now; `SyncBusyError` if another of its sync does."""
    try:
        save(db, before, after, heartbeat_at=now, progressed_at=now, progress={})
    except IntegrityError as error:
        if "sync_executions_running_key" in str(error.orig):
            raise SyncBusyError from error
        raise


def beat(
    db: Db, execution: Execution, *, progress: Mapping[str, Any], counts: Counts, now: datetime
) -> bool:
    """Write live progress; True when the tenant has asked to cancel, or the attempt is not ours.

    A beat with the same progress and counts as before is a sign of life, but no progress.
    """
    written = {"progress": dict(progress), **count_columns(counts)}
    is_further = or_(
        *(getattr(ExecutionRow, name).is_distinct_from(value) for name, value in written.items())
    )
    statement = (
        update(ExecutionRow)
        .where(
            ExecutionRow.id == execution.id,
            ExecutionRow.status == Status.RUNNING,
            ExecutionRow.attempt == execution.attempt,
        )
        .values(
            **written,
            heartbeat_at=now,
            progressed_at=case((is_further, now), else_=ExecutionRow.progressed_at),
        )
        .returning(ExecutionRow.cancel_requested_at)
    )
    row = db.execute(statement).one_or_none()
    return row is None or row[0] is not None


def count_columns(counts: Counts) -> dict[str, int]:
    """Counts by the names of their columns."""
    return {
        "records_processed": counts.processed,
        "records_created": counts.created,
        "records_updated": counts.updated,
        "records_deleted": counts.deleted,
        "records_rejected": counts.rejected,
        "bytes_moved": counts.bytes,
    }


def request_cancel(db: Db, execution_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Ask a running execution to stop; False when it is not running."""
    statement = (
        update(ExecutionRow)
        .where(
            ExecutionRow.id == execution_id,
            ExecutionRow.tenant_id == tenant_id,
            ExecutionRow.status == Status.RUNNING,
        )
        .values(cancel_requested_at=func.coalesce(ExecutionRow.cancel_requested_at, now))
    )
    return db.execute(statement).rowcount == 1


def mirror_state(db: Db, execution: Execution, stream: str, committed: Committed) -> None:
    """Keep what a destination has committed where people can see it; nothing of a shadow."""
    if committed.state is None or execution.request.into is not None:
        return
    values = {
        "version": committed.state.version,
        "value": dict(committed.state.value),
        "watermark": committed.state.watermark,
        "execution_id": execution.id,
        "committed_at": committed.committed_at or func.now(),
    }
    db.execute(
        insert(StateRow)
        .values(sync_id=execution.sync_id, tenant_id=execution.tenant_id, stream=stream, **values)
        .on_conflict_do_update(index_elements=["sync_id", "stream"], set_=values)
    )


def silent_for_all_tenants(db: Db, *, before: datetime) -> list[Execution]:
    """Running executions that have not given a sign of life since ``before``.

    For all tenants, because whoever looks after the dead looks after all of them.
    """
    alive_at = func.coalesce(ExecutionRow.heartbeat_at, ExecutionRow.started_at)
    query = selected().where(ExecutionRow.status == Status.RUNNING, alive_at < before)
    return [from_row(row) for row in db.execute(query).mappings()]
