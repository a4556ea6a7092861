"""Writes down how an attempt ended: by itself, or because somebody found it dead.

Law: an attempt is settled once. Whoever comes second finds another status or
attempt, and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db

from connectors.contract import Committed, Counts
from connectors.errors import ConfigError
from sync_pipelines.catalog import endings, executions
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.cancelling import cancel_one
from sync_pipelines.engine.outcome import ErrorClass, Failure, Outcome, StreamResult, decide
from sync_pipelines.engine.progress import Spent
from sync_pipelines.engine.telling import tell
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.retry import RetryPolicy

log = structlog.get_logger()

NOTHING_SPENT: Mapping[str, Spent] = MappingProxyType({})

SILENT_AFTER = timedelta(minutes=2)
"""A running execution with no sign of life for so long, and no Dagster run, is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An execution as it is once an attempt was settled.

    It need not be followed up if it has not ended, or if nothing comes of its end.
    """

    execution: Execution
    is_to_follow_up: bool


def settle(
    db: Db,
    execution: Execution,
    outcome: Outcome,
    results: Sequence[StreamResult],
    *,
    now: datetime,
    spent: Mapping[str, Spent] = NOTHING_SPENT,
) -> Settled:
    """Store an attempt's outcome, and tell of it; what has become of the execution.

    To be called last in its transaction: it may hold the incident of the cause.
    ``spent`` is what the calls of the attempt came to, by connection.
    """
    after = _after(execution, outcome, now)
    if not put(db, execution, after, outcome, results, now=now, spent=spent):
        log.warning("execution.settled_by_another", execution=str(execution.id))
        found = executions.lock_for_all_tenants(db, execution.id) or after
        return Settled(execution=found, is_to_follow_up=found.status.is_final)
    unnoticed = after.status is Status.COMPLETED and endings.mark_unnoticed(db, after, now=now)
    if not unnoticed:
        tell(db, after, now)
    failure = outcome.failure
    log.info(
        "execution.settled",
        execution=str(execution.id),
        sync=execution.sync_key,
        trigger=str(execution.trigger),
        attempt=execution.attempt,
        status=str(after.status),
        retry_at=outcome.retry_at.isoformat() if outcome.retry_at else None,
        records=sum(result.counts.processed for result in results),
        seconds=round(_lasted(execution, now).total_seconds(), 3),
        error_class=str(failure.error_class) if failure else None,
        warning=outcome.warning,
    )
    return Settled(execution=after, is_to_follow_up=after.status.is_final and not unnoticed)


def put(
    db: Db,
    execution: Execution,
    after: Execution,
    outcome: Outcome,
    results: Sequence[StreamResult],
    *,
    now: datetime,
    spent: Mapping[str, Spent] = NOTHING_SPENT,
) -> bool:
    """Store what became of an attempt and where its streams are; False when somebody was first.

    A final outcome is stored as told: in the same transaction it is, or is marked as untold.
    """
    columns: dict[str, Any] = {
        "error_message": outcome.failure.message if outcome.failure else None,
        "error_details": _details(results, outcome),
        "progress": {},
    }
    if results:
        counts = sum((result.counts for result in results), Counts())
        columns |= executions.count_columns(counts)
        columns["metadata"] = {"streams": [_stream(result) for result in results]}
        if outcome.warning is not None:
            columns["metadata"]["warning"] = outcome.warning
        changes = _schema_changes(results)
        if changes:
            columns["metadata"]["schema_changes"] = changes
        if calls := _calls(spent):
            columns["metadata"]["api"] = calls
    if after.status.is_final:
        columns["duration_ms"] = int(_lasted(execution, now).total_seconds() * 1000)
        columns["told_at"] = now
    attempted = _attempt(execution, outcome, now, spent)
    if not executions.save(db, execution, after, attempted=attempted, **columns):
        return False
    for result in results:
        held = Committed(state=result.state, committed_at=result.committed_at)
        executions.mirror_state(db, execution, result.stream, held)
    return True


def settle_lost(
    catalog: Catalog,
    execution_id: UUID,
    *,
    attempt: int,
    now: datetime,
    rng: Random,
    cancelled: bool = False,
    reason: str = "",
) -> Execution | None:
    """Settle an attempt whose process can no longer do it: killed, lost, or cancelled.

    What it committed stays, and a retry goes on from there. None when the attempt
    had been settled already.
    """
    with catalog.begin() as db:
        execution = executions.lock_for_all_tenants(db, execution_id)
        if execution is None or execution.attempt != attempt or execution.status.is_final:
            return None
        if execution.status is Status.PENDING:
            return None
        kind = ErrorClass.CANCELLED if cancelled else ErrorClass.LOST
        message = reason or "the process that ran it ended without a word"
        lost = StreamResult(
            stream="",
            failure=Failure(error_class=kind, message=message),
            moved=_has_moved(db, execution),
        )
        outcome = decide(
            [lost],
            attempt=attempt,
            fruitless=execution.fruitless,
            policy=_policy(db, catalog, execution),
            now=now,
            rng=rng,
        )
        settled = settle(db, execution, outcome, (), now=now)
    if settled.is_to_follow_up:
        follow_up(catalog, execution_id, now)
    return settled.execution


def cancel(
    catalog: Catalog,
    execution_id: UUID,
    *,
    now: datetime,
    tenant_id: UUID | None = None,
    reason: str = "cancelled before it started",
) -> Execution | None:
    """Cancel: at once if it waits, at its next batch if it runs. None if it was over.

    Where a person asks, ``tenant_id`` is theirs, and no other tenant's is found.
    """
    with catalog.begin() as db:
        execution = executions.lock_for_all_tenants(db, execution_id)
        if execution is None or execution.status.is_final:
            return None
        if tenant_id is not None and execution.tenant_id != tenant_id:
            return None
        return cancel_one(db, execution, now=now, reason=reason)


def silent(catalog: Catalog, now: datetime) -> list[Execution]:
    """Running executions that have given no sign of life for `SILENT_AFTER`."""
    with catalog.begin() as db:
        return executions.silent_for_all_tenants(db, before=now - SILENT_AFTER)


def _after(execution: Execution, outcome: Outcome, now: datetime) -> Execution:
    if outcome.status is not Status.PENDING:
        return execution.ended(outcome.status, now)
    assert outcome.retry_at is not None
    return execution.to_retry(outcome.retry_at, moved=outcome.moved)


def _lasted(execution: Execution, now: datetime) -> timedelta:
    return now - (execution.started_at or now)


def _has_moved(db: Db, execution: Execution) -> bool:
    """Whether data became durable after a lost attempt had been handed over."""
    committed_at = endings.last_commit(db, execution)
    since = execution.queued_at or execution.started_at or execution.created_at
    return committed_at is not None and committed_at >= since


def _policy(db: Db, catalog: Catalog, execution: Execution) -> RetryPolicy:
    """The sync's policy; the usual one, where its configuration cannot be read."""
    try:
        return find_sync(db, catalog.secrets, execution.sync_key).retry
    except ConfigError:
        return RetryPolicy()


