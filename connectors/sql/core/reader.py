"""SQL Server and Oracle as sources: page by page, through SQLAlchemy Core.

Laws:

* Pages are not one snapshot. So a watermark is found in the rows only where they come in its
  order; else it is the greatest value from before the first page, and what changes meanwhile
  is met by the next read.
* Every value is asked for in a form that the driver does not round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from connectors.described import arrow_field
from connectors.errors import TransientError
from connectors.late import pa
from connectors.sql.core import values
from connectors.sql.core.pages import Pages, greatest
from connectors.sql.core.session import CoreSession
from connectors.sql.cursor import Mark
from connectors.sql.names import TableName, quoted
from connectors.sql.reader import Query, Records
from connectors.sql.tables import Column, Table


@dataclass(slots=True)
class CoreReader:
    """Reads over one session; see `connectors.sql.reader.Reader`."""

    session: CoreSession
    _tables: dict[TableName, Table] = field(default_factory=dict)
    _stopped: bool = False

    @property
    def default_schema(self) -> str:
        """The schema that the user begins in."""
        return self.session.default_schema

    def version(self) -> str:
        """Which server this is."""
        return self.session.version()

    def describe(self, name: TableName) -> Table | None:
        """One table or view."""
        found = self.session.describe(name)
        if found is not None:
            self._tables[found.name] = found
        return found

    def describe_all(self) -> Sequence[Table]:
        """Every table and view of the default schema."""
        found = self.session.describe_all()
        self._tables.update({table.name: table for table in found})
        return found

    def now(self) -> datetime:
        """The server's clock."""
        [[moment]] = self._rows(self.session.speech.now)
        found = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
        return found.replace(tzinfo=UTC)

    def constant(self, mark: Mark) -> str:
        """A constant of the column's kind."""
        return self.session.speech.constant(mark)

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
        """The greatest value that is there now, and no more than the limit."""
        [[found]] = self._rows(greatest(self.session.speech, query, column))
        if found is None:
            return None
        said = values.text(found, arrow_field(column.field))
        if limit is None:
            return said
        reached = Mark.parse(limit.kind, said)
        return limit.text if reached.order > limit.order else said

    def records(self, query: Query) -> Iterator[Records]:
        """The rows, one page at a time."""
        self._stopped = False
        pages = Pages.of(self.session.speech, query, self._table(query.table))
        if not pages.rising:
            yield from self._streamed(pages)
            return
        rows = self._rows(pages.first())
        while rows:
            yield _records(rows, query)
            if len(rows) < query.batch_rows:
                return
            if self._stopped:
                raise TransientError("the read was ended; it begins again from its last state")
            rows = self._rows(pages.after(rows[-1]))

    def _streamed(self, pages: Pages) -> Iterator[Records]:
        query = pages.query
        with self.session.translated("reading"):
            # Both drivers fetch a result piece by piece, as it is asked for.
            found = self.session.connection.execute(pages.first())
        with found:
            while True:
                with self.session.translated("reading"):
                    rows = found.fetchmany(query.batch_rows)
                if not rows:
                    return
                yield _records(rows, query)

    def _table(self, name: TableName) -> Table:
        found = self._tables.get(name) or self.describe(name)
        return found or Table(name=name, columns=())

    def _rows(self, statement: sa.Select[Any]) -> Sequence[Any]:
        with self.session.translated("reading"):
            return self.session.connection.execute(statement).fetchall()

    def interrupt(self) -> None:
        """End the read after its page, and the statement where the driver can."""
        self._stopped = True
        self.session.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self.session.close()


def _records(rows: Sequence[Any], query: Query) -> Records:
    columns = list(zip(*rows, strict=True))
    schema = query.schema
    arrays = [values.array(columns[nth], one) for nth, one in enumerate(schema)]
    return Records(data=pa.Table.from_arrays(arrays, schema=schema))
