"""What a stream has committed, and the columns of collections, in collections of ours."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.contract import Committed, Counts, State, Target
from connectors.errors import TransientError
from connectors.mongodb.session import MongoSession, translated

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


def make(session: MongoSession, name: str) -> None:
    """Make a collection anew, and those of ours: no transaction may have to."""
    with translated("making the collection"):
        session.collection(TABLES).delete_one({"_id": name})
        known = session.database.list_collection_names()
        for one in (name, STATES, TABLES):
            if one not in known:
                session.database.create_collection(one)


def describe(
    session: MongoSession, name: str, schema: pa.Schema, *, within: ClientSession | None
) -> None:
    """Say which columns a collection has; from then on it is ours."""
    described = {"_id": name, "schema": schema.serialize().to_pybytes()}
    with translated("describing the collection"):
        session.collection(TABLES).replace_one(
            {"_id": name}, described, upsert=True, session=within
        )


@dataclass(slots=True)
class StateDocument:
    """One stream's state; ``token`` tells which version of it was seen or written last."""

    session: MongoSession
    target: Target
    token: str | None = None

    @property
    def _id(self) -> Mapping[str, str]:
        to = self.target
        return {"owner": to.owner, "stream": to.stream, "dataset": to.dataset}

    def read(self, *, there: bool) -> Committed:
        """What this execution continues from; nothing where the collection is not ``there``."""
        found = self._find(None)
        self.token = None if found is None else found["token"]
        if found is None or not there:
            return Committed(execution=self.target.execution)
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
        return known.resumed_by(self.target.execution, restart=self.target.restart)

    def verify(self, within: ClientSession | None) -> None:
        """`TransientError` if another execution has written it meanwhile."""
        found = self._find(within)
        if (None if found is None else found["token"]) != self.token:
            raise TransientError(
                f"the state of {self.target.stream!r} was moved while this execution was "
                "writing; nothing of it was committed"
            )

    def write(self, committed: Committed, within: ClientSession | None) -> str:
        """Write it; its token, which is this writer's once the transaction is committed."""
        state, token, at = committed.state, secrets.token_hex(8), committed.committed_at
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
            self.session.collection(STATES).replace_one(
                {"_id": self._id}, document, upsert=True, session=within
            )
        return token

    def _find(self, within: ClientSession | None) -> Mapping[str, Any] | None:
        with translated("reading the state"):
            return self.session.collection(STATES).find_one({"_id": self._id}, session=within)
