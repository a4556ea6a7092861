"""Live progress of a running execution: numbers in memory, and the flag for "cancel".

Law: nothing here waits for anything; `engine.reporter` tells the catalog.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Event, Lock

from connectors.contract import Batch, Counts, PgCopy
from connectors.surroundings import Heard
from sync_pipelines.engine.interruption import Interruption


class CancelledError(Exception):
    """The tenant asked to stop; what was committed stays."""


@dataclass(slots=True)
class Spent:
    """What one connection's calls to its provider came to; ``remaining`` as it said last."""

    calls: int = 0
    throttles: int = 0
    waited: timedelta = timedelta(0)
    remaining: int | None = None
    _lock: Lock = field(default_factory=Lock)

    def add(self, heard: Heard) -> None:
        """Count these too; from any thread."""
        with self._lock:
            self.calls += heard.calls
            self.throttles += heard.throttles
            self.waited += heard.waited
            if heard.remaining is not None:
                self.remaining = heard.remaining


@dataclass(slots=True)
class Progress:
    """Where a running execution stands. Written by the mover, read by the reporter.

    ``spent`` is by the connection's name.
    """

    phase: str = "starting"
    stream: str = ""
    streams_done: int = 0
    streams_total: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    counts: Counts = field(default_factory=Counts)
    cancelled: Event = field(default_factory=Event)
    changed: Callable[["Progress"], None] | None = None
    interruption: Interruption = field(default_factory=Interruption)
    spent: dict[str, Spent] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def note(self, *, phase: str | None = None, rows: int = 0, size: int = 0) -> None:
        """Add to the numbers; raises `CancelledError` if the tenant asked to stop.

        Whoever waits calls it now and then, so that it can be told to stop meanwhile.
        """
        with self._lock:
            self.phase = phase or self.phase
            self.rows_read += rows
            self.bytes_read += size
        if self.changed is not None:
            self.changed(self)
        self.interruption.heed()
        if self.cancelled.is_set():
            raise CancelledError("cancelled on request; what was committed stays")

    def metered(self, batch: Batch) -> Batch:
        """The batch, counted; one that is still to be streamed is counted as it flows."""
        if isinstance(batch.data, PgCopy):
            data = PgCopy(columns=batch.data.columns, chunks=self._chunks(batch.data.chunks))
            return replace(batch, data=data)
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