def _attempt(
    execution: Execution, outcome: Outcome, now: datetime, spent: Mapping[str, Spent]
) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "attempt": execution.attempt,
        "run_id": execution.run_id,
        "ended_at": now.isoformat(),
        "status": "retried" if outcome.retry_at else str(outcome.status),
        "retry_at": outcome.retry_at.isoformat() if outcome.retry_at else None,
        "error_class": str(failure.error_class) if failure else None,
        "error": failure.message if failure else None,
        **({"api": calls} if (calls := _calls(spent)) else {}),
    }


def _calls(spent: Mapping[str, Spent]) -> dict[str, Any]:
    """The figures of connections that were called at all."""
    return {
        name: {
            "calls": one.calls,
            "throttles": one.throttles,
            "waited_seconds": round(one.waited.total_seconds(), 3),
            "remaining": one.remaining,
        }
        for name, one in sorted(spent.items())
        if one.calls
    }


def _details(results: Sequence[StreamResult], outcome: Outcome) -> dict[str, Any] | None:
    if outcome.failure is None:
        return None
    return {
        "error_class": str(outcome.failure.error_class),
        "streams": {
            result.stream: {
                "error_class": str(result.failure.error_class),
                "message": result.failure.message,
            }
            for result in results
            if result.failure
        },
    }


def _schema_changes(results: Sequence[StreamResult]) -> dict[str, Any]:
    """What became of the columns of tables that were there, by stream."""
    return {
        result.stream: {
            "added": list(result.columns_added),
            "widened": list(result.columns_widened),
        }
        for result in results
        if result.columns_added or result.columns_widened
    }


def _stream(result: StreamResult) -> dict[str, Any]:
    return {
        "stream": result.stream,
        "status": "failed" if result.failure else "completed",
        "encoding": str(result.encoding),
        "seconds": round(result.seconds, 6),
        "watermark_from": result.state_from,
        "watermark_to": result.watermark,
        "rejections": list(result.rejections),
        **executions.count_columns(result.counts),
    }
