"""Moves one stream: reads batches, writes them, commits data, counts and state together."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from connectors.contract import (
    Batch,
    ColumnChanges,
    Committed,
    Counts,
    Destination,
    Encoding,
    Evolving,
    Interruptible,
    PgCopy,
    Refusing,
    Rejection,
    Source,
    Writer,
)
from connectors.errors import ContractError
from sync_pipelines import tracing
from sync_pipelines.engine.outcome import StreamResult
from sync_pipelines.engine.plan import StreamPlan
from sync_pipelines.engine.prefetch import read_ahead
from sync_pipelines.engine.progress import Progress

CHECKPOINT_ROWS = 50_000
CHECKPOINT_SECONDS = 10.0
"""A batch that offers a checkpoint is committed when so much waits, or so long."""

KEPT_REJECTIONS = 20
"""Rejected records of a stream that its result names; all of them are counted."""


class Mirror(Protocol):
    """Is told what a stream's destination holds, so that the catalog can show it."""

    def opened(self, committed: Committed) -> None:
        """What was there before."""
        ...

    def committed(self, committed: Committed) -> None:
        """What a commit made true."""
        ...


def agree(source: Source, destination: Destination, plan: StreamPlan) -> Encoding:
    """The first encoding that the source offers and the destination accepts.

    What is mapped or transformed is decoded on the way, so it comes as Arrow.
    """
    if plan.decodes:
        return Encoding.ARROW
    accepted = destination.encodings(plan.target)
    for encoding in source.encodings(plan.selection):
        if encoding in accepted:
            return encoding
    raise ContractError(f"no encoding in common for stream {plan.target.stream!r}")


def move_stream(
    source: Source,
    destination: Destination,
    plan: StreamPlan,
    progress: Progress,
    mirror: Mirror,
) -> StreamResult:
    """Bring one stream's destination up to date; raises what its connectors raise.

    An execution that finished this stream before it died finds that out here, and
    does not do it again.
    """
    started = monotonic()
    encoding = agree(source, destination, plan)
    with (
        tracing.span("stream", stream=plan.target.stream, encoding=str(encoding)) as span,
        closing(destination.open(plan.target, encoding)) as writer,
    ):
        before = writer.committed
        mirror.opened(before)
        mover = _Mover(writer=writer, plan=plan, progress=progress, mirror=mirror)
        if not before.finished:
            mover.copy(source, encoding)
        done = writer.committed
        changed = writer.changed if isinstance(writer, Evolving) else ColumnChanges()
        span.note(records=done.counts.processed)
    return StreamResult(
        stream=plan.target.stream,
        counts=done.counts,
        encoding=encoding,
        seconds=monotonic() - started,
        state=done.state,
        state_from=before.state.watermark if before.state else None,
        committed_at=done.committed_at,
        rejections=tuple(mover.rejections),
        columns_added=changed.added,
        columns_widened=changed.widened,
    )


@dataclass(slots=True, kw_only=True)
class _Mover:
    """One pass over one stream."""

    writer: Writer
    plan: StreamPlan
    progress: Progress
    mirror: Mirror
    rejections: list[str] = field(default_factory=list)
    moved_before: Counts = field(default_factory=Counts)
    _waiting_rows: int = 0
    _committed_at: float = field(default_factory=monotonic)

    def copy(self, source: Source, encoding: Encoding) -> None:
        """Read, write and commit until the source has no more."""
        self.moved_before = self.progress.counts
        batches = source.read(self.plan.selection, self.writer.committed.state, encoding)
        if self.plan.decodes:
            batches = _changed(self.plan, batches)
        # Raw bytes are streamed as they are written; only decoded batches are read ahead.
        reading: AbstractContextManager[Iterator[Batch]] = nullcontext(batches)
        if encoding is Encoding.ARROW:
            interrupt = source.interrupt if isinstance(source, Interruptible) else None
            reading = read_ahead(
                batches, size=_held, interrupt=interrupt, waiting=self.progress.note
            )
        last: Batch | None = None
        self.progress.note(phase="reading")
        with reading as found:
            for batch in tracing.each("stream.read", found):
                # The last checkpoint goes with the finishing commit: one transaction less.
                if last is not None and self._is_due(last):
                    self._commit(last, finished=False)
                self._write(batch)
                last = batch
        self._commit(last, finished=True)

    def _write(self, batch: Batch) -> None:
        with tracing.span("stream.write"):
            self.writer.write(self.progress.metered(batch))
        self._waiting_rows += 0 if isinstance(batch.data, PgCopy) else batch.data.num_rows
        self._name(batch.rejected)

    def _name(self, rejected: Sequence[Rejection]) -> None:
        self.rejections += [f"{r.key}: {r.reason}" for r in rejected]
        del self.rejections[KEPT_REJECTIONS:]

    def _is_due(self, batch: Batch) -> bool:
        """Whether to commit at this batch's checkpoint, if it is one."""
        if batch.state is None:
            return False
        return (
            isinstance(batch.data, PgCopy)
            or self._waiting_rows >= CHECKPOINT_ROWS
            or monotonic() - self._committed_at >= CHECKPOINT_SECONDS
        )

    def _commit(self, batch: Batch | None, *, finished: bool) -> None:
        self.progress.note(phase="committing")
        with tracing.span("stream.commit"):
            done = self.writer.commit(batch.state if batch else None, finished=finished)
        if isinstance(self.writer, Refusing):
            self._name(self.writer.refused)
        self._waiting_rows, self._committed_at = 0, monotonic()
        self.progress.counts = self.moved_before + done.counts
        self.mirror.committed(done)
        self.progress.note(phase="reading")


def _held(batch: Batch) -> int:
    """Bytes of its records in memory."""
    return 0 if isinstance(batch.data, PgCopy) else batch.data.nbytes


def _changed(plan: StreamPlan, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Each batch mapped and transformed; it ends the reading with itself."""
    try:
        for batch in batches:
            yield plan.changed(batch)
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
