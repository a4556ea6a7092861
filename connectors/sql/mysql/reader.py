"""MySQL and MariaDB as a source: one statement, whose rows are streamed.

Law: the server's own order decides. A text cursor is compared in its column's collation,
there and here alike, so that texts which it takes for equal come again together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from connectors.sql.cursor import TEMPORAL, Kind, Mark
from connectors.sql.fit import divided
from connectors.sql.mysql import types, values
from connectors.sql.mysql.session import MysqlSession
from connectors.sql.names import TableName, literal, quoted
from connectors.sql.reader import Query, Records
from connectors.sql.tables import Column, Table


@dataclass(frozen=True, slots=True)
class MysqlReader:
    """Reads over one session."""

    session: MysqlSession

    @property
    def default_schema(self) -> str:
        """The database that the URL names."""
        return self.session.database

    def version(self) -> str:
        """Which server this is."""
        return self.session.version()

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        return self.session.describe(name)

    def describe_all(self) -> Sequence[Table]:
        """Every table and view."""
        return self.session.describe_all()

    def now(self) -> datetime:
        """The server's clock."""
        [[text]] = self.session.rows("SELECT utc_timestamp(6)", "asking for the time")
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    def constant(self, mark: Mark) -> str:
        """A constant that the server makes a value of the column's type of, once."""
        if mark.kind in (Kind.INTEGER, Kind.DECIMAL):
            return format(mark.value, "f") if mark.kind is Kind.DECIMAL else mark.text
        if mark.kind not in TEMPORAL:
            return literal(mark.text)
        return literal(mark.text.replace("T", " ").removesuffix("+00:00"))

    def comparable(self, column: Column) -> str:
        """The column itself."""
        return quoted(column.name)

    def regular(self, column: Column) -> str | None:
        """All but NULL have a place in the order."""
        return f"{quoted(column.name)} IS NOT NULL" if column.nullable else None

    def odd(self, column: Column) -> str | None:
        """NULL."""
        return f"{quoted(column.name)} IS NULL" if column.nullable else None

    def greatest(self, query: Query, column: Column, limit: Mark | None) -> str | None:
        """``max()`` in the column's own collation, as text."""
        del limit  # only texts and decimals come here, and these have none
        [[found]] = self.session.rows(query.sql([f"max({quoted(column.name)})"]), "reading")
        return None if found is None else str(found)

    def records(self, query: Query) -> Iterator[Records]:
        """Rows of one statement, hence of one snapshot."""
        schema = query.schema
        sql = query.sql([_selected(column) for column in query.columns])
        for rows in self.session.stream(sql, query.batch_rows):
            reasons: dict[int, str] = {}
            arrays = []
            for column, field in zip(zip(*rows, strict=True), schema, strict=True):
                made, unfit = values.array(column, field)
                arrays.append(made)
                reasons = {**unfit, **reasons}
            found = divided(pa.Table.from_arrays(arrays, schema.names), query.key, reasons)
            yield Records(data=found.data.cast(schema), rejected=found.rejected)

    def interrupt(self) -> None:
        """End a statement that another thread waits for."""
        self.session.interrupt()

    def close(self) -> None:
        """Close the connections."""
        self.session.close()


def _selected(column: Column) -> str:
    """The column; a FLOAT is shown with six digits unless it is made a DOUBLE."""
    name = quoted(column.name)
    return f"({name} + 0e0)" if types.base(column.native) == "float" else name
