"""Writing to MySQL and MariaDB: records wait in a temporary table and are merged at once.

Laws:

* A statement that defines something commits what was before it. So in a commit everything
  is defined first (`create`, `evolve`, `require_key`), and data, counts and state follow in
  one transaction. Who dies between leaves wider columns, or an empty table.
* An empty table that was left so says it in its comment, and is taken for no table: a state
  beside it, of a table that was dropped, stays void.
* Keys meet as their table compares them. Where it takes two of the stream's for one, nothing
  is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from connectors.arrow import Field
from connectors.contract import Counts, Greatest, PgCopy, State
from connectors.described import AnyField, arrow_field
from connectors.errors import ConfigError, ConnectorError, ContractError, TransientError
from connectors.sql import merge
from connectors.sql.config import DatabaseConfig
from connectors.sql.mysql import merging, statements, types, values
from connectors.sql.mysql.session import LOCK_SECONDS, MysqlSession, code_of
from connectors.sql.names import TableName, listed, literal, quoted
from connectors.sql.store import (
    STATE_TABLE,
    Kind,
    Match,
    Merged,
    Plan,
    Spelling,
    Staging,
    changes,
    key_index,
    refuse_other_key,
    repeated_keys,
)
from connectors.sql.tables import Table

_UNFINISHED = "sync:new"
_PACKET_BYTES = 1024 * 1024
"""Well within what every server accepts at once."""

_PLACES = re.compile(r"(?:datetime|timestamp|time)(?:\((\d)\))?(?: |$)")


def _instant(moment: datetime) -> str:
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    return literal(text)


class MysqlStore:
    """See `connectors.sql.store.Store`."""

    spelling = Spelling(
        arrivals=(merging.ARRIVAL,),
        differs=merging.differs,
        identity=merging.identity,
        nulls_last="",
        delete_aliased="DELETE t FROM",
        instant=_instant,
        instant_text=lambda name: f"concat({name}, '+00:00')",
        text="CAST({} AS CHAR)".format,
    )

    def __init__(self, config: DatabaseConfig) -> None:
        self._session = MysqlSession(config)
        self._staged: list[TableName] = []
        self._kept: list[TableName] = []
        self._locks: list[str] = []
        self._made: list[TableName] = []

    def version(self) -> str:
        """Which server this is, in one line."""
        return self._session.version()

    def table_name(self, dataset: str, table: str) -> TableName:
        """A dataset is a database."""
        return TableName(schema=dataset or self._session.database, table=table)

    def describe(self, name: TableName) -> Table | None:
        """The table as it is now; one that a commit has left empty and unfinished is none."""
        found = self._session.describe(name)
        return None if found is not None and self._is_left(name) else found

    def _is_left(self, name: TableName) -> bool:
        if name in self._made or name.table == STATE_TABLE:
            return False
        said = self.rows(statements.table_comment(name))
        if not said or said[0][0] != _UNFINISHED:
            return False
        return not self.rows(f"SELECT 1 FROM {name.sql} LIMIT 1")

    def storable(self, field: AnyField) -> AnyField:
        """The field as its column will be described."""
        native = self.column_type(field)
        return types.column(field.name, native, nullable=field.nullable).field

    def column_type(self, field: AnyField) -> str:
        """A type that holds every value, and tells texts apart byte by byte."""
        return types.type_for(field, self._collation)

    @property
    def _collation(self) -> str:
        return "utf8mb4_nopad_bin" if self._session.is_mariadb else "utf8mb4_0900_bin"

    def ensure_dataset(self, dataset: str) -> None:
        """Create the database; asks first, because CREATE needs a right even where it is there."""
        name = dataset or self._session.database
        if not self.rows(statements.has_database(name)):
            self.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(name)}")

    # The transaction

    def begin(self, *, arrow: bool) -> None:
        """Nothing to begin: what is staged is this connection's own."""

    def lock(self, names: Sequence[str]) -> None:
        """Named locks, and from here on nothing is durable before the commit."""
        for name in names:
            lock = "sync_" + blake2b(name.encode(), digest_size=16).hexdigest()
            [[taken]] = self.rows(f"SELECT get_lock({literal(lock)}, {LOCK_SECONDS})")
            if taken != 1:
                raise TransientError("another writer holds the lock of this table; try again")
            self._locks.append(lock)
        self.execute("SET autocommit = 0")

    def commit(self) -> None:
        """Commit, then forget the staging tables; new tables are finished now."""
        self.execute("COMMIT")
        for name in self._made:
            self.execute(f"ALTER TABLE {name.sql} COMMENT = ''")
        self._made.clear()
        self._release()

    def rollback(self) -> None:
        """Give the connection up if it cannot be told to."""
        self._made.clear()
        try:
            self.execute("ROLLBACK")
            self._release()
        except ConnectorError:
            self._session.close()

    def _release(self) -> None:
        self.execute("SET autocommit = 1")
        while self._locks:
            self.rows(f"SELECT release_lock({literal(self._locks.pop())})")
        while self._staged:
            self.execute(f"DROP TEMPORARY TABLE IF EXISTS {self._staged.pop().sql}")

    def execute(self, statement: str) -> int:
        """Run one statement; the number of rows it touched."""
        return self._session.execute(self._apart(statement), "writing")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The result of a query."""
        return self._session.rows(self._apart(query), "writing")

    def _apart(self, statement: str) -> str:
        """MySQL opens a temporary table once in a statement: the second time, a copy of it."""
        if self._session.is_mariadb:
            return statement
        return self.copied_apart(statement)

    def copied_apart(self, statement: str) -> str:
        """The statement, in which no staging table occurs twice."""
        for name in tuple(self._staged):
            first, found, rest = statement.partition(name.sql)
            if not found or name.sql not in rest:
                continue
            copy = replace(name, table=f"{name.table}_copy")
            # The copies are dropped before they are made anew.
            self._session.execute(f"DROP TEMPORARY TABLE IF EXISTS {copy.sql}", "writing")
            copying = f"CREATE TEMPORARY TABLE {copy.sql} AS SELECT * FROM {name.sql}"
            self._session.execute(copying, "writing")
            statement = first + found + rest.replace(name.sql, copy.sql)
            if copy not in self._kept:
                self._kept.append(copy)
        return statement

    # Loading

    def create(self, name: TableName, plan: Plan, key: Sequence[str], *, kind: Kind) -> None:
        """Create a table; a text in a key has the length that an index can hold."""
        if kind is not Kind.REAL:
            self.execute(merging.create_temporary(name, plan, arrivals=kind is Kind.STAGED))
            (self._staged if kind is Kind.STAGED else self._kept).append(name)
            return
        bounded = tuple(
            replace(c, type=types.as_key(c.type, len(key), self._collation)) if c.name in key else c
            for c in plan
        )
        leftover = self._session.describe(name) is not None
        if leftover:
            self.execute(f"DROP TABLE {name.sql}")
        finished = name.table == STATE_TABLE
        said = "" if finished else f" COMMENT = {literal(_UNFINISHED)}"
        layout = f" ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4{said}"
        self.execute(merge.create_table(name, bounded, key) + layout)
        if not finished:
            self._made.append(name)

    def sound(self, staging: Staging, data: pa.Table) -> Any:
        """The records without a NaN, an infinity, or what else is no number here."""
        return values.sound(data, {column.name: column.type for column in staging.plan})

    def stage(self, staging: Staging, data: pa.Table | PgCopy) -> Counts:
        """Insert the records, many in a statement."""
        if isinstance(data, PgCopy):
            raise ContractError("MySQL takes Arrow only")
        kinds = {column.name: column.type for column in staging.plan}
        fields = {column.name: arrow_field(column.field) for column in staging.plan}
        _refuse_rounding(data, kinds, fields)
        head = f"INSERT INTO {staging.name.sql} ({listed(data.column_names)}) VALUES "
        self.execute("START TRANSACTION")
        waiting: list[str] = []
        size = 0
        for row in values.rows(data, fields) if data.num_rows else ():
            waiting.append(row)
            size += len(row.encode())
            if size >= _PACKET_BYTES:
                self._session.execute(head + ",".join(waiting), "loading")
                waiting, size = [], 0
        if waiting:
            self._session.execute(head + ",".join(waiting), "loading")
        self.execute("COMMIT")
        return Counts(processed=data.num_rows, bytes=data.nbytes)

    # The target

    def evolve(self, name: TableName, before: Plan, after: Plan) -> None:
        """Add and widen columns, in one statement, which is durable at once."""
        added, wider = changes(before, after)
        if wider and name not in self._staged:
            self._refuse_losing(name, [column.name for column in wider])
        actions = [f"ADD COLUMN {quoted(column.name)} {column.type}" for column in added]
        actions += [f"MODIFY COLUMN {quoted(column.name)} {column.type}" for column in wider]
        if actions:
            self.execute(f"ALTER TABLE {name.sql} {', '.join(actions)}")

    def _refuse_losing(self, name: TableName, columns: Sequence[str]) -> None:
        for (column,) in self.rows(statements.attributes(name)):
            if column in columns:
                raise ConfigError(
                    f"column {column!r} of {name.table!r} needs a wider type, but has a default, "
                    "a comment or the like that would be lost; change the type yourself"
                )

    def loads_directly(self, present: Table | None) -> bool:
        """Never: giving a table its name would commit by itself."""
        return False

    def add_key(self, name: TableName, key: Sequence[str]) -> bool:
        """Not needed, for nothing is loaded directly."""
        raise ContractError("MySQL loads no table directly")

    def adopt(self, staging: Staging, name: TableName, *, replacing: bool) -> None:
        """Not needed, for nothing is loaded directly."""
        raise ContractError("MySQL loads no table directly")

    def require_key(self, present: Table, key: Sequence[str]) -> None:
        """The primary key, or a unique index that we add to a table without one."""
        refuse_other_key(present, key)
        index = key_index(present, key)
        if present.primary_key or self._has_index(present.name, index):
            return
        texts = [c.name for c in present.columns if c.name in key and c.native[:4] in _ENDLESS]
        if texts:
            raise ConfigError(
                f"table {present.name.table!r} has no key, and {texts[0]!r} is too long for an "
                "index; give it a varchar type and the table a key, or write to a new table"
            )
        try:
            self.execute(
                f"CREATE UNIQUE INDEX {quoted(index)} ON {present.name.sql} ({listed(key)})"
            )
        except ConfigError as error:
            if code_of(error.__cause__) != 1062:
                raise
            raise repeated_keys(present, key) from error

    def _has_index(self, name: TableName, index: str) -> bool:
        return any(row[2] == index for row in self.rows(statements.indexes(name)))

    def upsert(self, name: TableName, staging: Staging, match: Match) -> Merged:
        """Update what has changed, then insert what is missing."""
        if match.mostly_same:
            self.execute(merging.index_staged(staging, match.key))
        for query in merging.confusions(name, staging, match.key, self._collation):
            if self.rows(query):
                raise ConfigError(
                    f"table {name.table!r} takes two keys of the stream for one, because it "
                    "ignores case, accents or spaces at the end; give its key columns the "
                    f"collation {self._collation}, or write to a new table"
                )
        update = merging.update_changed(self.spelling, name, staging, match)
        updated = self.execute(update) if update else 0
        created = self.execute(merge.insert_missing(name, staging, match=match))
        return Merged(created=created, updated=updated)

    def greatest(self, staging: Staging, wanted: Greatest, known: State | None) -> State | None:
        """Only PostgreSQL takes batches that nobody has decoded."""
        raise ContractError("MySQL takes Arrow only, whose batches carry their state")

    def close(self) -> None:
        """Close the connection; locks, temporary tables and what was not committed go with it."""
        with suppress(ConnectorError):
            self._session.close()


_ENDLESS = ("long", "medi", "text", "tiny", "blob")


def _refuse_rounding(data: pa.Table, kinds: dict[str, str], fields: dict[str, Field]) -> None:
    """A time column with fewer places than a value would round it without a word."""
    for name in data.column_names:
        found = _PLACES.match(kinds[name] + " ")
        if found is None or not pa.types.is_temporal(data.schema.field(name).type):
            continue
        unit = 10 ** (6 - int(found[1] or 0))
        array: Any = data.column(name)
        if pa.types.is_date(array.type) or unit == 1:
            continue
        whole = array.cast(fields[name].type).cast(pa.int64())
        if any(value is not None and value % unit for value in whole.to_pylist()):
            raise ConfigError(
                f"column {name!r} is {kinds[name]} at the destination, which would round its "
                "times; give it six places, as datetime(6)"
            )
