"""A destination on plain Python data: the contract's writing side in its smallest form.

Law: a commit builds what is to be stored beside what is stored, and puts it in place,
with counts and state, in one assignment under one lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TypeAlias

import pyarrow as pa

from connectors.arrow import evolved
from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Deletes,
    Encoding,
    Greatest,
    PgCopy,
    Rejection,
    State,
    Target,
    WriteMode,
)
from connectors.described import Schema, arrow_schema
from connectors.errors import ConfigError, ContractError, TransientError
from connectors.rejected import (
    COLUMNS,
    MOST_KEPT,
    REJECTED_TABLE,
    RejectedRecord,
    kept,
    rejected_schema,
    replaces,
)
from connectors.schema_policy import SchemaPolicy, Shape, refuse_vanished, shaped
from connectors.testing.faults import Point, Script
from connectors.testing.memory_merge import DELETED_AT, Key, key_of, merged
from connectors.testing.memory_source import Record, system_time

Place: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """A stored table."""

    schema: pa.Schema
    records: tuple[Record, ...] = ()

    def as_arrow(self) -> pa.Table:
        """The table in Arrow."""
        return pa.Table.from_pylist(list(self.records), schema=self.schema)


@dataclass(slots=True)
class MemoryStore:
    """What is durable; outlives the destinations opened on it."""

    tables: dict[tuple[str, str], MemoryTable] = field(default_factory=dict)
    states: dict[Place, Committed] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def records(self, dataset: str, table: str) -> Sequence[Record] | None:
        """A table's records, or None when there is no such table."""
        found = self.tables.get((dataset, table))
        return None if found is None else found.records


