"""Writes one stream to one collection: staged in a file of ours, merged in one transaction.

Laws:

* Data, counts and state are written in one transaction, where the server has them: a replica
  set or a sharded cluster. On a lone server the data comes first and the state last; who dies
  between does it again, and by ``_id`` nothing is there twice, though readers may see a part.
* A collection is ours as long as ``_sync_tables`` describes it. The description goes before a
  collection is made anew, so that a state beside a dropped one stays void.
"""

import json
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.arrow import evolved, field
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
from connectors.described import arrow_schema
from connectors.errors import ConfigError, ContractError, EmptySourceError, TransientError
from connectors.mongodb.documents import documents, refuse_names
from connectors.mongodb.merging import DELETED_AT, Merge, seen_of
from connectors.mongodb.session import MongoSession, translated
from connectors.sql.arriving import plain_schema, plain_table

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession

STATES, TABLES = "_sync_state", "_sync_tables"


def collection_name(dataset: str, table: str) -> str:
    """A dataset is a prefix."""
    return f"{dataset}.{table}" if dataset else table


def known_schema(session: MongoSession, name: str) -> pa.Schema | None:
    """The columns of a collection that we have written; None if there is none."""
    with translated("looking for the collection"):
        found = session.collection(TABLES).find_one({"_id": name})
        there = found and session.database.list_collection_names(filter={"name": name})
    if not found or not there:
        return None
    schema: pa.Schema = pa.ipc.read_schema(pa.py_buffer(found["schema"]))
    return schema


