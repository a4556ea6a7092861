"""What a kind of server says in its own way: types, exact values, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine, UserDefinedType

from connectors.arrow import DataType, Digits, Logical
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.cursor import Mark
from connectors.sql.names import quoted
from connectors.sql.tables import Column

_COLLATION = re.compile(r" COLLATE \S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a column's type is in Arrow."""

    storage: DataType
    logical: Logical | None = None
    digits: Digits | None = None
    length: int | None = None


class Native(UserDefinedType[Any]):
    """A type as its own dialect spells it, to cast to."""

    cache_ok = True

    def __init__(self, spelled: str) -> None:
        self.spelled = spelled

    def get_col_spec(self, **_: object) -> str:
        """As it stands after AS."""
        return self.spelled


class Speech(Protocol):
    """One kind of server. It has no state."""

    dialect: Dialect
    driver: str
    """The package that has to be installed."""

    begins: tuple[str, ...]
    """Statements that every connection begins with."""

    now: sa.Select[Any]
    """The server's clock, as UTC without a zone."""

    transient: frozenset[str]
    """Numbers of errors that may pass."""

    denied: frozenset[str]
    """Numbers of errors that say who may not."""

    def engine(self, config: DatabaseConfig) -> tuple[sa.URL, Mapping[str, Any]]:
        """Where to connect, and the driver's arguments."""
        ...

    def meaning(self, kind: TypeEngine[Any]) -> Meaning | None:
        """What a type is; None if its values cannot be read."""
        ...

    def selected(self, column: Column, expression: str) -> sa.ColumnElement[Any]:
        """The expression of a column, as the driver hands it over without loss."""
        ...

    def place(self, column: Column) -> sa.ColumnElement[Any]:
        """Where a row stands by a column, with all its digits."""
        ...

    def bound(self, column: Column, place: Any) -> sa.ColumnElement[Any]:
        """That place as a constant, which is exactly equal to the column's value."""
        ...

    def constant(self, mark: Mark) -> str:
        """A cursor's position."""
        ...

    def code(self, said: str) -> str:
        """The server's number of an error, out of its sentence."""
        ...


def spelled(kind: TypeEngine[Any], dialect: sa.Dialect) -> str:
    """A type as the dialect spells it, without what its texts are compared by."""
    return _COLLATION.sub("", kind.compile(dialect))


def plain(column: Column) -> sa.ColumnElement[Any]:
    """The column itself."""
    return sa.literal_column(quoted(column.name))


def called(function: str, *arguments: object) -> sa.ColumnElement[Any]:
    """A function of the server's; texts are constants."""
    parts = [sa.literal_column(_text(one)) if isinstance(one, str) else one for one in arguments]
    return getattr(sa.func, function)(*parts)  # type: ignore[no-any-return]


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
