"""What is read page by page, on a server that is here: PostgreSQL by way of SQLAlchemy Core.

It stands for those that cannot be: everything but the spelling of SQL Server and Oracle is
the code that reads them.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from connectors.arrow import Logical
from connectors.contract import Source
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.core.reader import CoreReader
from connectors.sql.core.session import CoreSession
from connectors.sql.core.speech import Meaning, Native, plain
from connectors.sql.cursor import TEMPORAL, Mark
from connectors.sql.names import literal
from connectors.sql.source import SqlSource
from connectors.sql.tables import Column
from tests.contract.systems import Postgres


class Standin:
    """PostgreSQL's way, with times as texts where they are places."""

    dialect = Dialect.POSTGRESQL
    driver = "psycopg"
    begins: tuple[str, ...] = ("SET TIME ZONE 'UTC'",)
    now: sa.Select[Any] = sa.select(sa.literal_column("timezone('utc', clock_timestamp())"))
    transient = frozenset({"57014"})
    denied = frozenset({"28P01"})

    def engine(self, config: DatabaseConfig) -> tuple[sa.URL, Mapping[str, Any]]:
        url = sa.make_url(config.url.get_secret_value())
        return url.set(drivername="postgresql+psycopg"), {"connect_timeout": 5}

    def meaning(self, kind: TypeEngine[Any]) -> Meaning | None:
        if isinstance(kind, sa.DateTime):
            return Meaning(storage=pa.timestamp("us", "UTC" if kind.timezone else None))
        if isinstance(kind, sa.Integer):
            return Meaning(storage=pa.int64())
        if isinstance(kind, sa.Numeric):
            return Meaning(storage=pa.string(), logical=Logical.DECIMAL)
        return Meaning(storage=pa.string()) if isinstance(kind, sa.String) else None

    def selected(self, column: Column, expression: str) -> sa.ColumnElement[Any]:
        return sa.literal_column(expression)

    def place(self, column: Column) -> sa.ColumnElement[Any]:
        if column.native.startswith("TIMESTAMP"):
            return sa.cast(plain(column), Native("text"))
        return plain(column)

    def bound(self, column: Column, place: Any) -> sa.ColumnElement[Any]:
        return sa.cast(sa.literal(place), Native(column.native))

    def constant(self, mark: Mark) -> str:
        if mark.kind in TEMPORAL:
            return f"CAST({literal(mark.text)} AS timestamptz)"
        return literal(mark.text)

    def code(self, said: str) -> str:
        return "57014" if "canceling statement" in said else ""


def paged(url: str) -> SqlSource:
    config = DatabaseConfig.model_validate({"url": url})
    return SqlSource(reader=CoreReader(CoreSession(config, Standin())), at_once=False)


class PagedSource(Postgres):
    def open(self) -> Source:
        return paged(self.url)
