"""The collection ``_rejected`` of a dataset; see `connectors.rejected`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.contract import Rejection, Target
from connectors.mongodb.documents import documents
from connectors.mongodb.session import MongoSession, translated
from connectors.mongodb.state import collection_name, describe, known_schema, make
from connectors.payload import NO_KEY
from connectors.rejected import REJECTED_TABLE, RejectedRecord, kept, rejected_schema

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession

_AT_ONCE = 500


@dataclass(slots=True)
class RejectedCollection:
    """One stream's documents in ``_rejected``."""

    session: MongoSession
    target: Target

    @property
    def name(self) -> str:
        """The collection's name."""
        return collection_name(self.target.dataset, REJECTED_TABLE)

    def require(self) -> None:
        """Make the collection if it is not there, before the transaction begins."""
        if known_schema(self.session, self.name) is None:
            make(self.session, self.name)
            describe(self.session, self.name, rejected_schema(), within=None)

    def put(
        self,
        rejections: Sequence[Rejection],
        lost: int,
        *,
        at: datetime,
        complete: bool,
        within: ClientSession | None,
    ) -> None:
        """Write the documents of this commit, instead of those about the same records.

        What is being sent through again goes first. ``complete`` says that this execution
        has read every record there is: documents of earlier ones are of no use any more.
        """
        redriven = list(self.target.redriven)
        if redriven:
            self._delete({"id": {"$in": redriven}}, within)
        if complete:
            self._delete({"execution": {"$ne": self.target.execution}}, within)
        rows = kept(rejections, lost, target=self.target, at=at)
        for start in range(0, len(rows), _AT_ONCE):
            self._replace(rows[start : start + _AT_ONCE], within)

    def _replace(self, rows: Sequence[RejectedRecord], within: ClientSession | None) -> None:
        keys = [row.key for row in rows if row.key != NO_KEY]
        texts = [row.payload for row in rows if row.key == NO_KEY]
        self._delete({"key": {"$in": keys}}, within)
        self._delete({"key": NO_KEY, "payload": {"$in": texts}}, within)
        with translated("keeping rejected records"):
            self.session.collection(self.name).insert_many(list(_spelled(rows)), session=within)

    def _delete(self, condition: Mapping[str, Any], within: ClientSession | None) -> None:
        mine = {"owner": self.target.owner, "stream": self.target.stream, **condition}
        with translated("keeping rejected records"):
            self.session.collection(self.name).delete_many(mine, session=within)


def _spelled(rows: Sequence[RejectedRecord]) -> Iterator[dict[str, Any]]:
    schema = rejected_schema()
    data = pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    for document in documents(data, {one.name: one for one in schema}):
        yield {"_id": document["id"], **document}
