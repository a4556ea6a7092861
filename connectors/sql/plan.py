"""What is read, decided before anything is: the stream of a table, the queries of a selection."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from connectors.contract import Selection, Stream, SyncMode
from connectors.cursors import NO_CURSOR
from connectors.errors import ConfigError
from connectors.sql import cursor as cursors
from connectors.sql.cursor import Kind, Mark, kind_of
from connectors.sql.names import nearest, quoted
from connectors.sql.reader import Copier, Query, Reader
from connectors.sql.tables import Column, Table

USUAL_CURSORS = (
    "updated_at",
    "modified_at",
    "last_modified",
    "last_modified_at",
    "last_updated",
    "last_updated_at",
    "updated_on",
    "modified_on",
    "updatedat",
    "modifiedat",
    "lastmodified",
    "changed_at",
)
"""Names that promise to move with every change; a tenant may choose any other column."""


def stream_of(table: Table, default_schema: str) -> Stream:
    """A table as a stream, with a cursor only where its name promises one."""
    chosen = _usual_cursor(table)
    notes = []
    if not table.primary_key:
        notes.append("no primary key: upsert is not possible unless you name one")
    if chosen is None:
        notes.append(NO_CURSOR)
    elif chosen.nullable:
        notes.append(f"rows without {chosen.name} are read every time")
    return Stream(
        name=table.name.spelled(default_schema),
        schema=table.schema,
        primary_key=table.primary_key,
        cursor_field=None if chosen is None else chosen.name,
        ordered=chosen is not None and chosen.name in table.leading,
        modes=frozenset(SyncMode) if chosen else frozenset({SyncMode.FULL}),
        note="; ".join(notes),
    )


def _usual_cursor(table: Table) -> Column | None:
    by_name = {column.name.lower(): column for column in table.columns}
    for name in USUAL_CURSORS:
        column = by_name.get(name)
        if column is not None and kind_of(column.field) in (Kind.TIMESTAMP, Kind.INSTANT):
            return column
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One selection, checked against its table."""

    selection: Selection
    table: Table
    columns: tuple[Column, ...]
    cursor: Column | None
    kind: Kind | None
    window: tuple[str, ...] | None
    at_once: bool = True
    """Whether the rows of one query are all of one moment."""

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self.selection.stream.name

    @property
    def incremental(self) -> bool:
        """Whether reading begins at a watermark."""
        return self.selection.mode is SyncMode.INCREMENTAL and self.window is None

    @property
    def counts(self) -> bool:
        """Whether the watermark is found in the rows, on the way."""
        counted = self.window is None and self.kind in cursors.COUNTED_IN_ARROW
        return counted and (self.at_once or (self.incremental and self._led))

    @property
    def ordered(self) -> bool:
        """Whether rows come in the cursor's order, so that each batch may be a checkpoint."""
        return self.incremental and self.counts and self._led

    @property
    def _led(self) -> bool:
        return self.cursor is not None and self.cursor.name in self.table.leading

    @property
    def cursor_name(self) -> str:
        """The cursor column; only where there is one."""
        assert self.cursor is not None
        return self.cursor.name

    @property
    def counted(self) -> Kind:
        """The cursor's kind; only where there is one."""
        assert self.kind is not None
        return self.kind

    def query(self, *conditions: str | None, order: str | None = None) -> Query:
        """All rows of the selection that meet these conditions."""
        given = (self.selection.row_filter, *(self.window or ()), *conditions)
        return Query(
            table=self.table.name,
            columns=self.columns,
            key=self.selection.stream.primary_key,
            conditions=tuple(condition for condition in given if condition),
            order=order,
            batch_rows=self.selection.batch_rows,
        )

    def beginning(self, reader: Reader, prior: Mark | None) -> Query:
        """The rows with a place in the order, from the watermark on."""
        assert self.cursor is not None
        return self.query(reader.regular(self.cursor), self._lower(reader, prior))

    def _lower(self, reader: Reader, prior: Mark | None) -> str | None:
        if prior is None:
            return None
        bound = reader.constant(prior.before(self.selection.lag))
        return f"{quoted(self.cursor_name)} >= {bound}"

    def queries(self, reader: Reader, prior: Mark | None) -> Iterator[tuple[Query, bool]]:
        """The queries to run, in this order, and whether each may move the state."""
        if not self.incremental or self.cursor is None:
            yield self.query(), True
            return
        odd = reader.odd(self.cursor)
        lower = self._lower(reader, prior)
        if self.ordered:
            if odd is not None:
                yield self.query(odd), False
            yield self.query(reader.regular(self.cursor), lower, order=self.cursor.name), True
        else:
            either = f"{lower}\n OR {odd}" if lower and odd else lower
            yield self.query(either), True

    def ranges(self, copier: Copier, query: Query, batches: int) -> Iterator[Query]:
        """An ordered query cut into half-open ranges of the cursor, each to be read unordered."""
        assert self.cursor is not None
        name = quoted(self.cursor.name)
        rest = replace(query, order=None)
        rows = batches * query.batch_rows
        while (end := copier.boundary(rest, self.cursor, rows)) is not None:
            yield replace(rest, conditions=(*rest.conditions, f"{name} < {end}"))
            rest = replace(query, order=None, conditions=(*query.conditions, f"{name} >= {end}"))
        yield rest


