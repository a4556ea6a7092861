"""The table ``_rejected``: beside the data, the records that could not be used.

Laws: a row is written, or removed, in the transaction that writes the data and moves the
state; a record that is rejected again takes the place of its earlier row. A destination
that keeps the contract uses `MOST_KEPT` and `kept` as they are.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.arrow import described
from connectors.contract import Destination, Rejection, Target
from connectors.described import arrow_field
from connectors.errors import ConfigError
from connectors.late import pa
from connectors.payload import NO_KEY

REJECTED_TABLE = "_rejected"
COLUMNS = {
    "id": "string",
    "owner": "string",
    "stream": "string",
    "key": "string",
    "reason": "string",
    "payload": "string",
    "execution": "string",
    "rejected_at": "timestamp[us, tz=UTC]",
}
MOST_KEPT = 10_000
"""Rejected records of one commit that are kept; more are only counted, and a row says so."""


def rejected_schema() -> pa.Schema:
    """The table's columns in Arrow."""
    return pa.schema([arrow_field(described(name, kind)) for name, kind in COLUMNS.items()])


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRecord:
    """One row. ``payload`` is JSON text, see `connectors.payload`."""

    id: str
    owner: str
    stream: str
    key: str
    reason: str
    payload: str | None
    execution: str
    rejected_at: datetime

    @property
    def is_replayable(self) -> bool:
        """Whether the record can be sent through again from here."""
        return self.payload is not None and self.key != NO_KEY


def kept(
    rejections: Iterable[Rejection], lost: int, *, target: Target, at: datetime
) -> Sequence[RejectedRecord]:
    """The rows for one commit's rejections, one a record; ``lost`` more were only counted."""
    found = {_identity(one.key, one.payload): one for one in rejections}
    rows = [_row(one, target, at) for one in found.values()]
    if lost:
        reason = f"{lost} more records were rejected in this commit; only their number is known"
        rows.append(_row(Rejection(key=f"({lost} more)", reason=reason), target, at))
    return rows


def _row(one: Rejection, target: Target, at: datetime) -> RejectedRecord:
    return RejectedRecord(
        id=secrets.token_hex(8),
        owner=target.owner,
        stream=target.stream,
        key=one.key.replace("\0", "\\0"),
        reason=one.reason.replace("\0", "\\0"),
        payload=one.payload,
        execution=target.execution,
        rejected_at=at,
    )


def _identity(key: str, payload: str | None) -> tuple[str, str | None]:
    return (key, payload if key == NO_KEY else None)


def replaces(new: RejectedRecord, old: RejectedRecord) -> bool:
    """Whether ``old`` was about the record that ``new`` is about."""
    same = (new.owner, new.stream) == (old.owner, old.stream)
    return same and _identity(new.key, new.payload) == _identity(old.key, old.payload)


def read_rejected(
    destination: Destination, dataset: str, *, owner: str, streams: Sequence[str] = ()
) -> Sequence[RejectedRecord]:
    """An owner's rejected records in a dataset, of these streams or of all; the oldest first."""
    destination.check()
    try:
        table = destination.read_table(dataset, REJECTED_TABLE)
    except ConfigError:  # nothing was ever rejected, so there is no table
        return ()
    return _records(table, owner, streams)


def _records(table: pa.Table, owner: str, streams: Sequence[str]) -> Sequence[RejectedRecord]:
    found = [RejectedRecord(**row) for row in table.select(list(COLUMNS)).to_pylist()]
    mine = [one for one in found if one.owner == owner and (not streams or one.stream in streams)]
    return sorted(mine, key=lambda one: (one.rejected_at, one.stream, one.key))
