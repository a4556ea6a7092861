"""Reading a database: which rows come, in which order, and what is true after each batch.

Laws:

* An incremental read begins at its watermark, not after it: rows that share the
  watermark come again, and the writer keeps one of each.
* A row whose cursor has no place in the order (NULL, infinity) is read every time.
* A state says only what the rows handed over before it have shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from connectors.contract import (
    Batch,
    Encoding,
    Greatest,
    PgCopy,
    Selection,
    Source,
    State,
    Stream,
    SyncMode,
)
from connectors.errors import ConfigError, ContractError
from connectors.late import pc
from connectors.sql import cursor as cursors
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.cursor import STATE_VERSION, Mark
from connectors.sql.names import nearest, split
from connectors.sql.plan import Plan, planned, stream_of
from connectors.sql.reader import Copier, Query, Reader, Records
from connectors.sql.tables import Table

log = structlog.get_logger()

RANGE_BATCHES = 10
"""A range of a pgcopy read, in batches: raw bytes are cheap, checkpoints are not."""


def open_source(config: DatabaseConfig) -> Source:
    """A source on the database of that URL; nothing is connected to yet."""
    if config.dialect is Dialect.POSTGRESQL:
        from connectors.sql.postgres.reader import PostgresReader
        from connectors.sql.postgres.session import PostgresSession

        postgres = PostgresReader(PostgresSession(config, read_only=True))
        return SqlSource(reader=postgres, copier=postgres)
    if config.dialect is Dialect.SQLITE:
        from connectors.sql.sqlite.reader import SqliteReader
        from connectors.sql.sqlite.session import SqliteSession

        return SqlSource(reader=SqliteReader(SqliteSession(config, read_only=True)))
    if config.dialect is Dialect.MYSQL:
        from connectors.sql.mysql.reader import MysqlReader
        from connectors.sql.mysql.session import MysqlSession

        return SqlSource(reader=MysqlReader(MysqlSession(config, read_only=True)))
    if config.dialect in (Dialect.MSSQL, Dialect.ORACLE):
        return _paged(config)
    from connectors.sql.duckdb.reader import DuckdbReader
    from connectors.sql.duckdb.session import DuckdbSession

    return SqlSource(reader=DuckdbReader(DuckdbSession(config, read_only=True)))


def _paged(config: DatabaseConfig) -> Source:
    from connectors.sql.core.reader import CoreReader
    from connectors.sql.core.session import CoreSession
    from connectors.sql.mssql.speech import SqlServer
    from connectors.sql.oracle.speech import Oracle

    speech = SqlServer() if config.dialect is Dialect.MSSQL else Oracle()
    return SqlSource(reader=CoreReader(CoreSession(config, speech)), at_once=False)


@dataclass(slots=True, kw_only=True)
class SqlSource:
    """A database as a source; each table and view is a stream.

    ``at_once`` says that the rows of one query are all of one moment.
    """

    reader: Reader
    copier: Copier | None = None
    at_once: bool = True
    _known: dict[str, Table] = field(default_factory=dict, init=False, repr=False)

    def check(self) -> str:
        """Connect, and say to what."""
        return self.reader.version()

    def discover(self) -> Sequence[Stream]:
        """Every table and view, ordered by name."""
        tables = self.reader.describe_all()
        streams = [stream_of(table, self.reader.default_schema) for table in tables]
        self._known.update((s.name, t) for s, t in zip(streams, tables, strict=True))
        return sorted(streams, key=lambda stream: stream.name)

    def stream(self, name: str) -> Stream:
        """One table or view, as the catalog has it now."""
        table = self._described(name)
        found = stream_of(table, self.reader.default_schema)
        self._known[name] = self._known[found.name] = table
        return found

    def _described(self, name: str) -> Table:
        table = self.reader.describe(split(name))
        if table is not None:
            return table
        schema = self.reader.default_schema
        known = sorted(table.name.spelled(schema) for table in self.reader.describe_all())
        raise ConfigError(f"there is no table or view {name!r} to read; {nearest(name, known)}")

    def _table(self, name: str) -> Table:
        if name not in self._known:
            self._known[name] = self._described(name)
        return self._known[name]

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """Arrow; before it pgcopy, where every PostgreSQL knows the selected types."""
        table = self._table(selection.stream.name)
        columns = [c for c in table.columns if c.name in selection.stream.schema.names]
        if self.copier is not None and self.copier.can_copy(columns):
            return (Encoding.PGCOPY, Encoding.ARROW)
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records after ``state``; nothing is asked of the database before the first."""
        table = self._table(selection.stream.name)
        plan = replace(planned(selection, table, self.reader), at_once=self.at_once)
        prior = self._prior(plan, state)
        if encoding is Encoding.ARROW:
            yield from self._arrow(plan, prior, state)
        elif self.copier is not None:
            yield from self._copies(self.copier, plan, prior, state)
        else:
            raise ContractError(f"this source does not speak {encoding}")

    def _prior(self, plan: Plan, state: State | None) -> Mark | None:
        """The watermark to continue from; an unreadable one costs a read from the beginning."""
        if plan.kind is None or plan.window:
            return None
        try:
            prior = cursors.marked(state, plan.kind)
        except ValueError as error:
            log.warning("state.unreadable", stream=plan.stream, reason=str(error))
            return None
        return prior if plan.incremental else None

    def _arrow(self, plan: Plan, prior: Mark | None, state: State | None) -> Iterator[Batch]:
        limit = self._limit(plan)
        reached = self._greatest_now(plan, prior) or prior
        told: State | None = None
        for query, moves in self._queries(plan, prior):
            found = self.reader.records(query)
            for records, tells in _checkpoints(plan, found, moves=moves):
                if plan.counts:
                    column = records.data.column(plan.cursor_name)
                    seen = cursors.greatest(plan.counted, column, limit)
                    reached = seen if reached is None else reached.or_later(seen)
                told = reached.state() if tells and reached else None
                yield Batch(data=records.data, state=told, rejected=records.rejected)
        final = _final(plan, reached, state)
        if final is not None and told is None:
            yield Batch(data=plan.query().schema.empty_table(), state=final)

    def _copies(
        self, copier: Copier, plan: Plan, prior: Mark | None, state: State | None
    ) -> Iterator[Batch]:
        names = tuple(column.name for column in plan.columns)
        mark: State | Greatest | None
        if plan.incremental and plan.counts:
            limit = self._limit(plan)
            mark = Greatest(
                column=plan.cursor_name,
                version=STATE_VERSION,
                ceiling=None if limit is None else limit.text,
            )
        else:
            mark = _final(plan, self._greatest_now(plan, prior, copied=True) or prior, state)
        for query, moves in self._queries(plan, prior):
            ranges = plan.ordered and moves
            pieces = plan.ranges(copier, query, RANGE_BATCHES) if ranges else iter((query,))
            for piece in pieces:
                data = PgCopy(columns=names, chunks=copier.copy(piece))
                yield Batch(data=data, state=mark if moves else None)

    def _queries(self, plan: Plan, prior: Mark | None) -> Iterator[tuple[Query, bool]]:
        """Those of the plan; rows without a place in the order are seldom there at all."""
        for query, moves in plan.queries(self.reader, prior):
            if moves or self.copier is None or self.copier.finds(query):
                yield query, moves

    def _limit(self, plan: Plan) -> Mark | None:
        if plan.kind is None or plan.window or plan.kind not in cursors.TEMPORAL:
            return None
        return cursors.ceiling(plan.kind, self.reader.now())

    def _greatest_now(self, plan: Plan, prior: Mark | None, *, copied: bool = False) -> Mark | None:
        """The greatest cursor before the first row is read, where it is not found on the way.

        Rows that are written after this come again next time: nothing is lost by it.
        """
        if plan.cursor is None or plan.kind is None or plan.window:
            return None
        if plan.counts and not copied:
            return None
        query = plan.beginning(self.reader, prior)
        text = self.reader.greatest(query, plan.cursor, self._limit(plan))
        try:
            return None if text is None else Mark.parse(plan.kind, text)
        except ValueError:
            return None  # a year before Christ, which Python's dates do not know

    def interrupt(self) -> None:
        """Make a read that waits in another thread end in an error."""
        self.reader.interrupt()

    def close(self) -> None:
        """Release connections."""
        self.reader.close()