@dataclass(slots=True)
class MemoryDestination:
    """Writes to a `MemoryStore`."""

    store: MemoryStore
    script: Script = field(default_factory=Script)
    clock: Callable[[], datetime] = system_time

    def check(self) -> str:
        """See `Destination.check`."""
        return f"{len(self.store.tables)} tables in memory"

    def encodings(self, target: Target) -> Sequence[Encoding]:
        """See `Destination.encodings`."""
        return (Encoding.ARROW,)

    def open(self, target: Target, encoding: Encoding) -> "MemoryWriter":
        """See `Destination.open`."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"memory speaks Arrow only, and was asked for {encoding}")
        if target.write_mode is WriteMode.UPSERT and not target.primary_key:
            raise ConfigError(f"stream {target.stream!r} has no primary_key to upsert by")
        return MemoryWriter(destination=self, target=target)

    def read_table(self, dataset: str, table: str) -> pa.Table:
        """See `Destination.read_table`."""
        found = self.store.tables.get((dataset, table))
        if found is None:
            known = ", ".join(".".join(place) for place in self.store.tables) or "none"
            raise ConfigError(f"there is no table {dataset}.{table}; there are: {known}")
        return found.as_arrow()

    def close(self) -> None:
        """See `Destination.close`; there is nothing to release."""


class MemoryWriter:
    """One execution writing one stream."""

    def __init__(self, *, destination: MemoryDestination, target: Target) -> None:
        self._store = destination.store
        self._script = destination.script
        self._clock = destination.clock
        self._target = target
        self._place = (target.dataset, target.owner, target.stream)
        self._table = (target.dataset, target.table)
        self._is_whole = target.write_mode is WriteMode.REPLACE or (
            target.write_mode is WriteMode.APPEND and not target.distinct
        )
        self._known = self._store.states.get(self._place)
        held = self._known if self._known and self._table in self._store.tables else Committed()
        self._committed = held.resumed_by(target.execution, restart=target.restart)
        self._staged: list[pa.Table] = []
        self._rejected: list[Rejection] = []
        self._gone: set[Key] = set()

    @property
    def committed(self) -> Committed:
        """See `Writer.committed`."""
        return self._committed

    def write(self, batch: Batch) -> None:
        """See `Writer.write`."""
        self._script.reach(Point.WRITE)
        if isinstance(batch.data, PgCopy):
            raise ContractError("this writer was opened for Arrow and was given pgcopy")
        self._staged.append(batch.data)
        self._rejected += batch.rejected
        for record in batch.data.to_pylist() if self._gone else ():
            self._gone.discard(key_of(record, self._target))
        if batch.deleted is not None and self._target.heeds_deletes:
            self._gone |= {key_of(one, self._target) for one in batch.deleted.to_pylist()}

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """See `Writer.commit`."""
        if self._is_whole and not finished:
            raise ContractError("what is written as a whole is committed once, when all is there")
        self._script.reach(Point.BEFORE_COMMIT)
        with self._store.lock:
            if self._store.states.get(self._place) is not self._known:
                raise TransientError(
                    f"another writer has moved the state of {self._target.stream!r}; "
                    "nothing of this one was committed"
                )
            table, done, rejections = self._merged(finished=finished)
            self._committed = Committed(
                state=self._state(state),
                execution=self._target.execution,
                finished=finished,
                counts=self._committed.counts + done,
                committed_at=self._clock(),
            )
            self._store.tables[self._table] = table
            self._set_aside(rejections, complete=finished and self._target.complete)
            self._store.states[self._place] = self._known = self._committed
        self._staged, self._rejected, self._gone = [], [], set()
        self._script.reach(Point.AFTER_COMMIT)
        return self._committed

    def close(self) -> None:
        """See `Writer.close`."""
        self._staged, self._rejected = [], []

    def _set_aside(self, rejections: Sequence[Rejection], *, complete: bool) -> None:
        """See `connectors.rejected`."""
        place = (self._target.dataset, REJECTED_TABLE)
        held = self._store.tables.get(place)
        if held is None and not rejections:
            return
        new = kept(
            rejections[:MOST_KEPT],
            max(0, len(rejections) - MOST_KEPT),
            target=self._target,
            at=self._clock(),
        )
        stays = [old for old in _rows(held) if not self._is_done(old, complete=complete)]
        stays = [old for old in stays if not any(replaces(one, old) for one in new)]
        records = tuple({name: getattr(row, name) for name in COLUMNS} for row in (*stays, *new))
        self._store.tables[place] = MemoryTable(rejected_schema(), records)

    def _is_done(self, old: RejectedRecord, *, complete: bool) -> bool:
        mine = (old.owner, old.stream) == (self._target.owner, self._target.stream)
        past = complete and old.execution != self._target.execution
        return mine and (past or old.id in self._target.redriven)

    def _merged(self, *, finished: bool) -> tuple[MemoryTable, Counts, Sequence[Rejection]]:
        """The table as it will be, what that does, and which records it does not hold."""
        present = self._store.tables.get(self._table)
        schema, batches = self._shaped(present)
        held = present or MemoryTable(schema)
        if self._target.deletes is Deletes.SOFT:
            mark = pa.schema([pa.field(DELETED_AT, pa.timestamp("us", "UTC"))])
            schema = arrow_schema(evolved(schema, mark))
        staged = [record for batch in batches for record in _records(batch, schema)]
        merge = merged(
            self._target,
            _records(held.as_arrow(), schema),
            staged,
            complete=finished and self._target.complete,
            now=self._clock(),
            gone=self._gone,
            deleted_before=self._committed.counts.deleted,
        )
        arrived = Counts(
            rejected=len(self._rejected), bytes=sum(batch.nbytes for batch in self._staged)
        )
        records = tuple({name: r.get(name) for name in schema.names} for r in merge.records)
        rejections = (*self._rejected, *merge.rejected)
        return MemoryTable(schema, records), merge.counts + arrived, rejections

    def _shaped(self, present: MemoryTable | None) -> tuple[pa.Schema, Sequence[pa.Table]]:
        """The columns that the table will have, and the staged batches in those."""
        held = None if present is None else present.schema
        if held is not None and self._target.schema_policy is SchemaPolicy.FREEZE:
            refuse_vanished(held, self._target.schema, ours=(DELETED_AT,))
        arrived: Schema = pa.schema([])
        batches = []
        for data in (arrow_schema(self._target.schema).empty_table(), *self._staged):
            shape = self._shape(held, arrived, data.schema)
            arrived = evolved(arrived, shape.schema(data.schema))
            batches.append(shape.table(data))
        return arrow_schema(evolved(held or pa.schema([]), arrived)), batches

    def _shape(self, held: pa.Schema | None, arrived: Schema, arriving: pa.Schema) -> Shape:
        if not self._target.shapes:
            return Shape()
        return shaped(
            held,
            arrived,
            arriving,
            policy=self._target.schema_policy,
            on_conflict=self._target.on_conflict,
            fixed=self._target.fixed,
        )

    def _state(self, state: State | Greatest | None) -> State | None:
        """What will be known; `Greatest` is looked up among the staged records."""
        if not isinstance(state, Greatest):
            return state or self._committed.state
        marks = [
            v for batch in self._staged for v in batch[state.column].to_pylist() if v is not None
        ]
        if not marks:
            return self._committed.state
        return State(version=state.version, value={"watermark": str(max(marks))})


def _rows(held: MemoryTable | None) -> Sequence[RejectedRecord]:
    return [RejectedRecord(**row) for row in held.records] if held else ()


def _records(data: pa.Table, schema: pa.Schema) -> Sequence[Record]:
    """Records in the types of ``schema``."""
    fields = [schema.field(name) for name in data.schema.names]
    columns = [data[field.name].cast(field.type) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields)).to_pylist()
