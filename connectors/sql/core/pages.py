"""One query, as statements that each bring a page of it. Pure.

Laws:

* Rows rise by the query's order and then by the primary key, so the next page begins right
  after the last row; comparisons of several columns are spelled out, which every server
  understands.
* A row whose place moves while pages are read is met again further on, or was met before.
* Without a primary key nothing tells two rows apart: all of them are one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from connectors.sql.core.speech import Speech, plain
from connectors.sql.names import quoted
from connectors.sql.reader import Query
from connectors.sql.tables import Column, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """How one query is cut."""

    speech: Speech
    query: Query
    rising: tuple[Column, ...]

    @classmethod
    def of(cls, speech: Speech, query: Query, table: Table) -> Pages:
        """The pages of a query of this table."""
        names = (*((query.order,) if query.order else ()), *table.primary_key)
        found = [table.column(name) for name in dict.fromkeys(names)]
        rising = tuple(column for column in found if column is not None)
        return cls(speech=speech, query=query, rising=rising if table.primary_key else ())

    @property
    def width(self) -> int:
        """How many columns of a row are the record; the others are its place."""
        return len(self.query.columns)

    def first(self) -> sa.Select[Any]:
        """The first page, or all rows where they cannot be cut."""
        asked = [self.speech.selected(one, quoted(one.name)) for one in self.query.columns]
        places = [self.speech.place(one) for one in self.rising]
        labelled = [one.label(f"c{nth}") for nth, one in enumerate([*asked, *places])]
        found = _from(sa.select(*labelled), self.query)
        if self.rising:
            return found.order_by(*map(plain, self.rising)).limit(self.query.batch_rows)
        return found if self.query.order is None else found.order_by(self._ordered)

    @property
    def _ordered(self) -> sa.ColumnElement[Any]:
        return sa.literal_column(quoted(str(self.query.order)))

    def after(self, row: Sequence[Any]) -> sa.Select[Any]:
        """The page that follows a row of an earlier one."""
        return self.first().where(self._beyond(row[self.width :]))

    def _beyond(self, places: Sequence[Any]) -> sa.ColumnElement[bool]:
        choices: list[sa.ColumnElement[bool]] = []
        equal: list[sa.ColumnElement[bool]] = []
        for column, place in zip(self.rising, places, strict=True):
            here, there = plain(column), self.speech.bound(column, place)
            choices.append(sa.and_(*equal, here > there))
            equal.append(here == there)
        return sa.or_(*choices)


def greatest(speech: Speech, query: Query, column: Column) -> sa.Select[Any]:
    """The greatest value of a column among a query's rows."""
    most = f"max({quoted(column.name)})"
    return _from(sa.select(speech.selected(column, most)), query)


def _from(found: sa.Select[Any], query: Query) -> sa.Select[Any]:
    """A line break ends what a tenant's condition may comment out."""
    name = query.table
    schema = None if name.schema is None else quoted_name(name.schema, quote=True)
    table = sa.table(quoted_name(name.table, quote=True), schema=schema)
    conditions: list[sa.ColumnElement[bool]] = [
        sa.literal_column(f"({one}\n)") for one in query.conditions
    ]
    return found.select_from(table).where(*conditions)
