"""What becomes of records in a collection: which are written, and what that counts.

Laws: what is the same is not written; an older version never overwrites a newer one; a
record that is appended has its identity in ``_id``, so that it is there once.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo import DeleteMany, InsertOne, ReplaceOne, UpdateMany

from connectors import deleting
from connectors.contract import Counts, Deletes, Target, WriteMode
from connectors.mongodb.documents import Document, comparable, image
from connectors.mongodb.session import translated

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

DELETED_AT = "_deleted_at"
_CHUNK = 1000


@dataclass(slots=True, kw_only=True)
class Merge:
    """One commit's writes to one collection."""

    collection: "Collection[Document]"
    session: "ClientSession | None"
    target: Target
    counts: Counts = field(default_factory=Counts)
    touched: set[Any] = field(default_factory=set)
    _nth: Counter[bytes] = field(default_factory=Counter)
    _changed: set[Any] = field(default_factory=set)

    def write(self, documents: Iterable[Document]) -> None:
        """Merge records, some at a time."""
        chunk: list[Document] = []
        for document in documents:
            chunk.append({**document, "_id": self._identity(document)})
            if len(chunk) == _CHUNK:
                self._write(chunk)
                chunk = []
        if chunk:
            self._write(chunk)

    def _identity(self, document: Document) -> Any:
        key, cursor = self.target.primary_key, self.target.cursor_field
        if is_keyed(self.target):
            return key_of(document, key)
        if self.target.write_mode is WriteMode.REPLACE or not self.target.distinct:
            return document.get("_id") or ObjectId()
        bounded = key and cursor in document
        names = (*key, str(cursor)) if bounded else sorted(document)
        there = {name: document[name] for name in names if document.get(name) is not None}
        digest = blake2b(image(there, list(there)), digest_size=16).digest()
        if key:
            return digest
        self._nth[digest] += 1
        return digest + self._nth[digest].to_bytes(4)

    def _write(self, chunk: Sequence[Document]) -> None:
        wanted = {"_id": {"$in": [document["_id"] for document in chunk]}}
        with translated("writing"):
            found = list(self.collection.find(wanted, session=self.session))
        present = {seen_of_id(one["_id"]): one for one in found}
        before = set(present)
        for document in chunk:
            self._meet(document, present)
        changes: list[Any] = []
        for identity in {seen_of_id(document["_id"]): None for document in chunk}:
            if identity in self._changed:
                document = present[identity]
                known = identity in before
                by_id = {"_id": document["_id"]}
                changes.append(ReplaceOne(by_id, document) if known else InsertOne(document))
        self._changed.clear()
        if changes:
            with translated("writing"):
                self.collection.bulk_write(changes, ordered=True, session=self.session)

    def _meet(self, document: Document, present: dict[Any, Document]) -> None:
        """Decide about one record; ``present`` becomes what the collection will hold."""
        identity = seen_of_id(document["_id"])
        old = present.get(identity)
        if old is None:
            self.counts += Counts(created=1)
            self.touched.add(identity)
            self._changed.add(identity)
            present[identity] = document
            return
        if not is_keyed(self.target) or not self._overwrites(document, old, identity):
            return
        if identity not in self.touched:
            self.counts += Counts(updated=1)
        self.touched.add(identity)
        self._changed.add(identity)
        present[identity] = {**{n: v for n, v in old.items() if n != DELETED_AT}, **document}

    def _overwrites(self, new: Document, old: Document, identity: Any) -> bool:
        if DELETED_AT not in new and old.get(DELETED_AT) is not None:
            return True
        cursor = self.target.cursor_field
        if cursor is not None and cursor in new:
            ours, theirs = comparable(new[cursor]), comparable(old.get(cursor))
            if theirs is not None and (identity in self.touched if ours is None else ours < theirs):
                return False
            if ours is not None and theirs is not None and ours > theirs:
                return True
        return image(new, list(new)) != image(old, list(new))

    def clear(self) -> None:
        """Take every document away."""
        with translated("writing"):
            self.collection.delete_many({}, session=self.session)

    def unseen(self, seen: set[Any]) -> list[Any]:
        """The ``_id`` of each document, not yet marked, that a complete read has not brought."""
        with translated("writing"):
            found = self.collection.find(self._alive, {"_id": 1}, session=self.session)
            return [one["_id"] for one in found if seen_of_id(one["_id"]) not in seen]

    def present(self, ids: Sequence[Any]) -> list[Any]:
        """Those of the ids that documents have, which are not yet marked."""
        found: list[Any] = []
        for start in range(0, len(ids), _CHUNK):
            some = {**self._alive, "_id": {"$in": ids[start : start + _CHUNK]}}
            with translated("writing"):
                known = self.collection.find(some, {"_id": 1}, session=self.session)
                found += [one["_id"] for one in known]
        return found

    @property
    def _alive(self) -> Document:
        return {DELETED_AT: None} if self.target.deletes is Deletes.SOFT else {}

    def delete(self, ids: Sequence[Any], *, before: int, asks: bool, at: str) -> None:
        """Delete these documents, or mark them with ``at``; `TooManyDeletesError` may say no.

        ``before`` were deleted by earlier commits of the execution.
        """
        total = before + len(ids)
        if asks and ids and deleting.asks(self.target, total):
            with translated("counting"):
                alive = self.collection.count_documents({DELETED_AT: None}, session=self.session)
            deleting.refuse_many(self.target, deleted=total, left=alive - len(ids))
        for start in range(0, len(ids), _CHUNK):
            some = {"_id": {"$in": ids[start : start + _CHUNK]}}
            mark = UpdateMany(some, {"$set": {DELETED_AT: at}})
            change: Any = mark if self.target.deletes is Deletes.SOFT else DeleteMany(some)
            with translated("writing"):
                self.collection.bulk_write([change], session=self.session)
        self.counts += Counts(deleted=len(ids))


def is_keyed(target: Target) -> bool:
    """Whether a key decides which document a record is."""
    return bool(target.primary_key) and target.write_mode is not WriteMode.APPEND


def key_of(document: Document, key: Sequence[str]) -> Any:
    """The ``_id`` of a record: its key, or an object of its key's parts."""
    if len(key) == 1:
        return document[key[0]]
    return {part: document[part] for part in key}


def seen_of_id(identity: Any) -> Any:
    """As a member of a set; numbers of two types that are equal to MongoDB are so here."""
    return image({"_id": identity}, ["_id"]) if isinstance(identity, dict) else identity


def seen_of(document: Document, key: Sequence[str]) -> Any:
    """What `Merge.unseen` knows a record by."""
    return seen_of_id(key_of(document, key))
