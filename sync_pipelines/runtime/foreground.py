"""Runs a sync in this process, without Dagster, until its execution has ended.

Laws: a dead predecessor is settled first, and what it left to be retried is carried
on rather than begun again; a living one is left alone. Retries are waited for here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import sleep
from uuid import UUID

from connectors.errors import ConfigError
from sync_pipelines.catalog import executions
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.progress import Progress
from sync_pipelines.engine.run import Engine, NotStartedError, Report
from sync_pipelines.engine.settle import cancel, settle_lost, silent
from sync_pipelines.model.execution import Execution, Request
from sync_pipelines.model.sync import Sync
from sync_pipelines.runtime.local import LocalRun

POLL_SECONDS = 0.5


class BusyError(Exception):
    """Another execution of the sync is running; nothing was started."""


class TakenOverError(Exception):
    """While its retry was waited for here, another process took the execution up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The execution that is run here. ``is_resumed``: somebody else began it."""

    execution_id: UUID
    attempt: int
    is_resumed: bool


def claim(engine: Engine, sync: Sync, request: Request) -> Claimed:
    """An execution to run now: one that waits to be retried with this request, or a new one.

    Raises `BusyError` while another runs.
    """
    _settle_predecessor(engine, sync)
    with engine.catalog.begin() as db:
        waiting = executions.waiting(db, sync.id, tenant_id=sync.tenant_id)
    for execution in waiting:
        if execution.attempt > 1 and execution.request == request:
            return Claimed(execution_id=execution.id, attempt=execution.attempt, is_resumed=True)
    made = trigger(engine.catalog, sync, now=engine.clock(), request=request, queued=True)
    return Claimed(execution_id=made, attempt=1, is_resumed=False)


def run_claimed(
    engine: Engine,
    claimed: Claimed,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_retry: Callable[[Report], None] | None = None,
    wait: Callable[[float], None] = sleep,
) -> Report:
    """Run it, and its retries when they are due, to its end.

    Ctrl-C cancels it, and is raised again. `TakenOverError` when another process,
    such as Dagster, runs the retry that was waited for here.
    """
    attempt = claimed.attempt
    try:
        while True:
            report = _run_once(engine, claimed, attempt, on_progress)
            if report.outcome.retry_at is None:
                return report
            attempt = report.execution.attempt
            if on_retry is not None:
                on_retry(report)
            wait(max(0.0, (report.outcome.retry_at - engine.clock()).total_seconds()))
    except (KeyboardInterrupt, SystemExit):
        _give_up(engine, claimed.execution_id, attempt)
        raise


def _run_once(
    engine: Engine,
    claimed: Claimed,
    attempt: int,
    on_progress: Callable[[Progress], None] | None,
) -> Report:
    run_id = LocalRun.mine().run_id
    try:
        return engine.run(
            claimed.execution_id, attempt=attempt, run_id=run_id, on_progress=on_progress
        )
    except NotStartedError as error:
        if attempt > 1:
            raise TakenOverError(str(error)) from error
        cancel(engine.catalog, claimed.execution_id, now=engine.clock(), reason=str(error))
        raise BusyError(str(error)) from error


def follow(
    catalog: Catalog,
    execution_id: UUID,
    *,
    tenant_id: UUID,
    on_look: Callable[[HistoryEntry], None],
) -> HistoryEntry:
    """Look at an execution that runs elsewhere, until it has ended."""
    while True:
        with catalog.begin() as db:
            entry = histories.find(db, execution_id, tenant_id=tenant_id)
        if entry is None:
            raise ConfigError(f"execution {execution_id} is gone; was its sync deleted?")
        if entry.execution.status.is_final:
            return entry
        on_look(entry)
        sleep(POLL_SECONDS)


def _give_up(engine: Engine, execution_id: UUID, attempt: int) -> None:
    """Cancel an attempt that has not started; one that has was settled by the engine."""
    with engine.catalog.begin() as db:
        execution = executions.lock_for_all_tenants(db, execution_id)
    if execution is not None and execution.is_waiting and execution.attempt == attempt:
        reason = "interrupted before its next attempt; what was committed stays"
        cancel(engine.catalog, execution_id, now=engine.clock(), reason=reason)


def _settle_predecessor(engine: Engine, sync: Sync) -> None:
    with engine.catalog.begin() as db:
        before = executions.running(db, sync.id, tenant_id=sync.tenant_id)
    if before is None:
        return
    if not _is_dead(engine, before):
        since = f"{before.started_at:%Y-%m-%d %H:%M:%S} UTC" if before.started_at else "just now"
        raise BusyError(
            f"execution {before.id} of {sync.key} is running since {since} "
            f"(attempt {before.attempt}, run {before.run_id}); wait for it to end"
        )
    settle_lost(
        engine.catalog, before.id, attempt=before.attempt, now=engine.clock(), rng=engine.rng
    )


def _is_dead(engine: Engine, execution: Execution) -> bool:
    """Its process is gone, or it is somewhere else and gave no sign of life for long."""
    local = LocalRun.of(execution.run_id)
    if local is not None and local.is_dead:
        return True
    return any(one.id == execution.id for one in silent(engine.catalog, engine.clock()))
