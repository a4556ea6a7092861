"""The table ``_rejected`` in a database; see `connectors.rejected`.

Laws: it is touched within the commit only, after everything else is locked; and it is
created before any record is merged, for a database in which creating a table commits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from connectors.arrow import described
from connectors.contract import Rejection, Target
from connectors.payload import NO_KEY, payload_of
from connectors.rejected import COLUMNS, MOST_KEPT, RejectedRecord, kept
from connectors.sql.names import TableName, listed, literal, quoted
from connectors.sql.store import Kind, Planned, Staging, Store

T = TypeVar("T")

_KEY = quoted("key")
_ROWS_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedTable:
    """One stream's rows in ``_rejected``."""

    store: Store
    name: TableName
    target: Target

    def require(self) -> None:
        """Create the table if it is not there."""
        if self.store.describe(self.name) is not None:
            return
        self.store.lock([self.name.sql])
        if self.store.describe(self.name) is None:
            self._create()

    def put(
        self, rejections: Sequence[Rejection], lost: int, *, at: datetime, complete: bool
    ) -> None:
        """Write the rows of this commit, instead of those that were about the same records.

        What is being sent through again goes first. ``complete`` says that this execution
        has read every record there is: rows of earlier ones are of no use any more.
        """
        if not (rejections or lost or complete or self.target.redriven):
            return
        if not (rejections or lost) and self.store.describe(self.name) is None:
            return
        self.require()
        self.store.lock([self.name.sql])
        for ids in _chunks(self.target.redriven):
            self._delete(f"id IN ({_literals(ids)})")
        if complete:
            self._delete(f"execution <> {literal(self.target.execution)}")
        for rows in _chunks(kept(rejections, lost, target=self.target, at=at)):
            self._replace(rows)

    def _create(self) -> None:
        plan = tuple(self._column(name, storage) for name, storage in COLUMNS.items())
        self.store.ensure_dataset(self.target.dataset)
        self.store.create(self.name, plan, (), kind=Kind.REAL)

    def _column(self, name: str, storage: str) -> Planned:
        field = described(name, storage)
        return Planned(name=name, type=self.store.column_type(field), field=field)

    def _replace(self, rows: Sequence[RejectedRecord]) -> None:
        keys = [row.key for row in rows if row.key != NO_KEY]
        if keys:
            self._delete(f"{_KEY} IN ({_literals(keys)})")
        texts = [row.payload for row in rows if row.key == NO_KEY and row.payload is not None]
        if texts:
            self._delete(f"{_KEY} = {literal(NO_KEY)} AND payload IN ({_literals(texts)})")
        values = ", ".join(f"({', '.join(self._values(row))})" for row in rows)
        self.store.execute(f"INSERT INTO {self.name.sql} ({listed(COLUMNS)}) VALUES {values}")

    def _values(self, row: RejectedRecord) -> Iterator[str]:
        for name in COLUMNS:
            value = getattr(row, name)
            if isinstance(value, datetime):
                yield self.store.spelling.instant(value)
            else:
                yield "NULL" if value is None else literal(value)

    def _delete(self, condition: str) -> None:
        owner, stream = literal(self.target.owner), literal(self.target.stream)
        self.store.execute(
            f"DELETE FROM {self.name.sql} WHERE owner = {owner} AND stream = {stream} "
            f"AND {condition}"
        )


def keyless(store: Store, staging: Staging, key: Sequence[str]) -> Sequence[Rejection]:
    """The staged records whose key is missing a part, `MOST_KEPT` at most."""
    nulls = " OR ".join(f"{quoted(name)} IS NULL" for name in key)
    texts = ", ".join(store.spelling.text(quoted(name)) for name in staging.columns)
    rows = store.rows(f"SELECT {texts} FROM {staging.name.sql} WHERE {nulls} LIMIT {MOST_KEPT}")
    reason = f"its key ({', '.join(key)}) is NULL, so it cannot be told from others"
    payloads = (payload_of(dict(zip(staging.columns, row, strict=True))) for row in rows)
    return [Rejection(key=NO_KEY, reason=reason, payload=payload) for payload in payloads]


def _literals(texts: Sequence[str]) -> str:
    return ", ".join(map(literal, texts))


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _ROWS_AT_ONCE):
        yield items[start : start + _ROWS_AT_ONCE]
