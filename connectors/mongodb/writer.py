"""Writes one stream to one collection: staged in a file of ours, merged in one transaction.

Laws:

* Data, counts and state are written in one transaction, where the server has them: a replica
  set or a sharded cluster. On a lone server the data comes first and the state last; who dies
  between does it again, and by ``_id`` nothing is there twice, though readers may see a part.
* A collection is ours as long as ``_sync_tables`` describes it. The description goes before a
  collection is made anew, so that a state beside a dropped one stays void.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.arrow import Field, evolved, field
from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Greatest,
    PgCopy,
    Rejection,
    State,
    Target,
)
from connectors.described import arrow_schema
from connectors.errors import ConfigError, ContractError, TransientError
from connectors.manner import Manner, emptying
from connectors.mongodb.documents import documents, refuse_names
from connectors.mongodb.merging import (
    DELETED_AT,
    Merge,
    is_keyed,
    key_of,
    seen_of,
    seen_of_id,
)
from connectors.mongodb.rejected import RejectedCollection
from connectors.mongodb.session import MongoSession, translated
from connectors.mongodb.state import (
    StateDocument,
    collection_name,
    describe,
    known_schema,
    make,
)
from connectors.payload import without_key
from connectors.rejected import MOST_KEPT
from connectors.schema_policy import SchemaPolicy, Shape, refuse_vanished, shaped
from connectors.sql.arriving import plain_schema, plain_table
from connectors.sql.gone import Gone

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession


class MongoWriter:
    """See `connectors.contract.Writer`."""

    def __init__(
        self, session: MongoSession, target: Target, clock: Callable[[], datetime]
    ) -> None:
        self._session = session
        self._target = target
        self._clock = clock
        self._name = collection_name(target.dataset, target.table)
        self._manner = Manner.of(target)
        self._present = known_schema(session, self._name)
        self._arrived = self._first_columns()
        self._gone = Gone(target.primary_key)
        self._rejections: list[Rejection] = []
        self._aside = RejectedCollection(session, target)
        self._staged: list[tuple[int, int]] = []
        self._file: Any = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._pending = Counts()
        self._seen: set[Any] = set()
        self._any_staged = False
        self._usable = True
        self._state = StateDocument(session, target)
        self._committed = self._state.read(there=self._present is not None)

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    def write(self, batch: Batch) -> None:
        """Stage a batch: not visible to readers, not durable yet."""
        self._check_usable()
        if isinstance(batch.data, PgCopy):
            raise ContractError("MongoDB takes Arrow only")
        self._reject(batch.rejected)
        if batch.data.num_rows:
            self._stage(plain_table(batch.data))
        if batch.deleted is not None and self._target.heeds_deletes:
            self._gone.add(plain_table(batch.deleted))

    def _stage(self, data: pa.Table) -> None:
        refuse_names(data.schema, self._target.primary_key)
        self._any_staged = True
        self._require_key(data.schema)
        data = self._with_key(data)
        if self._target.shapes:
            data = self._shape(data.schema).table(data)
        if self._gone:
            self._gone.bring_back(data)
        self._arrived = arrow_schema(evolved(self._arrived, data.schema))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, data.schema) as stream:
            stream.write_table(data)
        raw = sink.getvalue()
        self._staged.append((self._file.tell(), raw.size))
        self._file.write(raw)
        self._pending += Counts(processed=data.num_rows, bytes=data.nbytes)

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Make all that was staged durable, with counts and state, in one transaction."""
        self._check_usable()
        if isinstance(state, Greatest):
            raise ContractError("MongoDB takes Arrow only, whose batches carry their state")
        self._manner.refuse_part(self._target, finished=finished)
        self._usable = False
        present = self._rechecked()
        schema = self._schema(present)
        self._refuse_emptying(present, finished=finished)
        if present is None and (self._staged or self._gone or finished):
            make(self._session, self._name)
        if self._pending.rejected:
            self._aside.require()
        with self._transaction() as session:
            self._state.verify(session)
            counts = self._pending
            if self._staged or self._gone or finished:
                counts += self._merge(session, schema, finished=finished)
                describe(self._session, self._name, schema, within=session)
            self._set_aside(session, finished=finished)
            committed = Committed(
                state=self._committed.state if state is None else state,
                execution=self._target.execution,
                finished=finished,
                counts=self._committed.counts + counts,
                committed_at=self._clock(),
            )
            token = self._state.write(committed, session)
        self._state.token, self._committed = token, committed
        self._present = schema if self._staged or self._gone or finished else present
        self._staged, self._pending, self._rejections = [], Counts(), []
        self._gone.clear()
        self._file.seek(0)
        self._file.truncate()
        self._usable = True
        return committed

    def close(self) -> None:
        """Release; what was not committed is gone. Safe to call twice."""
        self._usable = False
        self._file.close()

    def _check_usable(self) -> None:
        if not self._usable:
            raise ContractError("this writer is closed, or a commit of it has failed; open another")

    # The columns

    def _first_columns(self) -> pa.Schema:
        """The target's own columns, as the schema's policy lets them be."""
        self._arrived = pa.schema([])
        first = plain_schema_of(self._target)
        if not self._target.shapes:
            return first
        if self._present is not None and self._target.schema_policy is SchemaPolicy.FREEZE:
            refuse_vanished(self._present, first, ours=(DELETED_AT,))
        return arrow_schema(self._shape(first).schema(first))

    def _shape(self, arriving: pa.Schema) -> Shape:
        return shaped(
            self._present,
            self._arrived,
            arriving,
            policy=self._target.schema_policy,
            on_conflict=self._target.on_conflict,
            fixed=self._target.fixed,
        )

    def _rechecked(self) -> pa.Schema | None:
        """The columns as they are now; what was shaped for others is of no use."""
        present = known_schema(self._session, self._name)
        if self._target.shapes and self._staged and present != self._present:
            raise TransientError(
                f"collection {self._name!r} was changed while this execution was writing; "
                "nothing of it was committed"
            )
        return present

    # The commit

    def _schema(self, present: pa.Schema | None) -> pa.Schema:
        arriving = self._arrived
        if self._manner.soft:
            arriving = arriving.append(field(DELETED_AT, pa.timestamp("us", "UTC")))
        return arrow_schema(evolved(pa.schema([]) if present is None else present, arriving))

    def _refuse_emptying(self, present: pa.Schema | None, *, finished: bool) -> None:
        empties = finished and (self._manner.replaces or self._manner.deletes)
        if not empties or self._any_staged or self._target.allow_empty or present is None:
            return
        alive = {DELETED_AT: None}
        with translated("looking for documents"):
            filled = self._session.collection(self._name).find_one(alive, {"_id": 1})
        if filled is not None:
            raise emptying(self._target)

    @contextmanager
    def _transaction(self) -> Iterator["ClientSession | None"]:
        if not self._session.has_transactions:
            yield None
            return
        with self._session.client.start_session() as session:
            with translated("beginning"):
                session.start_transaction()
            try:
                yield session
                with translated("committing"):
                    session.commit_transaction()
            finally:
                if session.in_transaction:
                    session.abort_transaction()

    def _merge(
        self, session: "ClientSession | None", schema: pa.Schema, *, finished: bool
    ) -> Counts:
        merge = Merge(
            collection=self._session.collection(self._name), session=session, target=self._target
        )
        if self._manner.replaces:
            merge.clear()
        fields = {one.name: one for one in schema}
        gone = self._gone_ids(fields)
        for offset, size in self._staged:
            self._file.seek(offset)
            data = pa.ipc.open_stream(self._file.read(size)).read_all()
            merge.write(self._remembered(documents(data, fields), gone))
        ids = merge.present(list(gone.values()))
        if self._manner.deletes and finished:
            known = {seen_of_id(one) for one in ids}
            ids += [one for one in merge.unseen(self._seen) if seen_of_id(one) not in known]
        at = self._clock().astimezone(UTC).replace(tzinfo=None)
        merge.delete(
            ids,
            before=self._committed.counts.deleted,
            # Where nothing came at all, the tenant has allowed the source to be empty.
            asks=self._any_staged or not self._target.allow_empty,
            at=at.isoformat(timespec="microseconds") + "Z",
        )
        return merge.counts

    def _gone_ids(self, fields: Mapping[str, Field]) -> dict[Any, Any]:
        """The ``_id`` of each record that is gone, by what it is known by."""
        keys, key = self._gone.keys(), self._target.primary_key
        found = () if keys is None else documents(keys, fields)
        return {seen_of(one, key): key_of(one, key) for one in found}

    def _set_aside(self, session: "ClientSession | None", *, finished: bool) -> None:
        """Write what this commit rejects where the tenant finds it."""
        self._aside.put(
            self._rejections,
            self._pending.rejected - len(self._rejections),
            at=self._clock(),
            complete=finished and self._target.complete,
            within=session,
        )

    def _with_key(self, data: pa.Table) -> pa.Table:
        """The records that a key tells from others; those without one are rejected."""
        if not is_keyed(self._target):
            return data
        kept, lost = without_key(data, self._target.primary_key)
        self._reject(lost)
        return kept

    def _reject(self, rejected: Sequence[Rejection]) -> None:
        self._pending += Counts(rejected=len(rejected))
        self._rejections += rejected[: max(0, MOST_KEPT - len(self._rejections))]

    def _require_key(self, schema: pa.Schema) -> None:
        for name in self._target.primary_key:
            if name not in schema.names:
                raise ConfigError(
                    f"key column {name!r} is not among the columns of {self._target.stream!r}; "
                    f"there are: {', '.join(schema.names)}"
                )

    def _remembered(
        self, found: Iterator[dict[str, Any]], gone: Mapping[Any, Any]
    ) -> Iterator[dict[str, Any]]:
        """The documents, without those that came before the source said they are gone."""
        for document in found:
            if self._manner.deletes or gone:
                known_by = seen_of(document, self._target.primary_key)
                if known_by in gone:
                    continue
                self._seen.add(known_by)
            yield document


def plain_schema_of(target: Target) -> pa.Schema:
    """The target's columns in types that documents have."""
    schema = arrow_schema(plain_schema(target.schema))
    refuse_names(schema, target.primary_key)
    return schema
