"""Recognises records that the table has already, so that they need not be written.

An incremental read begins at its watermark, so the rows at that edge come every time, and
mostly nothing else. To look these few up costs a fraction of staging and merging them.

Law: only what the table has to the last byte, in a row that moves no watermark, is left
out; whatever is not sure of that is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, runtime_checkable

from connectors.contract import Counts, Greatest, PgCopy, State, Target
from connectors.late import pa
from connectors.sql.names import TableName
from connectors.sql.store import DELETED_AT, Plan, Store, changes, plan_of
from connectors.sql.tables import Table

MOST_BYTES = 8 * 1024
MOST_VALUES = 2_000
"""So little is worth a look; where more comes, something is new, most likely."""


@runtime_checkable
class Recognizing(Protocol):
    """What a store may be besides: one that tells whether a table has these very records."""

    def holding(
        self,
        name: TableName,
        plan: Plan,
        few: pa.Table | bytes,
        *,
        key: Sequence[str],
        until: tuple[str, str] | None,
    ) -> int | None:
        """How many records these are, if the table has every one of them; None if not.

        ``few`` are records, or a whole COPY BINARY stream, of these columns. ``until`` names
        one of them, and what it may be at most.
        """
        ...


@dataclass(frozen=True, slots=True)
class Edge:
    """The records that one writer is given, before it stages them."""

    store: Store
    target: Target

    def sifted(
        self,
        data: pa.Table | PgCopy,
        mark: State | Greatest | None,
        known: State | None,
        *,
        present: Table | None,
        plan: Plan,
    ) -> tuple[Counts | None, pa.Table | PgCopy]:
        """What to count for records that the table has; else None. And the data, unread."""
        if present is None or not isinstance(self.store, Recognizing):
            return None, data
        if present.column(DELETED_AT) is not None:  # a record that comes back loses its mark
            return None, data
        until = None
        if isinstance(mark, Greatest):
            reached = known.watermark if known and known.version == mark.version else None
            if reached is None:
                return None, data
            until = (mark.column, reached)
        few, data = _few(data)
        if few is None or any(changes(plan_of(present), plan)):
            return None, data
        columns = data.columns if isinstance(data, PgCopy) else data.column_names
        types = {column.name: column for column in plan}
        arriving = tuple(types[name] for name in columns)
        key = self.target.primary_key
        rows = self.store.holding(present.name, arriving, few, key=key, until=until)
        if rows is None:
            return None, data
        size = len(few) if isinstance(few, bytes) else few.nbytes
        return Counts(processed=rows, bytes=size), data


def _few(data: pa.Table | PgCopy) -> tuple[pa.Table | bytes | None, pa.Table | PgCopy]:
    """All of the data, if it is little; and the data, to be read from its beginning."""
    if not isinstance(data, PgCopy):
        values = data.num_rows * data.num_columns
        little = data.nbytes <= MOST_BYTES and values <= MOST_VALUES
        return (data if little else None), data
    chunks = iter(data.chunks)
    taken: list[bytes] = []
    size = 0
    for chunk in chunks:
        taken.append(chunk)
        size += len(chunk)
        if size > MOST_BYTES:
            return None, PgCopy(columns=data.columns, chunks=chain(taken, chunks))
    return b"".join(taken), PgCopy(columns=data.columns, chunks=iter(taken))
