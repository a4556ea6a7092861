"""Writes one stream, alike in every dialect: stage, then merge and move the state at once.

Laws:

* Staged records are seen by nobody. `SqlWriter.commit` merges them, counts, and moves
  the state in one transaction; whoever dies before its end has changed nothing.
* A writer whose state was moved by another commits nothing (compare-and-set).
* The columns of a table are added to and widened, never dropped or narrowed.
* Two commits of the same records leave what one would have left.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import structlog

from connectors.arrow import evolved
from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Deletes,
    Greatest,
    PgCopy,
    State,
    Target,
    WriteMode,
)
from connectors.errors import ConfigError, ContractError, EmptySourceError, TransientError
from connectors.sql import merge
from connectors.sql.arriving import plain_schema, plain_table
from connectors.sql.names import TableName
from connectors.sql.state import StateTable, Stored
from connectors.sql.store import (
    DELETED_AT,
    STATE_TABLE,
    Kind,
    Match,
    Merged,
    Plan,
    Staging,
    Store,
    chosen,
    plan_of,
    planned,
    transaction,
)
from connectors.sql.tables import Table

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manner:
    """What follows from a target once and for all."""

    replaces: bool
    deletes: bool
    soft: bool
    keyed: bool
    once: bool

    @classmethod
    def of(cls, target: Target) -> "_Manner":
        upserts = target.write_mode is WriteMode.UPSERT
        replaces = target.write_mode is WriteMode.REPLACE
        if upserts and not target.primary_key:
            raise ConfigError(
                f"{target.stream!r} has no primary key, so records cannot be upserted; "
                "name key columns, or write with append or replace"
            )
        deletes = upserts and target.complete and target.deletes is not Deletes.KEEP
        appends = target.write_mode is WriteMode.APPEND
        return cls(
            replaces=replaces,
            deletes=deletes,
            soft=deletes and target.deletes is Deletes.SOFT,
            keyed=bool(target.primary_key) and not appends,
            once=replaces or (appends and not target.distinct),
        )


class SqlWriter:
    """One stream being written through one store; see `connectors.contract.Writer`."""

    def __init__(self, store: Store, target: Target, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._manner = _Manner.of(target)
        self._name = store.table_name(target.dataset, target.table)
        self._states = StateTable(
            store=store, name=store.table_name(target.dataset, STATE_TABLE), target=target
        )
        self._staging: Staging | None = None
        self._seen: TableName | None = None
        self._pending = Counts()
        self._usable = True
        self._any_staged = False
        self._arrived = self._storable(plain_schema(target.schema))
        self._present: Table | None = None
        self._known: Stored | None = None
        self._committed = self._open()

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    def _open(self) -> Committed:
        self._states.create_if_missing()
        self._known = self._states.read()
        self._present = self._store.describe(self._name)
        fresh = Committed(execution=self._target.execution)
        if self._known is None:
            return fresh
        if self._present is None and self._known.committed.state is not None:
            _log.warning("state.void", stream=self._target.stream, table=self._target.table)
            return fresh
        return self._known.committed.resumed_by(
            self._target.execution, restart=self._target.restart
        )

    def write(self, batch: Batch) -> None:
        """Stage a batch: not visible to readers, not durable yet."""
        self._check_usable()
        self._pending += Counts(rejected=len(batch.rejected))
        data = batch.data
        if isinstance(data, PgCopy):
            arriving = pa.schema([self._target.schema.field(name) for name in data.columns])
        else:
            data = plain_table(data)
            arriving = data.schema
            if not data.num_rows:
                return
        self._store.begin(arrow=not isinstance(data, PgCopy))
        staging = self._staging_for(arriving)
        self._usable = False
        staged = self._store.stage(staging, data)
        self._usable = True
        self._any_staged = self._any_staged or staged.processed > 0
        self._pending += staged

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Make all that was staged durable, with counts and state, in one transaction."""
        self._check_usable()
        if self._manner.once and not finished:
            raise ContractError(
                f"writing {self._target.stream!r} as a whole takes one commit, the finishing one"
            )
        self._usable = False
        with transaction(self._store):
            self._store.lock([self._states.lock_name, self._name.sql])
            self._states.verify(self._known)
            self._recheck()
            position = self._resolve(state)
            counts = self._pending + self._apply(finished=finished)
            committed = Committed(
                state=position,
                execution=self._target.execution,
                finished=finished,
                counts=self._committed.counts + counts,
                committed_at=self._clock(),
            )
            self._known = self._states.write(committed)
        self._committed = committed
        self._staging = None
        self._pending = Counts()
        self._usable = True
        return committed

    def close(self) -> None:
        """Release; what was not committed is gone. Safe to call twice."""
        self._usable = False
        self._store.close()

    def _check_usable(self) -> None:
        if not self._usable:
            raise ContractError("this writer is closed, or a commit of it has failed; open another")

    # Staging

    def _staging_for(self, schema: pa.Schema) -> Staging:
        """The staging table, with room for every column seen so far."""
        self._arrived = evolved(self._arrived, self._storable(schema))
        direct = self._staging.direct if self._staging else self._may_load_directly()
        whole = self._plan()
        plan = whole if direct else chosen(whole, self._arrived.names)
        if self._staging is None:
            self._staging = self._new_staging(plan, direct=direct)
        elif self._staging.plan != plan:
            self._store.evolve(self._staging.name, self._staging.plan, plan)
            self._staging = replace(self._staging, plan=plan)
        return self._staging

    def _storable(self, schema: pa.Schema) -> pa.Schema:
        return pa.schema([self._store.storable(field) for field in schema])

    def _plan(self) -> Plan:
        return planned(self._store, self._present, self._arrived, soft=self._manner.soft)

    def _may_load_directly(self) -> bool:
        wanted = self._present is None or self._manner.replaces
        return wanted and self._store.loads_directly(self._present)

    def _new_staging(self, plan: Plan, *, direct: bool) -> Staging:
        mark = secrets.token_hex(4)
        if direct:
            self._store.ensure_dataset(self._target.dataset)
            name = TableName(schema=self._name.schema, table=f"{self._name.table}__new_{mark}")
            self._store.create(name, plan, (), kind=Kind.REAL)
        else:
            name = TableName(table=f"_staged_{mark}")
            self._store.create(name, plan, (), kind=Kind.STAGED)
        return Staging(name=name, plan=plan, direct=direct)

    # The commit, under the lock

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

    def _resolve(self, state: State | Greatest | None) -> State | None:
        known = self._committed.state
        if not isinstance(state, Greatest):
            return known if state is None else state
        return self._store.greatest(self._staging, state, known) if self._staging else known

    def _apply(self, *, finished: bool) -> Counts:
        staging = self._staging
        if staging is None and not finished:
            return Counts()
        if finished:
            self._refuse_emptying()
        if staging is None:
            self._shape()
            if self._manner.replaces and self._present is not None:
                self._store.execute(f"DELETE FROM {self._name.sql}")
            return self._delete(None, finished=finished)
        keyless, repeated = self._fit(staging)
        kept = self._pending.processed - keyless
        if staging.direct and self._store.loads_directly(self._present):
            replacing = self._present is not None
            self._store.adopt(staging, self._name, replacing=replacing)
            done = Counts(created=kept - repeated)
            done += self._delete(self._name, finished=finished)
        else:
            self._shape()
            merged = self._merge(staging)
            done = Counts(created=merged.created, updated=merged.updated)
            done += self._delete(staging.name, finished=finished)
            if staging.direct:
                self._store.execute(f"DROP TABLE {staging.name.sql}")
        return done + Counts(processed=-keyless, rejected=keyless)

    def _refuse_emptying(self) -> None:
        empties = self._manner.replaces or self._manner.deletes
        if not empties or self._any_staged or self._target.allow_empty or self._present is None:
            return
        marked = self._present.column(DELETED_AT) is not None
        if self._store.rows(merge.any_row(self._name, marked=marked)):
            raise EmptySourceError(
                f"{self._target.stream!r} came back empty, and writing that would empty "
                f"{self._target.table!r}; if it is meant, allow empty sources for this sync"
            )

    def _fit(self, staging: Staging) -> tuple[int, int]:
        """Make the key hold in what was staged: rows without one, and rows that repeat one."""
        key, cursor = self._target.primary_key, self._target.cursor_field
        cursor = cursor if cursor in staging.columns else None
        if self._manner.keyed:
            self._require_staged(key, staging)
            if self._has_key(staging):
                return 0, 0
            keyless = self._store.execute(merge.drop_keyless(staging, key))
            older = merge.drop_older(self._store.spelling, staging, key, cursor=cursor)
            repeated = self._store.execute(older)
            if staging.direct:
                self._store.add_key(staging.name, key)
            return keyless, repeated
        if not (staging.direct and self._target.distinct and key):
            return 0, 0
        same = (*key, cursor) if cursor else staging.columns
        repeats = merge.repeats(self._store.spelling, staging, same)
        if not self._store.rows(repeats):
            return 0, 0
        older = merge.drop_older(self._store.spelling, staging, same, cursor=None)
        return 0, self._store.execute(older)

    def _require_staged(self, key: tuple[str, ...], staging: Staging) -> None:
        for name in key:
            if name not in staging.columns:
                known = ", ".join(staging.columns)
                raise ConfigError(
                    f"key column {name!r} is not among the columns of {self._target.stream!r}; "
                    f"there are: {known}"
                )

    def _has_key(self, staging: Staging) -> bool:
        if staging.direct:
            return self._store.add_key(staging.name, self._target.primary_key)
        return not self._store.rows(merge.misfits(staging, self._target.primary_key))

    def _shape(self) -> None:
        """Create the target, or add to and widen its columns."""
        plan = self._plan()
        if self._present is None:
            if plan:
                self._store.ensure_dataset(self._target.dataset)
                key = self._target.primary_key if self._manner.keyed else ()
                self._store.create(self._name, plan, key, kind=Kind.REAL)
            return
        self._store.evolve(self._name, plan_of(self._present), plan)
        if self._target.write_mode is WriteMode.UPSERT:
            self._store.require_key(self._present, self._target.primary_key)

    def _merge(self, staging: Staging) -> Merged:
        spelling, mode = self._store.spelling, self._target.write_mode
        if mode is WriteMode.UPSERT:
            return self._store.upsert(self._name, staging, self._match(staging))
        if mode is WriteMode.REPLACE:
            self._store.execute(f"DELETE FROM {self._name.sql}")
        elif self._target.distinct:
            match = self._match(staging)
            distinct = merge.insert_distinct(spelling, self._name, staging, match=match)
            return Merged(created=self._store.execute(distinct))
        return Merged(created=self._store.execute(merge.insert_all(self._name, staging)))

    def _match(self, staging: Staging) -> Match:
        cursor = self._target.cursor_field
        marked = any(column.name == DELETED_AT for column in self._plan())
        return Match(
            key=self._target.primary_key,
            cursor=cursor if cursor in staging.columns else None,
            clears=marked and DELETED_AT not in self._arrived.names,
            mostly_same=self._target.complete,
        )

    def _delete(self, staged: TableName | None, *, finished: bool) -> Counts:
        """Remember which keys came; at the end, delete or mark all others."""
        key = self._target.primary_key
        if not self._manner.deletes:
            return Counts()
        if staged is not None and (self._seen is not None or not finished):
            self._remember(staged)
        if not finished or self._present is None:
            return Counts()
        seen = self._seen or staged
        if self._manner.soft:
            at = self._clock().isoformat(sep=" ", timespec="microseconds")
            statement = merge.mark_unseen(self._name, seen, key, at=at)
        else:
            statement = merge.delete_unseen(self._name, seen, key)
        return Counts(deleted=self._store.execute(statement))

    def _remember(self, staged: TableName) -> None:
        key = self._target.primary_key
        if self._seen is None:
            self._seen = TableName(table=f"_seen_{secrets.token_hex(4)}")
            self._store.create(self._seen, chosen(self._plan(), key), (), kind=Kind.KEPT)
        self._store.execute(merge.remember_keys(self._seen, staged, key))
