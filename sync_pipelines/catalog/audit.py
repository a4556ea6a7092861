"""Who did what, in a chain of hashes: a row that is changed or removed breaks it.

Laws:

* One writer at a time appends: the function ``sync.audit_head`` waits for those before,
  and then knows the last hash, of whatever tenant that row is.
* Where the chain ends is kept beside it, moved by a trigger in the same transaction, so
  that rows cut off its end are missed, also after others have followed.
* Whoever may write the whole database can write another history, and its end too. Against
  that helps only a hash that is kept elsewhere: see `head_of_chain`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, insert, select, text, true

from sync_pipelines.catalog.tables import AuditHeadRow, AuditRow

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What somebody did; ``tenant_id`` is None where it is the installation's."""

    tenant_id: UUID | None
    at: datetime
    actor: str
    action: str
    subject: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def record(
    connection: Connection,
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    tenant_id: UUID | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Append one row, in the caller's transaction. Never pass a secret."""
    done = Done(
        tenant_id=tenant_id,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        before=before,
        after=after,
    )
    append(connection, hold_chain(connection), [done])


def hold_chain(connection: Connection) -> str:
    """Let nobody else append until the transaction ends; the hash of the last row."""
    return connection.scalar(text("SELECT sync.audit_head()")) or GENESIS


def append(connection: Connection, previous: str, done: Sequence[Done]) -> None:
    """Append rows to the chain, which is held and ends with the hash ``previous``."""
    rows = []
    for one in done:
        row = {
            "tenant_id": one.tenant_id,
            "at": one.at,
            "actor": one.actor,
            "action": one.action,
            "subject": one.subject,
            "before": _as_kept(one.before),
            "after": _as_kept(one.after),
            "previous_hash": previous,
        }
        previous = digest(row)
        rows.append({**row, "hash": previous})
    connection.execute(insert(AuditRow), rows)


def digest(row: Mapping[str, Any]) -> str:
    """The hash of a row's content and of the hash before it."""
    canonical = {**row, "at": row["at"].isoformat(), "tenant_id": str(row["tenant_id"])}
    return sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()


def _as_kept(value: Any) -> Any:
    """A value as PostgreSQL's JSON gives it back, so that its hash can be found again."""
    match value:
        case Mapping():
            return {str(key): _as_kept(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_as_kept(inner) for inner in value]
        case float() if value.is_integer() and (abs(value) >= WRITTEN_OUT or value == 0):
            return int(value) if value else 0.0
    return value


WRITTEN_OUT = 1e16
"""From here on Python writes a float with an exponent, and PostgreSQL all its digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first row that is not what was written, or does not follow the one before it."""

    id: int
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the chain ends: how many rows it has, and the last one's id and hash."""

    length: int
    last_id: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How many rows are good, the hash of the last of them, and what is wrong first.

    ``cut`` says which rows of its end are gone, or may be; None if none are.
    """

    rows: int
    head: str
    broken: Broken | None
    cut: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Done):
    """One thing that was done, as row ``id`` of the chain."""

    id: int


def head_of_chain(db: Connection) -> Head | None:
    """Where the chain ends now, to be kept where this database's writers cannot reach it.

    None where nothing was done yet, or somebody has removed the row that says it.
    """
    row = db.execute(select(AuditHeadRow.length, AuditHeadRow.last_id, AuditHeadRow.hash))
    found = row.one_or_none()
    return None if found is None else Head(**found._mapping)


def verify_for_all_tenants(db: Connection, *, kept: str | None = None) -> Verified:
    """Walk the whole chain up to its end; with ``kept``, that hash must be in it too.

    For all tenants, because they share the chain. Rows that are added meanwhile are walked
    as well.
    """
    end = head_of_chain(db)  # before the rows: those that follow it are no error
    head, rows, places = GENESIS, 0, {GENESIS: 0}
    query = select(AuditRow.__table__).order_by(AuditRow.id).execution_options(yield_per=1000)
    with db.execute(query) as found:
        for row in found.mappings():
            reason = _what_is_wrong(row, head)
            if reason is not None:
                broken = Broken(id=row["id"], at=row["at"], reason=reason)
                return Verified(rows=rows, head=head, broken=broken)
            head, rows = row["hash"], rows + 1
            if head == kept or (end is not None and head == end.hash):
                places[head] = rows
    cut = _what_is_cut(end, rows, places, kept)
    return Verified(rows=rows, head=head, broken=None, cut=cut)


def _what_is_cut(
    end: Head | None, rows: int, places: Mapping[str, int], kept: str | None
) -> str | None:
    """What is missing of the end, where ``places`` are those of the hashes that were found."""
    if end is not None and end.hash not in places:
        return f"rows are gone from the end: there were {end.length}, the last is id {end.last_id}"
    if end is None and rows:
        return "rows may be gone from the end: the row of sync.audit_heads that tells it is gone"
    if end is not None and end.length != places[end.hash]:
        return (
            f"rows may be gone from the end: sync.audit_heads was made anew {end.length} rows ago"
        )
    if kept is not None and kept not in places:
        return f"rows are gone: the hash {kept} is not among them"
    return None


def _what_is_wrong(row: RowMapping, head: str) -> str | None:
    content = {name: value for name, value in row.items() if name not in ("id", "hash")}
    content["at"] = content["at"].astimezone(UTC)
    if row["previous_hash"] != head:
        return "the row before it was removed or changed, or this one was put in"
    if digest(content) != row["hash"]:
        return "it was changed after it was written"
    return None


def entries(
    db: Connection, *, tenant_id: UUID, limit: int = 50, before: int | None = None
) -> list[Entry]:
    """What was done of a tenant's, newest first; ``before`` pages on by id."""
    return _entries(db, AuditRow.tenant_id == tenant_id, limit=limit, before=before)


def entries_for_all_tenants(
    db: Connection, *, limit: int = 50, before: int | None = None
) -> list[Entry]:
    """What was done of anybody's and the installation's, for whoever runs it."""
    return _entries(db, true(), limit=limit, before=before)


def _entries(
    db: Connection, which: ColumnElement[bool], *, limit: int, before: int | None
) -> list[Entry]:
    query = select(AuditRow.__table__).where(which).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditRow.id < before)
    names = [field.name for field in fields(Entry)]
    rows = db.execute(query).mappings()
    return [Entry(**{name: row[name] for name in names}) for row in rows]
