"""Live progress of a running execution, and the ear for "cancel".

Law: the mover only updates numbers in memory and looks at a flag; a thread of its
own writes them to the catalog, at most once a second. A slow catalog never slows
data, and a long merge still gives signs of life.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

import structlog
from sqlalchemy.exc import SQLAlchemyError

from connectors.contract import Batch, Counts, PgCopy
from sync_pipelines.catalog import executions
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.model.execution import Execution

log = structlog.get_logger()

INTERVAL_SECONDS = 1.0
HEARTBEATS_WITHOUT_CHANGE = 10
"""An unchanged progress is written every so many intervals, as a sign of life."""


class CancelledError(Exception):
    """The tenant asked to stop; what was committed stays."""


@dataclass(slots=True)
class Progress:
    """Where a running execution stands. Written by the mover, read by the reporter."""

    phase: str = "starting"
    stream: str = ""
    streams_done: int = 0
    streams_total: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    counts: Counts = field(default_factory=Counts)
    cancelled: Event = field(default_factory=Event)
    changed: Callable[["Progress"], None] | None = None
    _lock: Lock = field(default_factory=Lock)

    def note(self, *, phase: str | None = None, rows: int = 0, size: int = 0) -> None:
        """Add to the numbers; raises `CancelledError` if the tenant asked to stop."""
        with self._lock:
            self.phase = phase or self.phase
            self.rows_read += rows
            self.bytes_read += size
        if self.changed is not None:
            self.changed(self)
        if self.cancelled.is_set():
            raise CancelledError("cancelled on request; what was committed stays")

    def metered(self, batch: Batch) -> Batch:
        """The batch, counted; one that is still to be streamed is counted as it flows."""
        if isinstance(batch.data, PgCopy):
            data = PgCopy(columns=batch.data.columns, chunks=self._chunks(batch.data.chunks))
            return Batch(data=data, state=batch.state, rejected=batch.rejected)
        self.note(rows=batch.data.num_rows, size=batch.data.nbytes)
        return batch

    def _chunks(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.note(size=len(chunk))
            yield chunk

    def snapshot(self) -> dict[str, object]:
        """What the execution's row shows."""
        with self._lock:
            return {
                "phase": self.phase,
                "stream": self.stream,
                "streams_done": self.streams_done,
                "streams_total": self.streams_total,
                "rows_read": self.rows_read,
                "bytes_read": self.bytes_read,
            }


class Reporter:
    """Writes progress to the execution's row while a ``with`` block runs."""

    def __init__(
        self, catalog: Catalog, execution: Execution, progress: Progress, clock: Clock
    ) -> None:
        self._catalog = catalog
        self._execution = execution
        self._progress = progress
        self._clock = clock
        self._done = Event()
        self._thread = Thread(target=self._report, name="progress", daemon=True)

    def __enter__(self) -> "Reporter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _report(self) -> None:
        written, idle = self._progress.snapshot(), 0
        while not self._done.wait(INTERVAL_SECONDS):
            now, idle = self._progress.snapshot(), idle + 1
            if now == written and idle < HEARTBEATS_WITHOUT_CHANGE:
                continue
            if self._write(now):
                written, idle = now, 0

    def _write(self, snapshot: dict[str, object]) -> bool:
        try:
            with self._catalog.begin() as db:
                cancelled = executions.beat(
                    db,
                    self._execution,
                    progress=snapshot,
                    counts=self._progress.counts,
                    now=self._clock(),
                )
        except SQLAlchemyError as error:
            # Progress is for people; the data goes on without it.
            log.warning("progress.unwritten", execution=str(self._execution.id), error=str(error))
            return False
        if cancelled:
            self._progress.cancelled.set()
        return True