def planned(selection: Selection, table: Table, reader: Reader) -> Plan:
    """Check a selection against its table; `ConfigError` says what does not fit."""
    stream = selection.stream
    columns = tuple(_column(table, name, stream.name) for name in stream.schema.names)
    if not columns:
        raise ConfigError(f"no column of {stream.name!r} is selected; select at least one")
    cursor = kind = None
    if stream.cursor_field is not None:
        cursor = _column(table, stream.cursor_field, stream.name)
        kind = _cursor_kind(cursor, stream)
    elif selection.mode is SyncMode.INCREMENTAL or selection.window is not None:
        raise ConfigError(
            f"{stream.name!r} has no cursor, so it cannot be read incrementally; "
            "name a column that grows with every change, or read it in full"
        )
    window = None
    if selection.window is not None and cursor is not None and kind is not None:
        window = _window(selection, cursor, kind, reader)
    elif selection.mode is SyncMode.INCREMENTAL and selection.lag and cursor is not None:
        _check_lag(cursor, kind)
    return Plan(
        selection=selection, table=table, columns=columns, cursor=cursor, kind=kind, window=window
    )


def _column(table: Table, name: str, stream: str) -> Column:
    column = table.column(name)
    if column is None:
        remedy = nearest(name, [column.name for column in table.columns])
        raise ConfigError(f"{stream!r} has no column {name!r}; {remedy}")
    return column


def _cursor_kind(column: Column, stream: Stream) -> Kind:
    kind = kind_of(column.field)
    if kind is None:
        raise ConfigError(
            f"column {column.name!r} is {column.native}, which cannot be a cursor; "
            "choose a timestamp, date, integer, decimal or text column"
        )
    if column.name not in stream.schema.names:
        raise ConfigError(f"the cursor {column.name!r} must be among the selected columns")
    return kind


def _check_lag(cursor: Column, kind: Kind | None) -> None:
    if kind not in cursors.TEMPORAL:
        raise ConfigError(
            f"a lag is a time, and the cursor {cursor.name!r} is {cursor.native}; "
            "set the lag to 0 or choose a timestamp or date as cursor"
        )


def _window(selection: Selection, cursor: Column, kind: Kind, reader: Reader) -> tuple[str, ...]:
    """The conditions of a window; both bounds are optional."""
    assert selection.window is not None
    compared = reader.comparable(cursor)
    bounds = (("start", ">=", selection.window.start), ("end", "<", selection.window.end))
    conditions = []
    for side, operator, text in bounds:
        if text is None:
            continue
        try:
            mark = Mark.parse(kind, text)
        except ValueError as error:
            raise ConfigError(f"the window's {side} {error}") from error
        conditions.append(f"{compared} {operator} {reader.constant(mark)}")
    return (*conditions, *filter(None, [reader.regular(cursor)]))
