"""What QuickBooks cannot keep for us: the state of each stream, and which record became what.

It is kept in a database of the tenant's choice. Laws:

* An object is noted as soon as QuickBooks has confirmed it, in a transaction of its own:
  what is noted exists. What exists need not be noted yet; it is looked up before anything
  is created.
* Counts and state move in one transaction, after all records that they speak of.
* A company has entries of its own: another company starts from nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.arrow import described
from connectors.contract import Committed, Counts, Rejection, Target
from connectors.rejected import MOST_KEPT, REJECTED_TABLE
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.destination import open_store
from connectors.sql.names import TableName, listed, literal
from connectors.sql.rejected import RejectedTable
from connectors.sql.state import StateTable, Stored
from connectors.sql.store import Kind, Planned, Store, plan_of, transaction

STATE_TABLE = "_quickbooks_state"
ENTRY_TABLE = "_quickbooks_objects"
DATASETS = {Dialect.POSTGRESQL: "public", Dialect.SQLITE: "main", Dialect.DUCKDB: "main"}
AT_ONCE = 500
"""Keys that are asked for in one statement."""
_KEY = ("owner", "entity", "key")
_COLUMNS = {
    **dict.fromkeys((*_KEY, "id", "sync_token", "digest", "execution", "action"), "string"),
    "counted": "bool",
    "newest": "string",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object: the record it came from, as it was last sent (``digest``).

    ``action`` is ``created``, ``updated``, or ``matched`` for one that was there before.
    """

    entity: str
    key: str
    id: str
    sync_token: str
    digest: str
    action: str


