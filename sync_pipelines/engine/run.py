"""Runs one attempt of an execution, from its claim to its settlement.

Laws: an attempt starts once, whoever asks; a stream that fails does not stop the
others; whatever happens in between, the attempt is settled in one transaction.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db

from connectors.contract import Committed, Destination, Source
from connectors.errors import ConfigError
from sync_pipelines.catalog import executions
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.clock import Clock, system_clock
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.interruption import interruption
from sync_pipelines.engine.move import move_stream
from sync_pipelines.engine.outcome import (
    ErrorClass,
    Failure,
    Outcome,
    StreamResult,
    decide,
    is_further,
)
from sync_pipelines.engine.plan import chosen_streams, plan_stream
from sync_pipelines.engine.progress import Progress, Spent
from sync_pipelines.engine.redrive import redriven
from sync_pipelines.engine.reporter import Reporter
from sync_pipelines.engine.settle import settle
from sync_pipelines.engine.surroundings import open_destination, open_source
from sync_pipelines.model.execution import Execution
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import Connection, Sync, SyncStream

log = structlog.get_logger()

SETTLED = "attempt.settled"
"""The one line that every attempt leaves in the log."""

POSTPONEMENT = timedelta(seconds=5)
"""How soon an execution whose sync was busy asks again."""


_INTERRUPTION = Failure(
    error_class=ErrorClass.CANCELLED, message="interrupted; what was committed stays"
)


class NotStartedError(Exception):
    """The attempt is not ours to run: it ran, runs, or was cancelled meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one attempt did and what becomes of the execution."""

    execution: Execution
    results: tuple[StreamResult, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What running needs from outside: the catalog, time, chance, and what may be imported."""

    catalog: Catalog
    clock: Clock = system_clock
    rng: Random
    transform_modules: tuple[str, ...] = ()

    def run(
        self,
        execution_id: UUID,
        *,
        attempt: int,
        run_id: str | None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Report:
        """Run an attempt; `NotStartedError` when it is not there to be run.

        Failures of the sync are not raised: they are the report's outcome. An
        interruption from outside settles the execution as cancelled, and goes on.
        """
        results: list[StreamResult] = []
        claimed: list[tuple[Execution, Sync | ConfigError]] = []
        progress = Progress(changed=on_progress)
        try:
            with interruption() as progress.interruption:
                self._start(execution_id, attempt, run_id, claimed)
                (execution, sync), *_ = claimed
                with Reporter(self.catalog, execution, progress, self.clock):
                    self._move_all(execution, sync, progress, results)
        except BaseException as error:  # interrupted from outside: settled, and raised again
            for execution, sync in claimed:
                if not any(result.failure is _INTERRUPTION for result in results):
                    results.append(StreamResult(stream="", failure=_broken_off(error)))
                self._settle(execution, _policy(sync), results, progress)
            raise
        return self._settle(execution, _policy(sync), results, progress)

    def _start(
        self,
        execution_id: UUID,
        attempt: int,
        run_id: str | None,
        claimed: list[tuple[Execution, Sync | ConfigError]],
    ) -> None:
        """Claim the attempt, and note what it is to do, or why that cannot be read.

        It is noted before the claim is durable: whoever is interrupted in between settles
        in vain, which changes nothing.
        """
        now = self.clock()
        try:
            with self.catalog.begin() as db:
                execution = _waiting(db, execution_id, attempt)
                started = execution.started(now, run_id)
                executions.start(db, execution, started, now=now)
                try:
                    claimed.append((started, find_sync(db, self.catalog.secrets, started.sync_key)))
                except ConfigError as error:
                    claimed.append((started, error))
        except executions.SyncBusyError as error:
            with self.catalog.begin() as db:
                execution = _waiting(db, execution_id, attempt)
                executions.save(db, execution, execution.postponed(now + POSTPONEMENT))
            raise NotStartedError(
                f"another execution of {execution.sync_key} is running; "
                f"execution {execution_id} waits for it"
            ) from error

    def _move_all(
        self,
        execution: Execution,
        sync: Sync | ConfigError,
        progress: Progress,
        results: list[StreamResult],
    ) -> None:
        """Move every stream that was asked for; one result each, in order."""
        try:
            if isinstance(sync, ConfigError):
                raise sync
            streams = chosen_streams(sync, execution.request)
            sync = replace(sync, dataset=execution.request.into or sync.dataset)
        except ConfigError as error:
            results.append(StreamResult(stream="", failure=Failure.of(error)))
            return
        progress.streams_total = len(streams)
        with ExitStack() as opened:
            ends = _Ends(self.catalog, sync, opened, progress)
            for stream in streams:
                progress.stream = stream.name
                mirror = _Mirror(self.catalog, execution, stream.name)
                try:
                    results.append(self._move_one(execution, sync, stream, ends, progress, mirror))
                except BaseException:  # what a stream did before an interruption is told too
                    results.append(mirror.result(_INTERRUPTION))
                    raise
                progress.streams_done += 1

    def _move_one(
        self,
        execution: Execution,
        sync: Sync,
        stream: SyncStream,
        ends: "_Ends",
        progress: Progress,
        mirror: "_Mirror",
    ) -> StreamResult:
        try:
            progress.note(phase="opening")
            plan = plan_stream(
                stream,
                ends.source.stream(stream.name),
                sync,
                execution,
                transform_modules=self.transform_modules,
            )
            source = ends.source
            if execution.request.redrive:
                source, plan = redriven(plan, ends.destination)
            moved = move_stream(source, ends.destination, plan, progress, mirror)
            return replace(moved, stream=stream.name, moved=mirror.has_moved)
        except Exception as error:  # the one place where any failure becomes an outcome
            progress.interruption.heed()  # it may have been made into this error
            failure = Failure.of(error)
            log.warning(
                "stream.failed",
                execution=str(execution.id),
                sync=execution.sync_key,
                stream=stream.name,
                error_class=str(failure.error_class),
                error=failure.message,
                exc_info=not failure.is_understood,
            )
            return mirror.result(failure)

    def _settle(
        self,
        execution: Execution,
        policy: RetryPolicy,
        results: Sequence[StreamResult],
        progress: Progress,
    ) -> Report:
        now = self.clock()
        outcome = decide(
            results,
            attempt=execution.attempt,
            fruitless=execution.fruitless,
            policy=policy,
            now=now,
            rng=self.rng,
        )
        with self.catalog.begin() as db:
            settled = settle(db, execution, outcome, results, now=now, spent=progress.spent)
        if settled.is_to_follow_up:
            follow_up(self.catalog, execution.id, now)
        log.info(
            SETTLED,
            execution=str(execution.id),
            tenant=execution.sync_key.partition("/")[0],
            sync=execution.sync_key,
            attempt=execution.attempt,
            status=str(settled.execution.status),
            records=sum(result.counts.processed for result in results),
            error_class=None if outcome.failure is None else str(outcome.failure.error_class),
        )
        return Report(execution=settled.execution, results=tuple(results), outcome=outcome)


def _waiting(db: Db, execution_id: UUID, attempt: int) -> Execution:
    """The execution, locked, if this attempt of it is still to be made."""
    execution = executions.lock_for_all_tenants(db, execution_id)
    if execution is None:
        raise NotStartedError(f"execution {execution_id} no longer exists")
    if execution.attempt != attempt or not execution.is_waiting:
        raise NotStartedError(
            f"execution {execution_id} is {execution.status} at attempt "
            f"{execution.attempt}; attempt {attempt} has nothing to do"
        )
    return execution


def _policy(sync: Sync | ConfigError) -> RetryPolicy:
    """The sync's policy; the usual one, where the sync cannot be read."""
    return sync.retry if isinstance(sync, Sync) else RetryPolicy()


def _broken_off(error: BaseException) -> Failure:
    """Why an attempt came to no end of its own: interrupted, or by an error outside its streams."""
    return Failure.of(error) if isinstance(error, Exception) else _INTERRUPTION


class _Mirror:
    """Keeps what a stream's destination has committed, and shows it in the catalog."""

    def __init__(self, catalog: Catalog, execution: Execution, stream: str) -> None:
        self._catalog = catalog
        self._execution = execution
        self._stream = stream
        self._first = Committed()
        self.last = Committed()

    @property
    def has_moved(self) -> bool:
        """Whether this attempt has brought the stream further."""
        return is_further(self._first, self.last)

    def result(self, failure: Failure) -> StreamResult:
        """The stream as far as it came."""
        return StreamResult(
            stream=self._stream,
            counts=self.last.counts,
            state=self.last.state,
            committed_at=self.last.committed_at,
            failure=failure,
            moved=self.has_moved,
        )

    def opened(self, committed: Committed) -> None:
        """What was there before this attempt."""
        self._first = self.last = committed

    def committed(self, committed: Committed) -> None:
        """What is there now; the finishing commit is mirrored when the attempt is settled."""
        self.last = committed
        if not committed.finished:
            with self._catalog.begin() as db:
                executions.mirror_state(db, self._execution, self._stream, committed)


class _Ends:
    """A sync's source and destination, opened when first needed, closed with the run."""

    def __init__(self, catalog: Catalog, sync: Sync, stack: ExitStack, progress: Progress) -> None:
        self._catalog = catalog
        self._sync = sync
        self._stack = stack
        self._progress = progress
        self._source: Source | None = None
        self._destination: Destination | None = None

    @property
    def source(self) -> Source:
        if self._source is None:
            end = self._sync.source
            source = open_source(self._catalog, end, spent=self._spent(end))
            self._source = self._stack.enter_context(closing(source))
        return self._source

    @property
    def destination(self) -> Destination:
        if self._destination is None:
            end = self._sync.destination
            opened = open_destination(self._catalog, end, spent=self._spent(end))
            self._destination = self._stack.enter_context(closing(opened))
        return self._destination

    def _spent(self, end: Connection) -> Spent:
        return self._progress.spent.setdefault(end.name, Spent())
