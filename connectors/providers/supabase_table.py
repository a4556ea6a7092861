"""One table behind PostgREST, to be written: what is there, upserts, deletes, its state.

Law: a call can be made again. An upsert and a delete leave what they left before; a state
that is already ours counts as moved.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from connectors.contract import Committed, Counts, State, Target
from connectors.errors import AuthError, ConfigError, TransientError
from connectors.http.call import Answer, Call, encoded
from connectors.http.client import HttpClient
from connectors.providers.supabase_rows import Key, Row, answered, body_of, rounded
from connectors.providers.supabase_tables import Keyset, named, spelled
from connectors.sql.names import TableName, quoted

DELETED_AT = "_deleted_at"
STATE_TABLE = "_sync_state"
MOST_ROWS = 500
LONGEST_FILTER = 6_000
"""Characters of a URL; servers and proxies refuse longer ones."""

STATE_SQL = """create table {schema}._sync_state (
  owner text, stream text, execution text, finished boolean, version integer, value text,
  counts text, committed_at timestamptz, token text, primary key (owner, stream));"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The state as it was read, and what it is compared by."""

    committed: Committed
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTable:
    """The table of one target."""

    client: HttpClient
    target: Target

    @property
    def _schema(self) -> str:
        return self.target.dataset

    def _call(self, method: str, path: str, prefer: str = "", body: bytes | None = None) -> Call:
        profile = "Accept-Profile" if method == "GET" else "Content-Profile"
        headers = [(profile, self._schema)]
        if prefer:
            headers.append(("Prefer", prefer))
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        return Call(path=quote(path, safe=""), method=method, headers=tuple(headers), body=body)

    # What is there

    def ask(self, columns: Sequence[str]) -> None:
        """`ConfigError` where the table or a column is missing."""
        select = ",".join(named(one) for one in columns)
        call = self._call("GET", self.target.table).put({"select": select, "limit": 1})
        self.client.fetch(call, answered)

    def look(self, columns: Sequence[str]) -> None:
        """`ConfigError` that tells what to create, where the table or a column is missing."""
        try:
            self.ask(columns)
        except ConfigError as error:
            raise ConfigError(
                f"table {self._schema}.{self.target.table} cannot take these columns: "
                f"{', '.join(columns)}. Through its API nothing is created: create the table with "
                f"primary key ({', '.join(self.target.primary_key)}), or add what is missing, or "
                f"give the connection a database. The project says: {error}"
            ) from error

    def stored(self, keys: Sequence[Key], columns: Sequence[str]) -> Sequence[dict[str, Any]]:
        """The rows of these keys that are there."""
        found: list[dict[str, Any]] = []
        select = ",".join(named(one) for one in columns)
        for condition in self._among(keys):
            call = self._call("GET", self.target.table).put({"select": select, "or": condition})
            found.extend(self._all(call))
        return found

    def keys(self, *, alive: bool) -> Iterator[dict[str, Any]]:
        """The key of every row; ``alive`` leaves out those that are marked as deleted."""
        select = ",".join(named(one) for one in self.target.primary_key)
        call = self._call("GET", self.target.table).put({"select": select})
        yield from self._all(call.put({DELETED_AT: "is.null"}) if alive else call)

    def rows(
        self, columns: Sequence[str], conditions: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        """The rows that meet the conditions; the key is among the columns."""
        select = ",".join(named(one) for one in columns)
        call = self._call("GET", self.target.table).put({"select": select, **conditions})
        yield from self._all(call)

    def count(self, *, alive: bool) -> int:
        """How many rows there are; ``alive`` leaves out those that are marked as deleted."""
        select = ",".join(named(one) for one in self.target.primary_key)
        call = self._call("GET", self.target.table, "count=exact")
        call = call.put({"select": select, "limit": 1})
        return self.client.fetch(call.put({DELETED_AT: "is.null"}) if alive else call, _counted)

    def _all(self, call: Call) -> Iterator[dict[str, Any]]:
        """Every row of a list, however few are given at once."""
        pages = Keyset(columns=self.target.primary_key, size=MOST_ROWS)
        call = pages.first(call)
        while rows := self.client.fetch(call, answered):
            yield from rows
            call = call.put({"and": f"({pages.after(rows[-1])})"})

    def _among(self, keys: Sequence[Key]) -> Iterator[str]:
        """Conditions for these keys, none of them too long for a URL."""
        held: list[str] = []
        for key in keys:
            pairs = zip(self.target.primary_key, key, strict=True)
            equal = ",".join(f"{named(name)}.eq.{spelled(value)}" for name, value in pairs)
            held.append(f"and({equal})")
            if sum(map(len, held)) > LONGEST_FILTER or len(held) == MOST_ROWS:
                yield f"({','.join(held)})"
                held = []
        if held:
            yield f"({','.join(held)})"

    # Changes

    def _write(self, call: Call) -> None:
        self.client.fetch(call, _silent)

    def upsert(
        self, rows: Sequence[Row], names: Sequence[str], decimals: Sequence[str] = ()
    ) -> None:
        """Write these rows over those of the same key.

        `ConfigError` where a column has rounded one of ``decimals``: the API tells of no
        column how many digits it keeps, so what was stored is looked at.
        """
        key = self.target.primary_key
        answer = "representation" if decimals else "minimal"
        asked = {
            "on_conflict": ",".join(named(one) for one in key),
            "columns": ",".join(named(one) for one in names),
            "select": ",".join(map(named, dict.fromkeys((*key, *decimals)))) if decimals else None,
        }
        for start in range(0, len(rows), MOST_ROWS):
            sent = rows[start : start + MOST_ROWS]
            prefer = f"resolution=merge-duplicates,return={answer}"
            call = self._call("POST", self.target.table, prefer, body_of(sent, names)).put(asked)
            try:
                if not decimals:
                    self._write(call)
                    continue
                stored = self.client.fetch(call, answered)
            except AuthError:
                raise
            except ConfigError as error:
                raise ConfigError(
                    f"{error}. Where a column does not hold what arrives, make it one that does, "
                    "or set on_conflict: variant"
                ) from error
            self._refuse_rounded(rounded(sent, stored, key, decimals))

    def _refuse_rounded(self, column: str | None) -> None:
        if column is not None:
            table = TableName(schema=self._schema, table=self.target.table).sql
            raise ConfigError(
                f"column {column!r} of {table} keeps fewer digits than arrive, and has rounded "
                "them; the state stays where it was. Round them in a mapping, or let the column "
                f"keep them all: alter table {table} alter column {quoted(column)} type numeric;"
            )

    def mark(self, keys: Sequence[Key], moment: datetime) -> None:
        """Mark rows as deleted."""
        body = encoded({DELETED_AT: moment.isoformat()}).encode()
        for condition in self._among(keys):
            call = self._call("PATCH", self.target.table, "return=minimal", body)
            self._write(call.put({"or": condition}))

    def delete(self, keys: Sequence[Key]) -> None:
        """Remove rows."""
        for condition in self._among(keys):
            call = self._call("DELETE", self.target.table, "return=minimal")
            self._write(call.put({"or": condition}))

    # The state

    def state(self) -> Known | None:
        """What was committed; `ConfigError` with what to create, where no state can be kept."""
        mine = {"owner": f"eq.{self.target.owner}", "stream": f"eq.{self.target.stream}"}
        try:
            rows = self.client.fetch(self._call("GET", STATE_TABLE).put(mine), answered)
        except ConfigError as error:
            raise ConfigError(
                f"{self._schema}.{STATE_TABLE} cannot be read, where states are kept; create it "
                f"once: {STATE_SQL.format(schema=self._schema)} The project says: {error}"
            ) from error
        return _known(rows[0]) if rows else None

    def move(self, known: Known | None, committed: Committed) -> Known:
        """Put a state in the place of the known one; `TransientError` if it is no longer there."""
        moved = Known(committed=committed, token=secrets.token_hex(8))
        row = {
            "owner": self.target.owner,
            "stream": self.target.stream,
            **_spelled(moved),
        }
        body = json.dumps(row).encode()
        if known is None:
            call = self._call(
                "POST", STATE_TABLE, "resolution=ignore-duplicates,return=minimal", body
            )
            self._write(call.put({"on_conflict": "owner,stream"}))
        else:
            mine = {name: f"eq.{row[name]}" for name in ("owner", "stream")}
            call = self._call("PATCH", STATE_TABLE, "return=minimal", body)
            self._write(call.put({**mine, "token": f"eq.{known.token}"}))
        # An answer may have been lost, and the call made twice: what is there decides.
        found = self.state()
        if found is None or found.token != moved.token:
            raise self.lost(found)
        return moved

    def lost(self, found: Known | None) -> TransientError:
        """What to raise when somebody else has moved the state."""
        by = f" by execution {found.committed.execution}" if found else ""
        return TransientError(
            f"the state of {self.target.stream!r} was moved{by} while this execution was writing; "
            "it begins again from there"
        )


def _silent(answer: Answer) -> None:
    """`TransientError` for a page of somebody else's: the project says nothing to a write."""
    if answer.content:
        raise TransientError("something that is not the project's API answered to a write")


def _counted(answer: Answer) -> int:
    said = answer.headers.get("content-range", "").rpartition("/")[2]
    if not said.isdigit():
        raise TransientError("the project did not say how many rows there are, though asked to")
    return int(said)


def _spelled(known: Known) -> Mapping[str, Any]:
    committed, state = known.committed, known.committed.state
    at = committed.committed_at
    return {
        "execution": committed.execution,
        "finished": committed.finished,
        "version": None if state is None else state.version,
        "value": None if state is None else json.dumps(dict(state.value)),
        "counts": json.dumps(asdict(committed.counts)),
        "committed_at": None if at is None else at.isoformat(),
        "token": known.token,
    }


def _known(row: Mapping[str, Any]) -> Known:
    value, counts, at = row.get("value"), row.get("counts"), row.get("committed_at")
    position = _object(value)
    return Known(
        committed=Committed(
            state=None if position is None else State(version=row["version"], value=position),
            execution=row.get("execution"),
            finished=bool(row.get("finished")),
            counts=Counts(**(_object(counts) or {})),
            committed_at=None if at is None else datetime.fromisoformat(at),
        ),
        token=str(row.get("token")),
    )


def _object(text: Any) -> dict[str, Any] | None:
    """A JSON object; None for NULL and for what somebody has spoilt: it is read again."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
