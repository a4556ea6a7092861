"""What a dialect brings to reading: its SQL, its clock, and its rows as exact Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connectors.contract import Rejection
from connectors.described import arrow_field
from connectors.late import pa
from connectors.sql.cursor import Mark
from connectors.sql.names import TableName, quoted
from connectors.sql.tables import Column, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Rows of one table: those that meet all ``conditions``, ordered by ``order`` if given."""

    table: TableName
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    order: str | None = None
    batch_rows: int

    @property
    def schema(self) -> pa.Schema:
        """What the rows look like in Arrow."""
        return pa.schema([arrow_field(column.field) for column in self.columns])

    def sql(self, expressions: Sequence[str]) -> str:
        """The statement that selects these expressions."""
        order = "" if self.order is None else f" ORDER BY {quoted(self.order)}"
        return f"SELECT {', '.join(expressions)} FROM {self.table.sql}{self.where}{order}"

    @property
    def where(self) -> str:
        """The WHERE clause; a line break ends what a tenant's condition may comment out."""
        joined = " AND ".join(f"({condition}\n)" for condition in self.conditions)
        return f" WHERE {joined}" if joined else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Rows that Arrow holds exactly, and those that it cannot."""

    data: pa.Table
    rejected: tuple[Rejection, ...] = ()


class Reader(Protocol):
    """One dialect, on one opened database."""

    @property
    def default_schema(self) -> str:
        """The schema that a stream's name leaves out."""
        ...

    def version(self) -> str:
        """Which server or file this is, in one line."""
        ...

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        ...

    def describe_all(self) -> Sequence[Table]:
        """Every table and view."""
        ...

    def now(self) -> datetime:
        """The database's own clock."""
        ...

    def constant(self, mark: Mark) -> str:
        """A cursor's position as SQL, so that an index on the column is used."""
        ...

    def comparable(self, column: Column) -> str:
        """The cursor column in a window's comparison, where order must be exact."""
        ...

    def regular(self, column: Column) -> str | None:
        """The condition for rows whose cursor has a place in the order; None if all have."""
        ...

    def odd(self, column: Column) -> str | None:
        """The condition for all other rows: no cursor, or one beyond every watermark."""
        ...

    def greatest(self, query: Query, column: Column, limit: Mark | None) -> str | None:
        """The greatest cursor of a query's rows, in the database's own order, or ``limit``."""
        ...

    def records(self, query: Query) -> Iterator[Records]:
        """The rows, in pieces of at most ``batch_rows``."""
        ...

    def interrupt(self) -> None:
        """End a statement that another thread waits for; else do nothing."""
        ...

    def close(self) -> None:
        """Release connections; safe to call twice."""
        ...


class Copier(Protocol):
    """What PostgreSQL brings besides: rows in its own binary format."""

    def can_copy(self, columns: Sequence[Column]) -> bool:
        """Whether every PostgreSQL understands the binary form of these columns."""
        ...

    def copy(self, query: Query) -> Iterator[bytes]:
        """The rows as one COPY BINARY stream, in large pieces."""
        ...

    def finds(self, query: Query) -> bool:
        """Whether there is any row, asked at a fraction of what a stream of none takes."""
        ...

    def boundary(self, query: Query, column: Column, rows: int) -> str | None:
        """SQL of the cursor that ends a range of about ``rows`` rows; None past the last.

        ``query`` begins where the range does. Rows with equal cursors never straddle it.
        """
        ...
