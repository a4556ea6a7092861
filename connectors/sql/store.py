"""What a writer needs of a dialect: one connection, and the few things spelled differently.

Law: between `Store.lock` and `Store.commit` nobody else commits to the same table by
way of us, and nothing of it is visible to readers; `Store.rollback`, or the death of
the process, leaves no trace of what was staged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Protocol

from connectors.arrow import described, evolved, native_of
from connectors.contract import Counts, Greatest, PgCopy, State
from connectors.described import AnyField, DescribedSchema, Schema, same, schema_of
from connectors.errors import ConfigError
from connectors.late import pa
from connectors.sql.names import TableName, literal
from connectors.sql.tables import Table

DELETED_AT = "_deleted_at"
"""The column that a soft delete sets; ours alone."""

STATE_TABLE = "_sync_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A column as it will be: its name, its type in this dialect's DDL, its Arrow field."""

    name: str
    type: str
    field: AnyField


Plan = tuple[Planned, ...]


class Kind(StrEnum):
    """How long a table lives.

    A real one stays; a staged one ends with its commit; a kept one with the connection.
    """

    REAL = "real"
    STAGED = "staged"
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """Where the records of the next commit wait.

    ``direct`` tells that it is a real table, to be given the target's name; otherwise
    it is a temporary one, to be merged into the target.
    """

    name: TableName
    plan: Plan
    direct: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(column.name for column in self.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge did to the target."""

    created: int = 0
    updated: int = 0


def _iso(moment: datetime) -> str:
    return literal(moment.isoformat(sep=" ", timespec="microseconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """What our SQL cannot say alike in every dialect.

    ``arrivals`` are names, each of which orders the rows of a staging table as they came
    unless a column of it is called the same. ``differs`` compares
    columns of two aliases so that NULL equals NULL and nothing else is taken for equal.
    ``identity`` is a column as something that can be grouped by. ``counted`` are types
    whose different values it counts in half the time that it takes to group them.
    ``nulls_last`` follows DESC, ``delete_aliased`` begins a DELETE whose table is ``t``,
    ``instant`` spells a moment, ``instant_text`` a column of moments with its zone,
    and ``text`` any column as people read it.
    """

    arrivals: tuple[str, ...]
    differs: Callable[[Sequence[str], str, str], str]
    identity: Callable[[Planned], str]
    counted: frozenset[str] = frozenset()
    nulls_last: str = " NULLS LAST"
    delete_aliased: str = "DELETE FROM"
    instant: Callable[[datetime], str] = _iso
    instant_text: Callable[[str], str] = "CAST({} AS VARCHAR)".format
    text: Callable[[str], str] = "CAST({} AS VARCHAR)".format


class Store(Protocol):
    """One connection to a destination."""

    spelling: Spelling

    def version(self) -> str:
        """Connect, and say in one line to what."""
        ...

    def table_name(self, dataset: str, table: str) -> TableName:
        """Where this dialect keeps a dataset's table."""
        ...

    def describe(self, name: TableName) -> Table | None:
        """The table as it is now; None when there is none."""
        ...

    def storable(self, field: AnyField) -> AnyField:
        """The field as it will be described once it is a column here."""
        ...

    def column_type(self, field: AnyField) -> str:
        """The type of a new column that holds every value of ``field``."""
        ...

    def ensure_dataset(self, dataset: str) -> None:
        """Create the place for a dataset's tables, if it is not there."""
        ...

    def begin(self, *, arrow: bool) -> None:
        """Start what the staged records live in, maybe Arrow; nothing if it was started."""
        ...

    def lock(self, names: Sequence[str]) -> None:
        """Wait, not for long, until no other writer commits under any of these names."""
        ...

    def commit(self) -> None:
        """Make everything since `begin` durable, and forget the staging tables."""
        ...

    def rollback(self) -> None:
        """Undo everything since `begin`; safe at any time."""
        ...

    def execute(self, statement: str) -> int:
        """Run one statement; the number of rows it touched."""
        ...

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The result of a query."""
        ...

    def create(self, name: TableName, plan: Plan, key: Sequence[str], *, kind: Kind) -> None:
        """Create a table; ``key`` becomes what `upsert` and people rely on."""
        ...

    def sound(self, staging: Staging, data: pa.Table) -> Any:
        """Which records this dialect can hold, as a mask; None when it holds all of them."""
        ...

    def stage(self, staging: Staging, data: pa.Table | PgCopy) -> Counts:
        """Add records to a staging table: how many, how many bytes, and how many it cannot hold."""
        ...

    def evolve(self, name: TableName, before: Plan, after: Plan) -> None:
        """Add and widen columns in place."""
        ...

    def loads_directly(self, present: Table | None) -> bool:
        """Whether a replacement may become the table, taking nothing from anyone.

        It may not where grants, views, indexes or the like hang on the present table.
        """
        ...

    def add_key(self, name: TableName, key: Sequence[str]) -> bool:
        """Make ``key`` the key of a loaded table; False, undone, if rows do not allow it."""
        ...

    def adopt(self, staging: Staging, name: TableName, *, replacing: bool) -> None:
        """Give a direct staging table the target's name, in place of the present one."""
        ...

    def require_key(self, present: Table, key: Sequence[str]) -> None:
        """See to it that ``key`` is unique in a present table; `ConfigError` if it cannot be."""
        ...

    def upsert(self, name: TableName, staging: Staging, match: Match) -> Merged:
        """Merge staged records that have one row a key."""
        ...

    def greatest(self, staging: Staging, wanted: Greatest, known: State | None) -> State | None:
        """The state that only the staged rows can tell."""
        ...

    def close(self) -> None:
        """Release the connection; what was not committed is gone. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How staged records meet present ones.

    ``clears`` tells that the target has a soft-delete mark, which a record that comes
    back loses. ``mostly_same`` says that most of them will be found unchanged.
    """

    key: tuple[str, ...]
    cursor: str | None
    clears: bool
    mostly_same: bool


@contextmanager
def transaction(store: Store) -> Iterator[None]:
    """Everything within becomes durable at its end, or nothing does."""
    done = False
    try:
        store.begin(arrow=False)
        yield
        store.commit()
        done = True
    finally:
        if not done:
            store.rollback()


def planned(store: Store, present: Table | None, arriving: Schema, *, soft: bool) -> Plan:
    """The columns that hold what is there and what arrives; `ConfigError` if none can."""
    if present is not None and present.is_view:
        raise ConfigError(f"{present.name.sql} is a view; choose another destination table")
    _refuse_twins(arriving)
    if soft:
        arriving = _with_mark(arriving)
    arriving = schema_of(store.storable(field) for field in arriving)
    fields = evolved(DescribedSchema(()) if present is None else present.schema, arriving)
    return tuple(
        Planned(name=one.name, type=_type(store, present, one), field=one) for one in fields
    )


def _type(store: Store, present: Table | None, field: AnyField) -> str:
    old = None if present is None else present.column(field.name)
    if old is not None and same(old.field, field):
        return old.native
    return store.column_type(field)


def _with_mark(arriving: Schema) -> Schema:
    if DELETED_AT in arriving.names:
        raise ConfigError(
            f"the stream has a column {DELETED_AT!r} of its own, where soft deletes put "
            "their mark; leave the column out, or choose hard deletes"
        )
    return schema_of([*arriving, described(DELETED_AT, "timestamp[us, tz=UTC]")])


def _refuse_twins(arriving: Schema) -> None:
    seen: dict[str, str] = {}
    for name in arriving.names:
        if name in seen:
            raise ConfigError(f"two columns are called {name!r}; rename one of them")
        seen[name] = name


def refuse_other_key(present: Table, key: Sequence[str]) -> None:
    """`ConfigError` if a table is keyed by other columns than the stream."""
    if present.primary_key and set(present.primary_key) != set(key):
        raise ConfigError(
            f"table {present.name.table!r} has the key ({', '.join(present.primary_key)}), but "
            f"the stream's is ({', '.join(key)}); choose the table's key, or write to a new table"
        )


def key_index(present: Table, key: Sequence[str]) -> str:
    """The name of the unique index that we add to a table without a key."""
    words = "\0".join((present.name.sql, *key))
    return f"_sync_key_{blake2b(words.encode(), digest_size=6).hexdigest()}"


def repeated_keys(present: Table, key: Sequence[str]) -> ConfigError:
    """Why that index could not be added."""
    return ConfigError(
        f"table {present.name.table!r} holds several rows for one ({', '.join(key)}), so it "
        "cannot be upserted into; remove the repeated rows, or write to a new table"
    )


def plan_of(table: Table) -> Plan:
    """The columns that a table has."""
    return tuple(
        Planned(name=column.name, type=column.native, field=column.field)
        for column in table.columns
    )


def chosen(plan: Plan, names: Sequence[str]) -> Plan:
    """The planned columns of these names, in the plan's order."""
    wanted = set(names)
    return tuple(column for column in plan if column.name in wanted)


def changes(before: Plan, after: Plan) -> tuple[Plan, Plan]:
    """The columns of ``after`` that are new, and those whose type is another one."""
    old = {column.name: column.type for column in before}
    added = tuple(column for column in after if column.name not in old)
    wider = tuple(
        column for column in after if column.name in old and old[column.name] != column.type
    )
    return added, wider


def refuse_casts(plan: Plan, arriving: Schema) -> None:
    """Copied bytes are of the source's type, and cannot become another's on the way."""
    types = {column.name: column.type for column in plan}
    for field in arriving:
        native = native_of(field)
        if native is None or native.type != types[field.name]:
            raise ConfigError(
                f"column {field.name!r} is {types[field.name]} at the destination, so it cannot "
                "be written as pgcopy; use arrow"
            )
