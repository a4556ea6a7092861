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

from connectors.contract import Counts, Target, WriteMode
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

    @property
    def keyed(self) -> bool:
        """Whether a key decides which document a record is."""
        return bool(self.target.primary_key) and self.target.write_mode is not WriteMode.APPEND

    def write(self, documents: Iterable[Document]) -> None:
        """Merge records, some at a time."""
        chunk: list[Document] = []
        for document in documents:
            if self.keyed and any(document.get(part) is None for part in self.target.primary_key):
                self.counts += Counts(processed=-1, rejected=1)
                continue
            chunk.append({**document, "_id": self._identity(document)})
            if len(chunk) == _CHUNK:
                self._write(chunk)
                chunk = []
        if chunk:
            self._write(chunk)

    def _identity(self, document: Document) -> Any:
        key, cursor = self.target.primary_key, self.target.cursor_field
        if self.keyed:
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
        present = {_hashed(one["_id"]): one for one in found}
        before = set(present)
        for document in chunk:
            self._meet(document, present)
        changes: list[Any] = []
        for identity in {_hashed(document["_id"]): None for document in chunk}:
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
        identity = _hashed(document["_id"])
        old = present.get(identity)
        if old is None:
            self.counts += Counts(created=1)
            self.touched.add(identity)
            self._changed.add(identity)
            present[identity] = document
            return
        if not self.keyed or not self._overwrites(document, old, identity):
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

    def delete_unseen(self, seen: set[Any], *, at: str | None) -> int:
        """Delete, or mark with ``at``, the documents that a complete read has not brought."""
        alive = {} if at is None else {DELETED_AT: None}
        with translated("writing"):
            ids = [
                one["_id"]
                for one in self.collection.find(alive, {"_id": 1}, session=self.session)
                if _hashed(one["_id"]) not in seen
            ]
            for start in range(0, len(ids), _CHUNK):
                some = {"_id": {"$in": ids[start : start + _CHUNK]}}
                mark = UpdateMany(some, {"$set": {DELETED_AT: at}})
                change: Any = DeleteMany(some) if at is None else mark
                self.collection.bulk_write([change], session=self.session)
        return len(ids)


def key_of(document: Document, key: Sequence[str]) -> Any:
    """The ``_id`` of a record: its key, or an object of its key's parts."""
    if len(key) == 1:
        return document[key[0]]
    return {part: document[part] for part in key}


def _hashed(identity: Any) -> Any:
    """As a member of a set; numbers of two types that are equal to MongoDB are so here."""
    return image({"_id": identity}, ["_id"]) if isinstance(identity, dict) else identity


def seen_of(document: Document, key: Sequence[str]) -> Any:
    """What `Merge.delete_unseen` knows a record by."""
    return _hashed(key_of(document, key))
