"""SQLite as a source.

SQLite compares times as the texts they are. A watermark is therefore spelled in the
shortest way, with a space: that is never after the same moment spelled with ``T``,
with a zone or with more digits, so a row may come again but is never passed over.
Texts with a zone other than UTC have no place in that order; they are read every time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from connectors.sql.cursor import TEMPORAL, Kind, Mark, kind_of
from connectors.sql.fit import divided
from connectors.sql.names import TableName, literal, quoted
from connectors.sql.reader import Query, Records
from connectors.sql.sqlite import session as lite
from connectors.sql.sqlite import values
from connectors.sql.tables import Column, Table


@dataclass(frozen=True, slots=True)
class SqliteReader:
    """Reads over one session."""

    session: lite.SqliteSession

    @property
    def default_schema(self) -> str:
        """``main``."""
        return lite.DEFAULT_SCHEMA

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
        with lite.translated("asking for the time"):
            query = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"
            row = self.session.connection.execute(query).fetchone()
        return datetime.fromisoformat(row[0]).replace(tzinfo=UTC)

    def constant(self, mark: Mark) -> str:
        """The shortest spelling of the position."""
        if mark.kind in (Kind.INTEGER, Kind.DECIMAL):
            return format(mark.value, "f") if mark.kind is Kind.DECIMAL else mark.text
        text = mark.text.replace("T", " ") if mark.kind in TEMPORAL else mark.text
        if isinstance(mark.value, datetime):
            text = text.removesuffix("+00:00")
            text = text.rstrip("0").removesuffix(".") if "." in text else text
        return literal(text)

    def comparable(self, column: Column) -> str:
        """Times with a space between date and time, whatever they are stored with."""
        name = quoted(column.name)
        zoneless = kind_of(column.field) in (Kind.TIMESTAMP, Kind.INSTANT)
        return f"replace({name}, 'T', ' ')" if zoneless else name

    def regular(self, column: Column) -> str | None:
        """Values of the class that the type belongs to: numbers sort before texts, before blobs."""
        name = quoted(column.name)
        kind = kind_of(column.field)
        if kind in (Kind.INTEGER, Kind.DECIMAL):
            return f"{name} < ''"
        texts = f"{name} >= '' AND {name} < x''"
        return f"{texts} AND {_in_utc(name)}" if kind is Kind.INSTANT else texts

    def odd(self, column: Column) -> str | None:
        """NULL, values of another class, times in a zone of their own."""
        name = quoted(column.name)
        kind = kind_of(column.field)
        if kind in (Kind.INTEGER, Kind.DECIMAL):
            return f"{name} IS NULL OR {name} >= ''"
        zoned = f" OR NOT {_in_utc(name)}" if kind is Kind.INSTANT else ""
        return f"{name} IS NULL OR {name} < '' OR {name} >= x''{zoned}"

    def greatest(self, query: Query, column: Column, limit: Mark | None) -> str | None:
        """``max()`` in the column's own collation, as text."""
        del limit  # only texts and decimals come here, and these have none
        with lite.translated("reading"):
            sql = query.sql([f"CAST(max({quoted(column.name)}) AS TEXT)"])
            row = self.session.connection.execute(sql).fetchone()
        found: str | None = row[0]
        return found

    def records(self, query: Query) -> Iterator[Records]:
        """Rows of one cursor, hence of one snapshot."""
        sql = query.sql([quoted(column.name) for column in query.columns])
        with lite.translated("reading"):
            connection = self.session.connection
            # The standard one fails for all of a batch when one text is not UTF-8.
            connection.text_factory = _decoded
            cursor = connection.execute(sql)
        self.session.reading.add(cursor)
        try:
            while True:
                with lite.translated("reading"):
                    rows = cursor.fetchmany(query.batch_rows)
                if not rows:
                    return
                yield _records(list(zip(*rows, strict=True)), query)
        finally:
            # The session may have been closed meanwhile, and the cursor with it.
            if cursor in self.session.reading:
                self.session.reading.remove(cursor)
                cursor.close()

    def interrupt(self) -> None:
        """End a statement that another thread waits for."""
        self.session.interrupt()

    def close(self) -> None:
        """Close the file."""
        self.session.close()


def _in_utc(name: str) -> str:
    return f"({name} LIKE '%+00:00' OR {name} LIKE '%Z' OR {name} LIKE '%+00')"


def _decoded(raw: bytes) -> str:
    """Text; bytes that are no UTF-8 become marks that `values` refuses."""
    return raw.decode(errors="surrogateescape")


def _records(columns: list[tuple[object, ...]], query: Query) -> Records:
    schema = query.schema
    reasons: dict[int, str] = {}
    arrays = []
    for column, field in zip(columns, schema, strict=True):
        made, unfit = values.array(column, field)
        arrays.append(made)
        reasons = {**unfit, **reasons}
    found = divided(pa.Table.from_arrays(arrays, schema.names), query.key, reasons)
    return Records(data=found.data.cast(schema), rejected=found.rejected)
