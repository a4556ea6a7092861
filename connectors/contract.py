"""The contract between external systems and everything above them.

A source turns a stream into batches; a destination gives a writer that makes
them durable. Four laws hold for every pair:

* Data, counts and state become durable in one transaction, or not at all.
* A batch's ``state`` is true only once that batch and all before it are durable.
* State belongs to the destination: what it has committed is where reading goes on.
* Nothing is altered on the way: integers stay exact, decimals stay decimals,
  timestamps keep their zone and microseconds, NULL stays NULL.

The order of calls, for one stream::

    writer = destination.open(target)
    if not (writer.committed.finished and writer.committed.execution == target.execution):
        for batch in source.read(selection, writer.committed.state, encoding):
            writer.write(batch)
            if batch.state is not None:
                writer.commit(batch.state)
        writer.commit(None, finished=True)
    writer.close()

A writer that is closed, or dies, without a commit leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from connectors.described import Schema
from connectors.durable import Committed as Committed
from connectors.durable import Counts as Counts
from connectors.durable import Greatest as Greatest
from connectors.durable import Json as Json
from connectors.durable import State as State
from connectors.late import pa
from connectors.schema_policy import OnConflict, SchemaPolicy


class SyncMode(StrEnum):
    """How much of a stream is read."""

    FULL = "full"
    INCREMENTAL = "incremental"


class WriteMode(StrEnum):
    """What becomes of the records already at the destination.

    ``append`` adds every version of a record once; ``upsert`` keeps one record a
    key, the newest; ``replace`` swaps the whole table when all of it has arrived.
    """

    APPEND = "append"
    UPSERT = "upsert"
    REPLACE = "replace"


class Deletes(StrEnum):
    """What becomes of records that a full read no longer finds, or the source says are gone.

    ``soft`` sets ``_deleted_at`` (and clears it when the record comes back).
    """

    KEEP = "keep"
    SOFT = "soft"
    HARD = "hard"


class Encoding(StrEnum):
    """How a batch's records are carried.

    Arrow is spoken by everyone. ``pgcopy`` is PostgreSQL's COPY BINARY format,
    passed from server to server without being decoded.
    """

    ARROW = "arrow"
    PGCOPY = "pgcopy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One named flow of records, as the source offers it now.

    ``ordered`` says that the source can serve records in (cursor, key) order at no
    great cost, so that a long read may be checkpointed on the way. ``tells_deletes`` says
    that its batches tell which records are gone. ``note`` tells a
    person what the stream cannot do, and why. A field of ``schema`` may carry the
    source's own type in its metadata, see `connectors.arrow`; `arrow_schema` makes a
    schema that is only described Arrow's own.
    """

    name: str
    schema: Schema
    primary_key: tuple[str, ...] = ()
    cursor_field: str | None = None
    ordered: bool = False
    tells_deletes: bool = False
    modes: frozenset[SyncMode] = frozenset(SyncMode)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A half-open range of cursor values, ``start <= cursor < end``, as the source spells them."""

    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of a stream is to be read.

    ``stream`` already holds only the selected columns, and the key and cursor that
    the tenant chose. An incremental read starts ``lag`` before the state, so that
    rows which were committed late are seen. A read of a ``window`` moves no state.
    ``row_filter`` is a condition in the source's own language.
    """

    stream: Stream
    mode: SyncMode
    row_filter: str | None = None
    lag: timedelta = timedelta(0)
    window: Window | None = None
    batch_rows: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One record that could not be used: its key, and why; neither tells its content.

    ``payload`` is the record itself as JSON text, for the destination's eyes only, where
    the source could still spell it; see `connectors.payload`.
    """

    key: str
    reason: str
    payload: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PgCopy:
    """One complete COPY BINARY stream (header to trailer) of these columns."""

    columns: tuple[str, ...]
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records to be written together, and what is true once they are durable.

    ``state`` None means: no checkpoint here. Arrow data may have columns that the
    target lacks; the writer adds them. ``deleted`` are keys of records that are gone since
    what this batch and those before it have brought; a later batch may bring them back.
    """

    data: pa.Table | PgCopy
    state: State | Greatest | None = None
    rejected: tuple[Rejection, ...] = ()
    deleted: pa.Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where and how one stream is written.

    ``owner`` ("tenant/sync") and ``stream`` name the state; ``execution`` names the
    occurrence, so that one which died after its last commit is not done twice.
    ``complete`` says that the read brings every record there is: only then may
    missing ones be taken for deleted. ``distinct`` says that a record which
    comes again was read again, as in every incremental read: the same key and cursor
    are one record, and without a key a row is there as often as the source has it.
    ``cursor_field`` decides which of two records with one key is newer. ``restart``
    begins at the beginning, whatever another execution has committed. ``redriven`` are
    ids of rows in ``_rejected`` whose records this execution brings again: they go with
    its commit, and come back where a record is rejected again. ``schema_policy`` and
    ``on_conflict`` say what other columns than the table's do; see `connectors.schema_policy`.
    More than ``most_deleted_percent`` of the records are deleted only with
    ``confirm_deletes``; see `connectors.deleting`.
    """

    owner: str
    stream: str
    execution: str
    dataset: str
    table: str
    schema: Schema
    write_mode: WriteMode
    primary_key: tuple[str, ...] = ()
    cursor_field: str | None = None
    complete: bool = False
    distinct: bool = True
    deletes: Deletes = Deletes.KEEP
    allow_empty: bool = False
    restart: bool = False
    redriven: tuple[str, ...] = ()
    schema_policy: SchemaPolicy = SchemaPolicy.EVOLVE
    on_conflict: OnConflict = OnConflict.FAIL
    most_deleted_percent: int = 20
    confirm_deletes: bool = False

    @property
    def shapes(self) -> bool:
        """Whether arriving columns may become other ones than they are."""
        usual = (SchemaPolicy.EVOLVE, OnConflict.FAIL)
        return (self.schema_policy, self.on_conflict) != usual

    @property
    def heeds_deletes(self) -> bool:
        """Whether what the source says is gone is deleted here."""
        return self.write_mode is WriteMode.UPSERT and self.deletes is not Deletes.KEEP

    @property
    def fixed(self) -> tuple[str, ...]:
        """The columns that stay what they are: key and cursor."""
        return (*self.primary_key, *((self.cursor_field,) if self.cursor_field else ()))


class Source(Protocol):
    """One opened system to read from."""

    def check(self) -> str:
        """Connect, and say in one line to what; raises `ConfigError` or `TransientError`."""
        ...

    def discover(self) -> Sequence[Stream]:
        """Every stream there is, ordered by name."""
        ...

    def stream(self, name: str) -> Stream:
        """One stream; `ConfigError` naming the nearest ones when there is none of that name."""
        ...

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """What this selection can be served in, best first; Arrow is always among them."""
        ...

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records after ``state``, lazily, in memory that does not grow with them.

        Records at the edge of the state come again (equal cursors, the lag): it is
        the writer that keeps one of each. Whatever was read, the last batch carries
        the state to continue from, unless the read has a window or the stream no
        cursor.
        """
        ...

    def close(self) -> None:
        """Release connections; safe to call twice."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """What a source may be besides: one whose read can be ended while it waits."""

    def interrupt(self) -> None:
        """Make a read that waits in another thread end soon, in an error; else do nothing."""
        ...


class Writer(Protocol):
    """One stream being written, by one execution, in transactions."""

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        ...

    def write(self, batch: Batch) -> None:
        """Stage a batch: not visible to readers, not durable yet."""
        ...

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Make all that was staged durable, with counts and state, in one transaction.

        So are the rejected records, in the dataset's table ``_rejected``: see
        `connectors.rejected`. ``state`` None keeps the committed one. Raises
        `TransientError` when another writer has moved this stream's state meanwhile:
        then nothing was committed.
        Replacing writers accept one commit only, the finishing one.
        """
        ...

    def close(self) -> None:
        """Release; what was not committed is gone. Safe to call twice."""
        ...


@runtime_checkable
class Refusing(Protocol):
    """What a writer may be besides: one whose system may itself refuse records."""

    @property
    def refused(self) -> Sequence[Rejection]:
        """The records that the last commit could not write; its counts have them as rejected."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChanges:
    """What became of a table's columns, by their names."""

    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()


@runtime_checkable
class Evolving(Protocol):
    """What a writer may be besides: one that knows how it has changed a table that was there."""

    @property
    def changed(self) -> ColumnChanges:
        """What its commits have done to the columns, all together."""
        ...


class Destination(Protocol):
    """One opened system to write to."""

    def check(self) -> str:
        """Connect, and say in one line to what; raises `ConfigError` or `TransientError`."""
        ...

    def encodings(self, target: Target) -> Sequence[Encoding]:
        """What this target can be written in, best first; Arrow is always among them."""
        ...

    def open(self, target: Target, encoding: Encoding) -> Writer:
        """Start writing; creates and widens the table as the first commit needs it."""
        ...

    def read_table(self, dataset: str, table: str) -> pa.Table:
        """A whole table as Arrow, for transforms and reports downstream."""
        ...

    def close(self) -> None:
        """Release connections; safe to call twice."""
        ...
