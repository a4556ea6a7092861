"""Pages of a list, found again by the last row of the one before.

Law: what is put in or taken out between two pages moves no other row out of sight, and
shows none twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, tuple_
from sqlalchemy import Connection as Db

Key: TypeAlias = tuple[str | datetime, UUID]
"""Where a row stands: by what the list is sorted, and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a list is sorted by; ``id`` decides among equals. Neither may be NULL."""

    by: ColumnElement[Any]
    id: ColumnElement[UUID]
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """The rows of a page, and where the next one goes on; None: that was all."""

    rows: Sequence[RowMapping]
    next: Key | None


def page(db: Db, query: Select[Any], order: Order, *, after: Key | None, limit: int) -> Paged:
    """At most ``limit`` rows behind ``after``."""
    place = tuple_(order.by, order.id)
    if after is not None:
        behind = tuple_(*after)
        query = query.where(place < behind if order.descending else place > behind)
    ways = [one.desc() if order.descending else one for one in (order.by, order.id)]
    query = query.add_columns(order.by.label("page_by"), order.id.label("page_id"))
    rows = db.execute(query.order_by(*ways).limit(limit + 1)).mappings().all()
    if len(rows) <= limit:
        return Paged(rows=rows, next=None)
    last = rows[limit - 1]
    return Paged(rows=rows[:limit], next=(last["page_by"], last["page_id"]))


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[Item]):
    """A page of things; ``next`` is where the next page goes on."""

    items: Sequence[Item]
    next: Key | None = None


def order_of(sort: StrEnum, by: Mapping[str, Any], identity: Any) -> Order:
    """The order of a name such as ``-created_at``; a minus turns it round."""
    return Order(by=by[sort.removeprefix("-")], id=identity, descending=sort.startswith("-"))


def equal(wanted: Mapping[ColumnElement[Any], Any]) -> list[ColumnElement[bool]]:
    """Columns that have these values; what is None does not matter."""
    return [column == value for column, value in wanted.items() if value is not None]


def listed(paged: Paged, read: Any) -> Listed[Any]:
    """A page, read row by row."""
    return Listed(items=[read(row) for row in paged.rows], next=paged.next)
