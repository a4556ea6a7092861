"""Writes one stream, alike in every dialect: stage, then merge and move the state at once.

Laws:

* Staged records are seen by nobody. `SqlWriter.commit` merges them, counts, and moves
  the state in one transaction; whoever dies before its end has changed nothing.
* A writer whose state was moved by another commits nothing (compare-and-set).
* The columns of a table are added to and widened, never dropped or narrowed.
* Two commits of the same records leave what one would have left.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from connectors.arrow import evolved
from connectors.contract import (
    Batch,
    ColumnChanges,
    Committed,
    Counts,
    Greatest,
    PgCopy,
    Rejection,
    State,
    Target,
)
from connectors.described import DescribedSchema, Schema, schema_of
from connectors.errors import ContractError, TransientError
from connectors.late import pa, pc
from connectors.manner import Manner
from connectors.payload import readable, rejection
from connectors.rejected import MOST_KEPT, REJECTED_TABLE
from connectors.schema_policy import SchemaPolicy, Shape, refuse_vanished, shaped
from connectors.sql.arriving import plain_schema, plain_table
from connectors.sql.edge import Edge
from connectors.sql.gone import Gone
from connectors.sql.merging import Merger, Situation
from connectors.sql.names import TableName, shortened
from connectors.sql.rejected import RejectedTable
from connectors.sql.state import StateTable, Stored
from connectors.sql.store import (
    DELETED_AT,
    STATE_TABLE,
    Kind,
    Plan,
    Staging,
    Store,
    changes,
    chosen,
    plan_of,
    planned,
    refuse_casts,
    transaction,
)
from connectors.sql.tables import Table

_log = structlog.get_logger(__name__)


class SqlWriter:
    """One stream being written through one store; see `connectors.contract.Writer`."""

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Callable[[], datetime],
        present: Table | None,
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._manner = Manner.of(target)
        self._name = store.table_name(target.dataset, target.table)
        self._states = StateTable(
            store=store, name=store.table_name(target.dataset, STATE_TABLE), target=target
        )
        self._edge = Edge(store, target)
        self._aside = RejectedTable(
            store=store, name=store.table_name(target.dataset, REJECTED_TABLE), target=target
        )
        self._rejections: list[Rejection] = []
        self._gone = Gone(target.primary_key)
        self._staging: Staging | None = None
        self._merger = Merger(
            store, target, manner=self._manner, name=self._name, aside=self._aside
        )
        self._changed = ColumnChanges()
        self._pending = Counts()
        self._usable = True
        self._any_staged = False
        self._present = present
        self._looked = True
        self._arrived = self._first_columns(self._storable(plain_schema(target.schema)))
        self._known: Stored | None = None
        self._committed = self._open()

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    @property
    def changed(self) -> ColumnChanges:
        """What its commits have done to the columns of a table that was there."""
        return self._changed

    def _open(self) -> Committed:
        self._known = self._states.open()
        fresh = Committed(execution=self._target.execution)
        if self._known is None:
            return fresh
        if self._present is None:
            _log.warning("state.void", stream=self._target.stream, table=self._target.table)
            return fresh
        return self._known.committed.resumed_by(
            self._target.execution, restart=self._target.restart
        )

    def write(self, batch: Batch) -> None:
        """Stage a batch: not visible to readers, not durable yet."""
        self._check_usable()
        self._reject(batch.rejected)
        self._stage(batch.data, batch.state)
        if batch.deleted is not None and self._target.heeds_deletes:
            self._gone.add(plain_table(batch.deleted))

    def _stage(self, data: pa.Table | PgCopy, mark: State | Greatest | None) -> None:
        if isinstance(data, PgCopy):
            arriving = schema_of(self._target.schema.field(name) for name in data.columns)
        else:
            data = plain_table(data)
            if not data.num_rows:
                return
            data = self._shape(data.schema).table(data) if self._target.shapes else data
            arriving = data.schema
            if self._gone:
                self._gone.bring_back(data)
        self._look()
        self._arrived = evolved(self._arrived, self._storable(arriving))
        if self._staging is None and not self._gone and self._manner.merges:
            known, plan = self._committed.state, self._plan()
            there, data = self._edge.sifted(data, mark, known, present=self._present, plan=plan)
            if there is not None:
                self._note(there)
                return
        self._store.begin(arrow=not isinstance(data, PgCopy))
        staging = self._staging_for()
        if isinstance(data, PgCopy):
            refuse_casts(staging.plan, arriving)
        else:
            data = self._sound(staging, data)
        self._usable = False
        staged = self._store.stage(staging, data)
        self._usable = True
        self._note(staged)

    def _note(self, arrived: Counts) -> None:
        self._any_staged = self._any_staged or arrived.processed > 0
        self._pending += arrived

    def _reject(self, rejected: Sequence[Rejection]) -> None:
        self._pending += Counts(rejected=len(rejected))
        self._rejections += rejected[: max(0, MOST_KEPT - len(self._rejections))]

    def _sound(self, staging: Staging, data: pa.Table) -> pa.Table:
        """The records that this database can hold; the others are rejected."""
        mask = self._store.sound(staging, data)
        if mask is None:
            return data
        key = self._target.primary_key
        reason = "a number in it is NaN, which this destination cannot hold"
        lost = readable(data.filter(pc.invert(mask)))
        self._reject([rejection(record, key, reason) for record in lost])
        return data.filter(mask)

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Make all that was staged durable, with counts and state, in one transaction."""
        self._check_usable()
        self._manner.refuse_part(self._target, finished=finished)
        self._usable = False
        gone = self._stage_gone()
        with transaction(self._store):
            self._store.lock([self._states.lock_name, self._name.sql])
            self._states.verify(self._known)
            if self._touches(gone):
                self._recheck()
            position = self._resolve(state)
            situation = self._situation(gone)
            counts = self._pending + self._merger.apply(situation, finished=finished)
            self._set_aside(counts, finished=finished)
            committed = Committed(
                state=position,
                execution=self._target.execution,
                finished=finished,
                counts=self._committed.counts + counts,
                committed_at=self._clock(),
            )
            self._known = self._states.write(committed)
        self._changed = situation.changes(self._changed)
        self._committed = committed
        self._looked = False
        self._staging = None
        self._pending = Counts()
        self._rejections = []
        self._gone.clear()
        self._usable = True
        return committed

    def _set_aside(self, counts: Counts, *, finished: bool) -> None:
        """Write what this commit rejects where the tenant finds it."""
        rejections = [*self._rejections, *self._merger.keyless]
        self._aside.put(
            rejections,
            counts.rejected - len(rejections),
            at=self._clock(),
            complete=finished and self._target.complete,
        )

    def close(self) -> None:
        """Release; what was not committed is gone. Safe to call twice."""
        self._usable = False
        self._store.close()

    def _check_usable(self) -> None:
        if not self._usable:
            raise ContractError("this writer is closed, or a commit of it has failed; open another")

    # Staging

    def _staging_for(self) -> Staging:
        """The staging table, with room for every column seen so far."""
        direct = self._staging.direct if self._staging else self._may_load_directly()
        whole = self._plan()
        plan = whole if direct else chosen(whole, self._arrived.names)
        if self._staging is None:
            self._staging = self._new_staging(plan, direct=direct)
        elif self._staging.plan != plan:
            self._store.evolve(self._staging.name, self._staging.plan, plan)
            self._staging = replace(self._staging, plan=plan)
        return self._staging

    def _stage_gone(self) -> TableName | None:
        if not self._gone:
            return None
        self._look()
        return self._gone.staged(self._store, self._plan())

    def _look(self) -> None:
        if not self._looked:
            self._present, self._looked = self._store.describe(self._name), True

    def _first_columns(self, described: Schema) -> Schema:
        """The target's own columns, as the schema's policy lets them be."""
        self._arrived = DescribedSchema(())
        if not self._target.shapes:
            return described
        if self._present is not None and self._target.schema_policy is SchemaPolicy.FREEZE:
            refuse_vanished(self._present.schema, described, ours=(DELETED_AT,))
        return self._shape(described).schema(described)

    def _shape(self, arriving: Schema) -> Shape:
        self._look()
        return shaped(
            None if self._present is None else self._present.schema,
            self._arrived,
            self._storable(arriving),
            policy=self._target.schema_policy,
            on_conflict=self._target.on_conflict,
            fixed=self._target.fixed,
        )

    def _storable(self, schema: Schema) -> Schema:
        return schema_of(self._store.storable(field) for field in schema)

    def _plan(self) -> Plan:
        return planned(self._store, self._present, self._arrived, soft=self._manner.soft)

    def _may_load_directly(self) -> bool:
        wanted = self._present is None or self._manner.replaces
        return wanted and self._store.loads_directly(self._present)

    def _new_staging(self, plan: Plan, *, direct: bool) -> Staging:
        mark = secrets.token_hex(4)
        if direct:
            self._store.ensure_dataset(self._target.dataset)
            name = replace(self._name, table=f"{shortened(self._name.table)}__new_{mark}")
            self._store.create(name, plan, (), kind=Kind.REAL)
        else:
            name = TableName(table=f"_staged_{mark}")
            self._store.create(name, plan, (), kind=Kind.STAGED)
        return Staging(name=name, plan=plan, direct=direct)

    # The commit, under the lock

    def _touches(self, gone: TableName | None) -> bool:
        """Whether this commit may do more than move the state of a table just seen."""
        if self._staging or gone or self._present is None or not self._looked:
            return True
        empties = self._manner.replaces or self._manner.deletes
        return empties or any(changes(plan_of(self._present), self._plan()))

    def _recheck(self) -> None:
        """See the target as it is now; what was staged for another shape is of no use."""
        before, self._present = self._present, self._store.describe(self._name)
        if before == self._present or self._staging is None:
            return
        whole = self._plan()
        needed = whole if self._staging.direct else chosen(whole, self._arrived.names)
        appeared = before is None and self._present is not None and not self._manner.replaces
        if needed != self._staging.plan or (self._staging.direct and appeared):
            raise TransientError(
                f"table {self._target.table!r} was changed while this execution was writing; "
                "nothing of it was committed"
            )

    def _situation(self, gone: TableName | None) -> Situation:
        return Situation(
            staging=self._staging,
            present=self._present,
            plan=self._plan(),
            processed=self._pending.processed,
            any_staged=self._any_staged,
            at=self._clock(),
            rejects=self._pending.rejected > 0,
            gone=gone,
            deleted=self._committed.counts.deleted,
        )

    def _resolve(self, state: State | Greatest | None) -> State | None:
        known = self._committed.state
        if not isinstance(state, Greatest):
            return known if state is None else state
        return self._store.greatest(self._staging, state, known) if self._staging else known