class Ledger:
    """One stream's part of the ledger."""

    def __init__(self, config: DatabaseConfig, target: Target, *, realm: str) -> None:
        self._store: Store = open_store(config)
        self.owner = f"{realm} {target.owner}"
        dataset = DATASETS[config.dialect]
        target = replace(target, dataset=dataset)
        self._aside = RejectedTable(
            store=self._store, name=self._store.table_name(dataset, REJECTED_TABLE), target=target
        )
        target = replace(target, owner=self.owner)
        self._target = target
        self._name: TableName = self._store.table_name(dataset, ENTRY_TABLE)
        name = self._store.table_name(dataset, STATE_TABLE)
        self._states = StateTable(store=self._store, name=name, target=target)
        self._known: Stored | None = None
        self._versions: Mapping[str, str] = {}
        self._versioned: Sequence[str] = ()

    def open(self) -> Committed:
        """What is committed, seen from this execution."""
        self._known = self._states.open()
        present = self._store.describe(self._name)
        if present is None or present.column("newest") is None:
            self._prepare()
        fresh = Committed(execution=self._target.execution)
        if self._known is None:
            return fresh
        return self._known.committed.resumed_by(
            self._target.execution, restart=self._target.restart
        )

    def _prepare(self) -> None:
        """Make the table, or add what one of an earlier version lacks."""
        plan = []
        for name, storage in _COLUMNS.items():
            field = described(name, storage)
            plan.append(Planned(name=name, type=self._store.column_type(field), field=field))
        with transaction(self._store):
            self._store.lock([self._name.sql])
            present = self._store.describe(self._name)
            if present is None:
                self._store.create(self._name, tuple(plan), _KEY, kind=Kind.REAL)
            elif present.column("newest") is None:
                before = plan_of(present)
                self._store.evolve(self._name, before, (*before, plan[-1]))

    def verify(self) -> None:
        """`TransientError` if another writer has moved the state meanwhile."""
        self._states.verify(self._known)

    def versions(self, entities: Sequence[str], keys: Sequence[str]) -> Mapping[str, str]:
        """As which version these records were sent last, by key; what is not known is left out."""
        found: dict[str, str] = {}
        for entity in entities:
            for start in range(0, len(keys), AT_ONCE):
                these = self._these(entity, keys[start : start + AT_ONCE])
                query = f"SELECT {listed(('key', 'newest'))} FROM {self._name.sql} WHERE {these}"
                found |= {key: newest for key, newest in self._store.rows(query) if newest}
        return found

    def send_as(self, entities: Sequence[str], versions: Mapping[str, str]) -> None:
        """From now on, what is noted of these entities and keys is of these versions."""
        self._versioned, self._versions = entities, versions

    def find(self, entity: str, keys: Sequence[str]) -> Mapping[str, Entry]:
        """What these records became, by key."""
        if not keys:
            return {}
        columns = ("key", "id", "sync_token", "digest", "action")
        rows = self._store.rows(
            f"SELECT {listed(columns)} FROM {self._name.sql} WHERE {self._these(entity, keys)}"
        )
        return {
            row[0]: Entry(entity=entity, **dict(zip(columns, row, strict=True))) for row in rows
        }

    def note(self, entries: Sequence[Entry]) -> None:
        """Keep these, durably, in place of what was noted of the same records."""
        if not entries:
            return
        with transaction(self._store):
            self._store.lock([f"{self._name.sql} {self.owner}"])
            for entity in dict.fromkeys(entry.entity for entry in entries):
                keys = [entry.key for entry in entries if entry.entity == entity]
                self._store.execute(
                    f"DELETE FROM {self._name.sql} WHERE {self._these(entity, keys)}"
                )
            rows = ", ".join(self._row(entry) for entry in entries)
            self._store.execute(f"INSERT INTO {self._name.sql} ({listed(_COLUMNS)}) VALUES {rows}")

    def commit(
        self, committed: Committed, entities: Sequence[str], rejections: Sequence[Rejection]
    ) -> Committed:
        """Move the state; the counts gain what this execution did and had not counted.

        Rejected records are set aside in ``_rejected``. `TransientError` if another writer
        has moved the state meanwhile.
        """
        with transaction(self._store):
            self._store.lock([self._states.lock_name])
            self._states.verify(self._known)
            done = self._uncounted(entities)
            committed = replace(committed, counts=committed.counts + done)
            self._store.execute(
                f"UPDATE {self._name.sql} SET counted = TRUE WHERE {self._mine(entities)}"
            )
            self._known = self._states.write(committed)
            assert committed.committed_at is not None
            self._aside.put(
                rejections[:MOST_KEPT],
                max(0, len(rejections) - MOST_KEPT),
                at=committed.committed_at,
                complete=committed.finished and self._target.complete,
            )
        return committed

    def _uncounted(self, entities: Sequence[str]) -> Counts:
        """Also what an attempt did that died before its commit: nobody has counted it."""
        found = dict(
            self._store.rows(
                f"SELECT action, COUNT(*) FROM {self._name.sql} "
                f"WHERE {self._mine(entities)} AND NOT counted GROUP BY action"
            )
        )
        return Counts(created=int(found.get("created", 0)), updated=int(found.get("updated", 0)))

    def _mine(self, entities: Sequence[str]) -> str:
        among = ", ".join(literal(entity) for entity in entities)
        return (
            f"owner = {literal(self.owner)} AND entity IN ({among}) "
            f"AND execution = {literal(self._target.execution)}"
        )

    def _these(self, entity: str, keys: Sequence[str]) -> str:
        among = ", ".join(literal(key) for key in dict.fromkeys(keys))
        return f"owner = {literal(self.owner)} AND entity = {literal(entity)} AND key IN ({among})"

    def _row(self, entry: Entry) -> str:
        texts = (
            self.owner,
            entry.entity,
            entry.key,
            entry.id,
            entry.sync_token,
            entry.digest,
            self._target.execution,
            entry.action,
        )
        newest = self._versions.get(entry.key) if entry.entity in self._versioned else None
        said = "NULL" if newest is None else literal(newest)
        return f"({', '.join(literal(text) for text in texts)}, FALSE, {said})"

    def close(self) -> None:
        """Release the connection; safe to call twice."""
        self._store.close()
