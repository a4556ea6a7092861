"""The table ``_rejected`` of a project, written through PostgREST; see `connectors.rejected`.

Law: nothing moves together here. So new rows are there before old ones about the same
records go, and all of it before the state moves: whoever dies in between does it again, and
what he left is among the old ones then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from connectors.contract import Rejection, Target
from connectors.errors import ConfigError
from connectors.http.client import HttpClient
from connectors.payload import NO_KEY
from connectors.providers.supabase_rows import Row
from connectors.providers.supabase_table import RemoteTable
from connectors.rejected import COLUMNS, REJECTED_TABLE, RejectedRecord, kept

REJECTED_SQL = """create table {schema}._rejected (
  id text primary key, owner text, stream text, key text, reason text, payload text,
  execution text, rejected_at timestamptz);"""


@dataclass(frozen=True, slots=True)
class RemoteRejected:
    """One stream's rows in ``_rejected``."""

    client: HttpClient
    target: Target

    @property
    def _table(self) -> RemoteTable:
        it = replace(self.target, table=REJECTED_TABLE, primary_key=("id",))
        return RemoteTable(client=self.client, target=it)

    def require(self) -> None:
        """`ConfigError` with the statement that creates it, where it is not there."""
        try:
            self._table.ask(list(COLUMNS))
        except ConfigError as error:
            schema = self.target.dataset
            raise ConfigError(
                f"{self.target.stream!r} has rejected records, and {schema}.{REJECTED_TABLE}, "
                "where they are kept, cannot be read; create it once: "
                f"{REJECTED_SQL.format(schema=schema)} The project says: {error}"
            ) from error

    def put(
        self, rejections: Sequence[Rejection], lost: int, *, at: datetime, complete: bool
    ) -> None:
        """Write the rows of this commit, instead of those about the same records.

        What is being sent through again goes with them. ``complete`` says that this execution
        has read every record there is: rows of earlier ones are of no use any more.
        """
        rows = kept(rejections, lost, target=self.target, at=at)
        if not (rows or self.target.redriven or (complete and self._is_there())):
            return
        old = [*self._older(rows, complete=complete), *self.target.redriven]
        self._table.upsert(list(_spelled(rows)), list(COLUMNS))
        self._table.delete([(one,) for one in dict.fromkeys(old)])

    def _is_there(self) -> bool:
        try:
            self._table.ask(["id"])
        except ConfigError:  # nothing was ever rejected, so nobody has made it
            return False
        return True

    def _older(self, rows: Sequence[RejectedRecord], *, complete: bool) -> Iterator[str]:
        """The ids of rows about the same records, or all of other executions."""
        mine = {"owner": f"eq.{self.target.owner}", "stream": f"eq.{self.target.stream}"}
        keys = {row.key for row in rows} - {NO_KEY}
        for one in self._table.rows(["id", "key", "execution"], mine):
            if one["key"] in keys or (complete and one["execution"] != self.target.execution):
                yield one["id"]
        texts = {row.payload for row in rows if row.key == NO_KEY}
        nameless = {**mine, "key": f"eq.{NO_KEY}"}
        for one in self._table.rows(["id", "payload"], nameless) if texts else ():
            if one["payload"] in texts:
                yield one["id"]


def _spelled(rows: Sequence[RejectedRecord]) -> Iterator[Row]:
    for row in rows:
        yield Row((row.id,), {**asdict(row), "rejected_at": row.rejected_at.isoformat()})
