"""Syncs for real in processes that are killed, until they get through; then compares.

Laws proven here: whatever moment a process dies at, and however often, the sync
gets through when it is run again; then the destination holds what the source
holds, no row lost or doubled, and the execution's counts are exact.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg

from connectors.contract import Counts, Encoding
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import Sync
from tests.contract.mysql_system import Mariadb
from tests.contract.systems import Duckdb, Postgres, Sqlite
from tests.crash.child import Order
from tests.crash.children import Children, End
from tests.crash.orders import Manner, Orders, Values, spelled
from tests.world import World

EXECUTIONS = 2
MOST_KILLS = 3
MOST_ATTEMPTS = 40
SLOWEST_COMMIT_SECONDS = 0.012
"""How long after a commit has begun a process may be killed from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What is synced how, and to where."""

    manner: Manner
    encoding: Encoding
    destination: str

    def __str__(self) -> str:
        return f"{self.manner}-{self.encoding}-{self.destination}"


COMBINATIONS = tuple(
    Combination(manner=manner, encoding=encoding, destination=destination)
    for encoding, destinations in (
        (Encoding.ARROW, ("postgresql", "sqlite", "duckdb")),
        (Encoding.PGCOPY, ("postgresql",)),
    )
    for destination in destinations
    for manner in Manner
)


@dataclass(slots=True, kw_only=True)
class Harness:
    """One catalog, one source, and a destination for each case."""

    server: str
    directory: Path
    children: Children
    catalog: Catalog
    key: str
    mutant: bool = False
    mariadb: str = ""
    kills: Counter[str] = field(default_factory=Counter)
    _usual_steps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def run(self, combination: Combination, seed: int) -> None:
        """Prove one case; AssertionError says what was lost, doubled or miscounted."""
        rng = Random(f"{combination}/{seed}")
        with psycopg.connect(self.server, autocommit=True) as connection:
            table = f"orders_{uuid4().hex[:12]}"
            orders = Orders.create(connection, table, combination.manner, rng)
            case = _Case(
                harness=self, combination=combination, orders=orders, rng=rng, name=table, seed=seed
            )
            for _ in range(EXECUTIONS):
                case.execute()
                orders.change()
            case.execute(killed=False)

    def steps(self, combination: Combination) -> tuple[int, int]:
        """About how many steps an attempt takes; guessed before it is known."""
        return self._usual_steps.get(str(combination), (4000, 800))

    def learn(self, combination: Combination, steps: tuple[int, int]) -> None:
        """An attempt that nobody killed took so many steps."""
        self._usual_steps[str(combination)] = steps


@contextmanager
def harness(
    server: str, directory: Path, *, mutant: bool = False, mariadb: str = ""
) -> Iterator[Harness]:
    """A harness on an empty database, which will hold catalog, sources and warehouse."""
    key = new_key()
    catalog = open_catalog(server, SecretBox((key,)))
    children = Children(directory / "children.log")
    try:
        yield Harness(
            server=server,
            directory=directory,
            children=children,
            catalog=catalog,
            key=key,
            mutant=mutant,
            mariadb=mariadb,
        )
    finally:
        children.close()
        catalog.close()


@dataclass(slots=True, kw_only=True)
class _Case:
    harness: Harness
    combination: Combination
    orders: Orders
    rng: Random
    name: str
    seed: int
    _sync: Sync | None = None
    _there: Any = None

    @property
    def sync(self) -> Sync:
        if self._sync is None:
            self._sync = World(self.harness.catalog).sync(
                f"crash/{self.name}",
                streams=(self.orders.stream,),
                source={"url": self.harness.server},
                destination={"url": self.url},
                retry=RetryPolicy(max_attempts=MOST_ATTEMPTS + 1),
            )
        return self._sync

    @property
    def there(self) -> Any:
        """The destination, by its own driver."""
        if self._there is None:
            home = self.harness.directory / self.name
            home.mkdir(exist_ok=True)
            systems = {
                "postgresql": lambda: Postgres(self.harness.server, fresh=False),
                "sqlite": lambda: Sqlite(home),
                "duckdb": lambda: Duckdb(home),
                "mariadb": lambda: Mariadb(self.harness.mariadb),
            }
            self._there = systems[self.combination.destination]()
        return self._there

    @property
    def url(self) -> str:
        return str(self.there.url)

    def stored(self) -> Counter[Values]:
        """What the destination holds now."""
        found = self.there.records(self.sync.dataset, "orders")
        return Counter(spelled(record) for record in found or [])

    def execute(self, *, killed: bool = True) -> None:
        """One execution, killed a few times on its way, checked in the end."""
        before, sources = self.stored(), [self.orders.rows()]
        execution = trigger(self.harness.catalog, self.sync, now=datetime.now(UTC), queued=True)
        kills = self.rng.randint(1, MOST_KILLS) if killed else 0
        number = 1
        for tries in range(MOST_ATTEMPTS):
            end = self.attempt(execution, number, kill=tries < kills)
            following = self.settled(execution, end)
            if following is None:
                self.check(execution, before, sources)
                return
            number = following
            if self.rng.random() < 0.3:
                self.orders.change()
                sources.append(self.orders.rows())
        raise AssertionError(self.told(f"did not get through in {MOST_ATTEMPTS} attempts"))

    def attempt(self, execution: UUID, number: int, *, kill: bool) -> End:
        """One process, which may be killed at some moment."""
        total, within = self.harness.steps(self.combination)
        die_at, in_commit, kill_after = 0, False, None
        way = self.rng.choice(("step", "step", "commit", "outside")) if kill else ""
        if way == "step":
            die_at = self.rng.randint(1, total)
        elif way == "commit":
            die_at, in_commit = self.rng.randint(1, within), True
        elif way == "outside":
            kill_after = self.rng.randint(1, 3), self.rng.uniform(0, SLOWEST_COMMIT_SECONDS)
        order = Order(
            catalog=self.harness.server,
            key=self.harness.key,
            execution=str(execution),
            attempt=number,
            encoding=self.combination.encoding,
            batch_rows=self.rng.randint(5, 25),
            die_at=die_at,
            in_commit=in_commit,
            mutant=self.harness.mutant,
        )
        end = self.harness.children.run(order, kill_after=kill_after)
        if end.killed:
            self.harness.kills[way] += 1
        elif end.steps[1]:
            self.harness.learn(self.combination, end.steps)
        return end

    def settled(self, execution: UUID, end: End) -> int | None:
        """Settle an attempt that was killed; the next one's number, None if it got through."""
        assert end.killed or "transient" in end.why or end.status == Status.COMPLETED, self.told(
            f"{end.status}: {end.why}"
        )
        with self.harness.catalog.begin() as db:
            found = histories.find(db, execution, tenant_id=self.sync.tenant_id)
        assert found is not None
        there = found.execution
        if there.status is Status.RUNNING:
            now = datetime.now(UTC)
            lost = settle_lost(
                self.harness.catalog, execution, attempt=there.attempt, now=now, rng=self.rng
            )
            assert lost is not None, self.told("a killed attempt could not be settled")
            there = lost
        if there.status is Status.COMPLETED:
            return None
        assert there.is_waiting, self.told(f"ended as {there.status}: {found.error_message}")
        return there.attempt

    def check(
        self, execution: UUID, before: Counter[Values], sources: list[Counter[Values]]
    ) -> None:
        """The destination is the source as it was at one moment, and the counts are exact.

        ``sources`` is what the source was since the execution began: an attempt that
        died when all was done has not seen what changed after its death.
        """
        after = self.stored()
        if self.combination.manner is Manner.APPEND and self.orders.keyed:
            extra = after - self.orders.versions
            lost = Counter() if any(not one - after for one in sources) else sources[-1] - after
        else:
            agreed = after in sources
            extra = Counter() if agreed else after - sources[-1]
            lost = Counter() if agreed else sources[-1] - after
        assert not lost, self.told(f"lost: {lost}; and doubled or stale: {extra}")
        assert not extra, self.told(f"doubled or stale: {extra}")
        with self.harness.catalog.begin() as db:
            entry = histories.find(db, execution, tenant_id=self.sync.tenant_id)
        assert entry is not None
        self.check_counts(entry.counts, before, after, changed=len(sources) > 1)

    def check_counts(
        self, counts: Counts, before: Counter[Values], after: Counter[Values], *, changed: bool
    ) -> None:
        """Counts are those of all attempts together, each thing counted once."""
        manner = self.combination.manner
        old, new = ({row[0]: row for row in rows} for rows in (before, after))
        created = after.total() - (0 if manner is Manner.REPLACE else before.total())
        if manner is Manner.MIRROR:
            created = len(new.keys() - old.keys())
            assert counts.deleted == len(old.keys() - new.keys()), self.told(f"{counts}")
        assert counts.created == created, self.told(f"{counts}, and {created} are new")
        assert counts.rejected == 0, self.told(f"{counts}")
        assert counts.processed >= counts.created + counts.updated, self.told(f"{counts}")
        if manner in (Manner.UPSERT, Manner.MIRROR):
            updated = sum(old[key] != new[key] for key in old.keys() & new.keys())
            exact = not changed or manner is Manner.MIRROR
            assert counts.updated == updated if exact else counts.updated >= updated, self.told(
                f"{counts}, and {updated} were updated"
            )

    def told(self, what: str) -> str:
        """A failure, and how to see it again."""
        orders = self.orders
        return (
            f"{self.combination}, seed {self.seed} (keyed={orders.keyed}, "
            f"indexed={orders.indexed}, lag={orders.lag}, timeless={orders.timeless}): {what}; "
            f"again: python -m tests.crash --only {self.combination} --first {self.seed} --seeds 1"
        )
