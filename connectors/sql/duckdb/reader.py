"""DuckDB as a source: Arrow, streamed.

An index of DuckDB finds single rows but does not serve an order, so nothing is
``ordered`` here; a scan of columns is cheap instead.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from connectors.arrow import logical_of
from connectors.sql.cursor import TEMPORAL, Kind, Mark, kind_of
from connectors.sql.duckdb import session as duck
from connectors.sql.fit import sifted
from connectors.sql.names import TableName, literal, quoted
from connectors.sql.reader import Query, Records
from connectors.sql.tables import Column, Table

_CASTS = {
    Kind.DATE: "::DATE",
    Kind.TIMESTAMP: "::TIMESTAMP",
    Kind.INSTANT: "::TIMESTAMPTZ",
}


@dataclass(frozen=True, slots=True)
class DuckdbReader:
    """Reads over one session."""

    session: duck.DuckdbSession

    @property
    def default_schema(self) -> str:
        """``main``."""
        return duck.DEFAULT_SCHEMA

    def version(self) -> str:
        """Which library and file this is."""
        return self.session.version()

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        return self.session.describe(name)

    def describe_all(self) -> Sequence[Table]:
        """Every table and view."""
        return self.session.describe_all()

    def now(self) -> datetime:
        """The clock of this machine, which is where the file is."""
        return datetime.fromisoformat(str(self._scalar("SELECT now()::VARCHAR")))

    def _scalar(self, sql: str) -> str | None:
        with duck.translated("reading"):
            row = self.session.connection.execute(sql).fetchone()
        return None if row is None else row[0]

    def constant(self, mark: Mark) -> str:
        """A constant of the column's type."""
        if mark.kind in (Kind.INTEGER, Kind.DECIMAL):
            return format(mark.value, "f") if mark.kind is Kind.DECIMAL else mark.text
        return literal(mark.text) + _CASTS.get(mark.kind, "")

    def comparable(self, column: Column) -> str:
        """The column itself."""
        return quoted(column.name)

    def regular(self, column: Column) -> str | None:
        """Finite values."""
        name = quoted(column.name)
        if kind_of(column.field) in TEMPORAL:
            return f"isfinite({name})"
        return f"{name} IS NOT NULL" if column.nullable else None

    def odd(self, column: Column) -> str | None:
        """NULL and infinities."""
        name = quoted(column.name)
        if kind_of(column.field) in TEMPORAL:
            return f"{name} IS NULL OR NOT isfinite({name})"
        return f"{name} IS NULL" if column.nullable else None

    def greatest(self, query: Query, column: Column, limit: Mark | None) -> str | None:
        """``max()`` in the column's own collation, as text."""
        del limit  # only texts and decimals come here, and these have none
        return self._scalar(query.sql([f"max({quoted(column.name)})::VARCHAR"]))

    def records(self, query: Query) -> Iterator[Records]:
        """Arrow batches of one statement, hence of one snapshot."""
        schema = query.schema
        sql = query.sql([_selected(column) for column in query.columns])
        with duck.translated("reading"):
            # A connection of its own: the next statement on it would end the stream.
            connection = self.session.connection.cursor()
        with closing(connection):
            with duck.translated("reading"):
                connection.execute("SET TimeZone = 'UTC'")
                reader = connection.sql(sql).to_arrow_reader(query.batch_rows)
            while True:
                try:
                    with duck.translated("reading"):
                        batch = reader.read_next_batch()
                except StopIteration:
                    return
                if batch.num_rows:
                    fit = sifted(_exact(batch, schema), query.key)
                    yield Records(data=fit.data.cast(schema), rejected=fit.rejected)

    def interrupt(self) -> None:
        """End a statement that another thread waits for."""
        self.session.interrupt()

    def close(self) -> None:
        """Close the file."""
        self.session.close()


def _selected(column: Column) -> str:
    name = quoted(column.name)
    return name if logical_of(column.field) is None else f"CAST({name} AS VARCHAR) AS {name}"


def _exact(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """DuckDB's own spellings of the same types, as ours."""
    arrays = [batch.column(n).cast(field.type) for n, field in enumerate(schema)]
    return pa.Table.from_arrays(arrays, schema.names)