class MongoWriter:
    """See `connectors.contract.Writer`."""

    def __init__(
        self, session: MongoSession, target: Target, clock: Callable[[], datetime]
    ) -> None:
        self._session = session
        self._target = target
        self._clock = clock
        self._name = collection_name(target.dataset, target.table)
        self._replaces = target.write_mode is WriteMode.REPLACE
        upserts = target.write_mode is WriteMode.UPSERT
        if upserts and not target.primary_key:
            raise ConfigError(
                f"{target.stream!r} has no primary key, so records cannot be upserted; "
                "name key fields, or write with append or replace"
            )
        self._deletes = upserts and target.complete and target.deletes is not Deletes.KEEP
        appends = target.write_mode is WriteMode.APPEND
        self._once = self._replaces or (appends and not target.distinct)
        self._arrived = plain_schema_of(target)
        self._staged: list[tuple[int, int]] = []
        self._file: Any = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._pending = Counts()
        self._seen: set[Any] = set()
        self._any_staged = False
        self._usable = True
        self._id = {"owner": target.owner, "stream": target.stream, "dataset": target.dataset}
        self._token, self._committed = self._open()

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    def _open(self) -> tuple[str | None, Committed]:
        fresh = Committed(execution=self._target.execution)
        with translated("reading the state"):
            found = self._session.collection(STATES).find_one({"_id": self._id})
        if found is None:
            return None, fresh
        if known_schema(self._session, self._name) is None:
            return found["token"], fresh
        state = None
        if found["value"] is not None:
            state = State(version=found["version"], value=json.loads(found["value"]))
        known = Committed(
            state=state,
            execution=found["execution"],
            finished=found["finished"],
            counts=Counts(**found["counts"]),
            committed_at=datetime.fromisoformat(found["committed_at"]),
        )
        resumed = known.resumed_by(self._target.execution, restart=self._target.restart)
        return found["token"], resumed

    def write(self, batch: Batch) -> None:
        """Stage a batch: not visible to readers, not durable yet."""
        self._check_usable()
        if isinstance(batch.data, PgCopy):
            raise ContractError("MongoDB takes Arrow only")
        data = plain_table(batch.data)
        self._pending += Counts(rejected=len(batch.rejected))
        if not data.num_rows:
            return
        refuse_names(data.schema, self._target.primary_key)
        self._arrived = arrow_schema(evolved(self._arrived, data.schema))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, data.schema) as stream:
            stream.write_table(data)
        raw = sink.getvalue()
        self._staged.append((self._file.tell(), raw.size))
        self._file.write(raw)
        self._any_staged = True
        self._pending += Counts(processed=data.num_rows, bytes=data.nbytes)

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Make all that was staged durable, with counts and state, in one transaction."""
        self._check_usable()
        if isinstance(state, Greatest):
            raise ContractError("MongoDB takes Arrow only, whose batches carry their state")
        if self._once and not finished:
            raise ContractError(
                f"writing {self._target.stream!r} as a whole takes one commit, the finishing one"
            )
        self._usable = False
        present = known_schema(self._session, self._name)
        schema = self._schema(present)
        self._refuse_emptying(present, finished=finished)
        if present is None and (self._staged or finished):
            self._make()
        with self._transaction() as session:
            self._verify(session)
            counts = self._pending
            if self._staged or finished:
                counts += self._merge(session, schema, finished=finished)
                self._describe(session, schema)
            committed = Committed(
                state=self._committed.state if state is None else state,
                execution=self._target.execution,
                finished=finished,
                counts=self._committed.counts + counts,
                committed_at=self._clock(),
            )
            token = self._write_state(session, committed)
        self._token, self._committed = token, committed
        self._staged, self._pending = [], Counts()
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

    # The commit

    def _schema(self, present: pa.Schema | None) -> pa.Schema:
        arriving = self._arrived
        if self._deletes and self._target.deletes is Deletes.SOFT:
            arriving = arriving.append(field(DELETED_AT, pa.timestamp("us", "UTC")))
        return arrow_schema(evolved(pa.schema([]) if present is None else present, arriving))

    def _refuse_emptying(self, present: pa.Schema | None, *, finished: bool) -> None:
        empties = finished and (self._replaces or self._deletes)
        if not empties or self._any_staged or self._target.allow_empty or present is None:
            return
        alive = {DELETED_AT: None}
        with translated("looking for documents"):
            filled = self._session.collection(self._name).find_one(alive, {"_id": 1})
        if filled is not None:
            raise EmptySourceError(
                f"{self._target.stream!r} came back empty, and writing that would empty "
                f"{self._target.table!r}; if it is meant, allow empty sources for this sync"
            )

    def _make(self) -> None:
        with translated("making the collection"):
            self._session.collection(TABLES).delete_one({"_id": self._name})
            if self._name not in self._session.database.list_collection_names():
                self._session.database.create_collection(self._name)
            for name in (STATES, TABLES):
                if name not in self._session.database.list_collection_names():
                    self._session.database.create_collection(name)

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

    def _verify(self, session: "ClientSession | None") -> None:
        with translated("reading the state"):
            found = self._session.collection(STATES).find_one({"_id": self._id}, session=session)
        if (None if found is None else found["token"]) != self._token:
            raise TransientError(
                f"the state of {self._target.stream!r} was moved while this execution was "
                "writing; nothing of it was committed"
            )

    def _merge(
        self, session: "ClientSession | None", schema: pa.Schema, *, finished: bool
    ) -> Counts:
        merge = Merge(
            collection=self._session.collection(self._name), session=session, target=self._target
        )
        if self._replaces:
            merge.clear()
        fields = {one.name: one for one in schema}
        for offset, size in self._staged:
            self._file.seek(offset)
            data = pa.ipc.open_stream(self._file.read(size)).read_all()
            self._require_key(data.schema)
            merge.write(self._remembered(documents(data, fields)))
        if self._deletes and finished:
            soft = self._target.deletes is Deletes.SOFT
            at = self._clock().astimezone(UTC).replace(tzinfo=None)
            mark = at.isoformat(timespec="microseconds") + "Z" if soft else None
            merge.counts += Counts(deleted=merge.delete_unseen(self._seen, at=mark))
        return merge.counts

    def _require_key(self, schema: pa.Schema) -> None:
        for name in self._target.primary_key:
            if name not in schema.names:
                raise ConfigError(
                    f"key column {name!r} is not among the columns of {self._target.stream!r}; "
                    f"there are: {', '.join(schema.names)}"
                )

    def _remembered(self, found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for document in found:
            if self._deletes:
                self._seen.add(seen_of(document, self._target.primary_key))
            yield document

    def _describe(self, session: "ClientSession | None", schema: pa.Schema) -> None:
        described = {"_id": self._name, "schema": schema.serialize().to_pybytes()}
        with translated("describing the collection"):
            self._session.collection(TABLES).replace_one(
                {"_id": self._name}, described, upsert=True, session=session
            )

    def _write_state(self, session: "ClientSession | None", committed: Committed) -> str:
        state, token = committed.state, secrets.token_hex(8)
        at = committed.committed_at
        document = {
            "_id": self._id,
            "execution": committed.execution,
            "finished": committed.finished,
            "version": None if state is None else state.version,
            "value": None if state is None else json.dumps(dict(state.value)),
            "counts": asdict(committed.counts),
            "committed_at": None if at is None else at.isoformat(),
            "token": token,
        }
        with translated("writing the state"):
            self._session.collection(STATES).replace_one(
                {"_id": self._id}, document, upsert=True, session=session
            )
        return token


def plain_schema_of(target: Target) -> pa.Schema:
    """The target's columns in types that documents have."""
    schema = arrow_schema(plain_schema(target.schema))
    refuse_names(schema, target.primary_key)
    return schema
