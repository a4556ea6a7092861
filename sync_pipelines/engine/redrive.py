"""Sends rejected records through again: from the destination's ``_rejected``, as they were read.

Laws: what gets through leaves ``_rejected`` in the transaction that writes it, and what
does not is there again with its new reason; no state moves; an older version of a record
never replaces a newer one that has arrived meanwhile, because it meets it by the cursor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from connectors.contract import (
    Batch,
    Deletes,
    Destination,
    Encoding,
    Rejection,
    Selection,
    State,
    Stream,
    WriteMode,
)
from connectors.described import arrow_schema
from connectors.errors import ConfigError
from connectors.late import pa
from connectors.payload import records_of
from connectors.rejected import RejectedRecord, read_rejected
from sync_pipelines.engine.plan import StreamPlan

BATCH_ROWS = 5_000


def redriven(plan: StreamPlan, destination: Destination) -> "tuple[Rejected, StreamPlan]":
    """The records to send again as a source, and how they are written."""
    target = plan.target
    found = read_rejected(destination, target.dataset, owner=target.owner, streams=(target.stream,))
    records = tuple(one for one in found if one.is_replayable)
    mode = target.write_mode
    if mode is WriteMode.REPLACE:
        # A few records are added to the table, and do not become all of it.
        mode = WriteMode.UPSERT if target.primary_key else WriteMode.APPEND
    written = replace(
        target,
        write_mode=mode,
        complete=False,
        distinct=True,
        deletes=Deletes.KEEP,
        restart=False,
        redriven=tuple(one.id for one in records),
    )
    source = Rejected(offered=plan.selection.stream, records=records)
    return source, replace(plan, target=written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Rejected records of one stream as a source."""

    offered: Stream
    records: tuple[RejectedRecord, ...]

    def check(self) -> str:
        """See `Source.check`."""
        return f"{len(self.records)} rejected records"

    def discover(self) -> Sequence[Stream]:
        """See `Source.discover`."""
        return (self.offered,)

    def stream(self, name: str) -> Stream:
        """See `Source.stream`."""
        if name != self.offered.name:
            raise ConfigError(f"there is no stream {name!r}; there is {self.offered.name!r}")
        return self.offered

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """See `Source.encodings`."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records; one that cannot be read as the stream is now is rejected again."""
        for start in range(0, len(self.records), BATCH_ROWS):
            yield self._batch(self.records[start : start + BATCH_ROWS])

    def _batch(self, records: Sequence[RejectedRecord]) -> Batch:
        sound, rejected = [arrow_schema(self.offered.schema).empty_table()], []
        for record in records:
            try:
                sound.append(records_of([record.payload or ""], self.offered.schema))
            except (ValueError, TypeError, pa.ArrowException):
                again = Rejection(key=record.key, reason=record.reason, payload=record.payload)
                rejected.append(again)
        return Batch(data=pa.concat_tables(sound), rejected=tuple(rejected))

    def close(self) -> None:
        """See `Source.close`; there is nothing to release."""