def _checkpoints(
    plan: Plan, batches: Iterator[Records], *, moves: bool
) -> Iterator[tuple[Records, bool]]:
    """The batches, and after which of them the watermark may be told.

    Without a key, a row and its twin on the other side of a checkpoint look like one
    row that was read twice. So the rows of a batch's last cursor value, which may go on
    in the next batch, are handed over apart, and nothing is told after them.
    """
    tells = moves and plan.ordered
    cuts = tells and not plan.selection.stream.primary_key
    for records in batches:
        if not cuts or not records.data.num_rows:
            yield records, tells
            continue
        cursor = records.data.column(plan.cursor_name)
        is_last = pc.equal(cursor, cursor[-1])
        before = records.data.filter(pc.invert(is_last))
        if before.num_rows:
            yield Records(data=before), True
        yield Records(data=records.data.filter(is_last), rejected=records.rejected), False


def _final(plan: Plan, reached: Mark | None, state: State | None) -> State | None:
    """The state after everything was read.

    A full read that found nothing says so: the old watermark would hide rows that
    begin to count anew.
    """
    if plan.kind is None or plan.window:
        return None
    if reached is not None:
        return reached.state()
    fresh = state is not None and plan.selection.mode is SyncMode.FULL
    return State(version=STATE_VERSION, value={}) if fresh else None
