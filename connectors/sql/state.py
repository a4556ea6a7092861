"""The table ``_sync_state``: beside the data, what each stream has durably reached.

Law: it is written in the transaction that writes the data, and only if the row is still
the one that this writer last saw. ``token`` is new with every commit, so a row that
somebody else wrote, or removed, is never taken for ours.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import structlog

from connectors.arrow import described
from connectors.contract import Committed, Counts, State, Target
from connectors.errors import ConfigError, TransientError
from connectors.sql.names import TableName, listed, literal
from connectors.sql.store import Kind, Planned, Store, transaction

_log = structlog.get_logger(__name__)

_KEY = ("owner", "stream")
_COLUMNS = {
    "owner": "string",
    "stream": "string",
    "execution": "string",
    "finished": "bool",
    "version": "int32",
    "value": "string",
    "counts": "string",
    "committed_at": "timestamp[us, tz=UTC]",
    "token": "string",
}
_READ = ("execution", "finished", "version", "value", "counts", "committed_at", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One row as it was read."""

    committed: Committed
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTable:
    """One stream's row in ``_sync_state``."""

    store: Store
    name: TableName
    target: Target

    @property
    def lock_name(self) -> str:
        """What two writers of this row contend for."""
        return "\0".join((self.name.sql, self.target.owner, self.target.stream))

    def open(self) -> Stored | None:
        """The row; where the table itself is not there yet, it is created."""
        try:
            return self.read()
        except ConfigError:
            self._create()
            return self.read()

    def _create(self) -> None:
        with transaction(self.store):
            self.store.lock([self.name.sql])
            self.store.ensure_dataset(self.target.dataset)
            if self.store.describe(self.name) is None:
                plan = tuple(self._column(name, storage) for name, storage in _COLUMNS.items())
                self.store.create(self.name, plan, _KEY, kind=Kind.REAL)

    def _column(self, name: str, storage: str) -> Planned:
        field = described(name, storage)
        return Planned(name=name, type=self.store.column_type(field), field=field)

    def read(self) -> Stored | None:
        """The row, as this connection sees it now."""
        moment = self.store.spelling.instant_text("committed_at")
        columns = ", ".join(moment if name == "committed_at" else name for name in _READ)
        rows = self.store.rows(f"SELECT {columns} FROM {self.name.sql} WHERE {self._mine()}")
        return _stored(rows[0]) if rows else None

    def verify(self, known: Stored | None) -> None:
        """`TransientError` if the row is not the one that this writer knows."""
        found = self.read()
        if (found and found.token) != (known and known.token):
            by = f" by execution {found.committed.execution}" if found else ""
            raise TransientError(
                f"the state of {self.target.stream!r} was moved{by} while this execution was "
                "writing; nothing of it was committed"
            )

    def write(self, committed: Committed) -> Stored:
        """Put the row in place of the one that `verify` has seen."""
        stored = Stored(committed=committed, token=secrets.token_hex(8))
        state = committed.state
        at = committed.committed_at or datetime.now(UTC)
        values = (
            literal(self.target.owner),
            literal(self.target.stream),
            literal(self.target.execution),
            "TRUE" if committed.finished else "FALSE",
            "NULL" if state is None else str(state.version),
            "NULL" if state is None else literal(json.dumps(dict(state.value))),
            literal(json.dumps({one.name: getattr(committed.counts, one.name) for one in _COUNTS})),
            self.store.spelling.instant(at),
            literal(stored.token),
        )
        updates = ", ".join(
            f"{name} = {value}"
            for name, value in zip(_COLUMNS, values, strict=True)
            if name not in _KEY
        )
        if not self.store.execute(f"UPDATE {self.name.sql} SET {updates} WHERE {self._mine()}"):
            self.store.execute(
                f"INSERT INTO {self.name.sql} ({listed(_COLUMNS)}) VALUES ({', '.join(values)})"
            )
        return stored

    def _mine(self) -> str:
        owner, stream = literal(self.target.owner), literal(self.target.stream)
        return f"owner = {owner} AND stream = {stream}"


_COUNTS = fields(Counts)


def _stored(row: Sequence[Any]) -> Stored:
    execution, finished, version, value, counts, at, token = row
    position = _object(value)
    return Stored(
        committed=Committed(
            state=None if position is None else State(version=version, value=position),
            execution=execution,
            finished=bool(finished),
            counts=Counts(**(_object(counts) or {})),
            committed_at=datetime.fromisoformat(at).astimezone(UTC),
        ),
        token=token,
    )


def _object(text: str | None) -> dict[str, Any] | None:
    """A JSON object; None for NULL, and for text that somebody has spoilt.

    A lost position costs a read from the beginning, which doubles nothing.
    """
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        _log.warning("state.unreadable", length=len(text))
        return None
    return found
