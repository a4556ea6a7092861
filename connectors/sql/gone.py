"""Keys of records that the source says are gone, until a commit deletes them.

Law: a deletion undoes what came before it, and what comes after it undoes the deletion.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from connectors.late import pa
from connectors.sql.names import TableName
from connectors.sql.store import Kind, Plan, Staging, Store, chosen


class Gone:
    """What one writer has been told of and not yet committed."""

    def __init__(self, key: Sequence[str]) -> None:
        self._key = tuple(key)
        self._found: dict[tuple[Any, ...], None] = {}
        self._schema: pa.Schema | None = None
        self._staging: Staging | None = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, keys: pa.Table) -> None:
        """These records are gone."""
        keys = keys.select(list(self._key))
        self._schema = self._schema or keys.schema
        self._found.update(dict.fromkeys(self._tuples(keys)))

    def bring_back(self, data: pa.Table) -> None:
        """These records have come after all that was gone before."""
        for one in self._tuples(data.select(list(self._key))) if self._found else ():
            self._found.pop(one, None)

    def clear(self) -> None:
        """All of it is committed."""
        self._found.clear()

    def keys(self) -> pa.Table | None:
        """The keys; None if there are none."""
        if not self._found or self._schema is None:
            return None
        rows = [dict(zip(self._key, one, strict=True)) for one in self._found]
        return pa.Table.from_pylist(rows, schema=self._schema)

    def staged(self, store: Store, plan: Plan) -> TableName | None:
        """A table of the keys, which the next commit fills anew; None if there are none."""
        keys = self.keys()
        if keys is None:
            return None
        store.begin(arrow=True)
        staging = self._emptied(store, chosen(plan, self._key))
        store.stage(staging, keys)
        return staging.name

    def _emptied(self, store: Store, plan: Plan) -> Staging:
        """It is kept, and not staged like records, because keys are looked up in it."""
        if self._staging is not None and self._staging.plan == plan:
            store.execute(f"DELETE FROM {self._staging.name.sql}")
            return self._staging
        name = TableName(table=f"_gone_{secrets.token_hex(4)}")
        store.create(name, plan, (), kind=Kind.KEPT)
        self._staging = Staging(name=name, plan=plan, direct=False)
        return self._staging

    def _tuples(self, keys: pa.Table) -> list[tuple[Any, ...]]:
        columns = [keys.column(name).to_pylist() for name in self._key]
        return list(zip(*columns, strict=True))
