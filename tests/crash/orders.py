"""The table that is synced while processes die: how it changes, and what it holds.

Law: every change is one that the sync promises to see: its cursor lies at or after
the greatest one so far, or within the lag, or is NULL.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from random import Random
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from connectors.contract import Deletes, SyncMode, WriteMode
from connectors.testing.rows import at
from connectors.testing.values import spelled_decimal, spelled_instant, spelled_integer
from sync_pipelines.model.sync import SyncStream

LAG_SECONDS = 30
COLUMNS: Mapping[str, Callable[[Any], str]] = {
    "id": spelled_integer,
    "changed_at": spelled_instant,
    "number": spelled_integer,
    "price": spelled_decimal,
    "note": str,
    "doc": str,
}
"""The columns, and how a value of each is spelled whichever database it comes from."""

Values = tuple[str, ...]


class Manner(StrEnum):
    """What a sync does; ``mirror`` is a full upsert that deletes what is gone."""

    APPEND = "append"
    UPSERT = "upsert"
    REPLACE = "replace"
    MIRROR = "mirror"

    @property
    def is_incremental(self) -> bool:
        return self in (Manner.APPEND, Manner.UPSERT)


@dataclass(slots=True)
class Orders:
    """One source table, under one seed's choices.

    ``versions`` are all rows there have ever been, each as often as it was added.
    """

    connection: psycopg.Connection[tuple[Any, ...]]
    table: str
    manner: Manner
    rng: Random
    keyed: bool = True
    indexed: bool = True
    lag: int = 0
    timeless: bool = False
    tick: int = 0
    next_id: int = 1
    versions: Counter[Values] = field(default_factory=Counter)

    @classmethod
    def create(
        cls,
        connection: psycopg.Connection[tuple[Any, ...]],
        table: str,
        manner: Manner,
        rng: Random,
    ) -> "Orders":
        orders = cls(connection=connection, table=table, manner=manner, rng=rng)
        orders.keyed = manner in (Manner.UPSERT, Manner.MIRROR) or rng.random() < 0.5
        orders.indexed = rng.random() < 0.7
        orders.lag = LAG_SECONDS if manner.is_incremental and rng.random() < 0.5 else 0
        orders.timeless = rng.random() < 0.3
        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, TextLoader)
        key = "PRIMARY KEY" if orders.keyed else "NOT NULL"
        orders._execute(
            f"CREATE TABLE {{}} (id bigint {key}, changed_at timestamptz, number bigint, "
            "price numeric(12,2), note text, doc jsonb)"
        )
        if orders.indexed:
            orders._execute("CREATE INDEX ON {} (changed_at)")
        orders.insert(rng.randint(30, 90))
        return orders

    @property
    def stream(self) -> SyncStream:
        """The sync's stream."""
        modes = {
            Manner.APPEND: (SyncMode.INCREMENTAL, WriteMode.APPEND, Deletes.KEEP),
            Manner.UPSERT: (SyncMode.INCREMENTAL, WriteMode.UPSERT, Deletes.KEEP),
            Manner.REPLACE: (SyncMode.FULL, WriteMode.REPLACE, Deletes.KEEP),
            Manner.MIRROR: (SyncMode.FULL, WriteMode.UPSERT, Deletes.HARD),
        }
        sync_mode, write_mode, deletes = modes[self.manner]
        return SyncStream(
            name=self.table,
            sync_mode=sync_mode,
            write_mode=write_mode,
            deletes=deletes,
            cursor_field="changed_at",
            lag=timedelta(seconds=self.lag),
            table="orders",
        )

    def change(self) -> None:
        """What happens at the source while nobody looks."""
        self.insert(self.rng.randint(0, 25))
        if self.keyed:
            self.update(self.rng.randint(0, 15))
        if not self.manner.is_incremental:
            self.delete(self.rng.randint(0, 10))

    def insert(self, count: int) -> None:
        """New rows, many at one time; without a key some of them twice."""
        for _ in range(count):
            twins = 1 if self.keyed else self.rng.choice((1, 1, 1, 2, 3))
            values = (self.next_id, self._moment(), *self._content())
            for _ in range(twins):
                self._execute("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s)", *values)
            self.next_id += 1
        self._remember()

    def update(self, count: int) -> None:
        """New content for some rows, never with an earlier time than they had."""
        for _ in range(count):
            identity = self.rng.randrange(1, self.next_id)
            # A later version under the same cursor cannot be told from the earlier one.
            self.tick += self.manner is Manner.APPEND
            latest = at(self.tick)
            moment = latest if self.manner is Manner.APPEND else self._moment() or latest
            self._execute(
                "UPDATE {} SET changed_at = greatest(changed_at, %s), "
                "number = %s, price = %s, note = %s, doc = %s WHERE id = %s",
                moment,
                *self._content(),
                identity,
            )
        self._remember()

    def delete(self, count: int) -> None:
        """Rows that go away, but never all of them."""
        for _ in range(count):
            identity = self.rng.randrange(2, self.next_id)
            self._execute("DELETE FROM {} WHERE id = %s", identity)

    def rows(self) -> Counter[Values]:
        """What the source holds now."""
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(self.table))
        return Counter(
            spelled(dict(zip(COLUMNS, row, strict=True))) for row in self.connection.execute(query)
        )

    def _remember(self) -> None:
        self.versions |= self.rows()

    def _moment(self) -> Any:
        """A time that the next read will see: often the very latest one again."""
        if self.timeless and self.rng.random() < 0.15:
            return None
        if self.lag and self.rng.random() < 0.2:
            return at(self.tick - self.rng.uniform(0, self.lag - 1))
        self.tick += self.rng.random() < 0.3
        return at(self.tick)

    def _content(self) -> tuple[Any, ...]:
        rng = self.rng
        return (
            rng.choice((None, 2**63 - 1, rng.randrange(-(2**63), 2**63))),
            rng.choice((None, f"{rng.randrange(-(10**12), 10**12) / 100:.2f}")),
            rng.choice((None, "", 'it\'s "so"\n\\', f"{rng.random()}")),
            rng.choice((None, "{}", f'{{"a": [1, null, "{rng.random()}"]}}')),
        )

    def _execute(self, statement: str, *values: Any) -> None:
        composed = sql.SQL(statement).format(sql.Identifier(self.table))  # type: ignore[arg-type]
        self.connection.execute(composed, values or None)


def spelled(record: Mapping[str, Any]) -> Values:
    """A row in canonical spelling."""
    return tuple(
        "NULL" if record[name] is None else spell(record[name]) for name, spell in COLUMNS.items()
    )
