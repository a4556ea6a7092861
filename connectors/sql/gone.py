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
        """A table of the keys, that ends with the commit; None if there are none."""
        keys = self.keys()
        if keys is None:
            return None
        name = TableName(table=f"_gone_{secrets.token_hex(4)}")
        staging = Staging(name=name, plan=chosen(plan, self._key), direct=False)
        store.begin(arrow=True)
        store.create(name, staging.plan, (), kind=Kind.STAGED)
        store.stage(staging, keys)
        return name

    def _tuples(self, keys: pa.Table) -> list[tuple[Any, ...]]:
        columns = [keys.column(name).to_pylist() for name in self._key]
        return list(zip(*columns, strict=True))
