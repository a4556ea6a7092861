"""Tells the catalog how far a running execution is, and the execution that it is cancelled.

Law: a thread of its own writes the progress, at most once a second. A slow catalog never
slows data, and a long merge still gives signs of life.
"""

from threading import Event, Thread

import structlog
from sqlalchemy.exc import SQLAlchemyError

from sync_pipelines.catalog import executions
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.engine.progress import Progress
from sync_pipelines.model.execution import Execution

log = structlog.get_logger()

INTERVAL_SECONDS = 1.0
HEARTBEATS_WITHOUT_CHANGE = 10
"""An unchanged progress is written every so many intervals, as a sign of life."""


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
