"""What a request was answered that named itself by a key, so that asking again does nothing.

Laws:

* A key is taken before the work begins, in a transaction of its own: of two requests at
  once, one works, and the other is told so.
* What is done for a key and what is answered are one transaction. So a request that died has
  done nothing, and is done anew once its lease is over; or it is answered again.
* Who takes a key over owns it: what the one before still tries to do is undone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy import Connection as Db
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.tables import IdempotencyRow

KEPT = timedelta(days=1)
"""How long a key is remembered."""

LEASE = timedelta(seconds=30)
"""How long a request that is not answered is taken to be at work."""


class OvertakenError(Exception):
    """Another request has taken the key over: what was done for it is undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was asked under a key, and the answer; ``status`` None: it is at work."""

    request_hash: str
    status: int | None
    body: str | None


def take(
    db: Db, key: str, *, tenant_id: UUID, request_hash: str, owner: UUID, now: datetime
) -> Answered | None:
    """Take a key, None if it was free or left behind; else what it was taken for."""
    values = {
        "request_hash": request_hash,
        "status": None,
        "body": None,
        "created_at": now,
        "owner": owner,
        "leased_until": now + LEASE,
    }
    row = IdempotencyRow
    left_behind = and_(
        row.status.is_(None),
        row.leased_until <= now,
        row.request_hash == request_hash,
    )
    statement = (
        insert(row)
        .values(tenant_id=tenant_id, key=key, **values)
        .on_conflict_do_update(
            index_elements=["tenant_id", "key"],
            set_=values,
            where=or_(row.created_at < now - KEPT, left_behind),
        )
        .returning(row.key)
    )
    if db.execute(statement).one_or_none() is not None:
        return None
    query = select(row.request_hash, row.status, row.body)
    found = db.execute(query.where(*_mine(key, tenant_id))).one_or_none()
    if found is None:  # given back this very moment; who asks again gets it
        return Answered(request_hash=request_hash, status=None, body=None)
    return Answered(request_hash=found.request_hash, status=found.status, body=found.body)


def keep(db: Db, key: str, *, tenant_id: UUID, owner: UUID, status: int, body: str) -> None:
    """Remember the answer, in the transaction of the work; `OvertakenError` if it was too slow."""
    mine = (*_mine(key, tenant_id), IdempotencyRow.owner == owner)
    values = {"status": status, "body": body}
    if db.execute(update(IdempotencyRow).where(*mine).values(values)).rowcount != 1:
        raise OvertakenError(key)


def give_back(db: Db, key: str, *, tenant_id: UUID, owner: UUID) -> None:
    """Free a key of which nothing came."""
    mine = (*_mine(key, tenant_id), IdempotencyRow.owner == owner, IdempotencyRow.status.is_(None))
    db.execute(delete(IdempotencyRow).where(*mine))


def forget_for_all_tenants(db: Db, *, now: datetime) -> int:
    """Delete keys that are remembered no longer; how many. For housekeeping."""
    statement = delete(IdempotencyRow).where(IdempotencyRow.created_at < now - KEPT)
    return db.execute(statement).rowcount


def _mine(key: str, tenant_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return IdempotencyRow.tenant_id == tenant_id, IdempotencyRow.key == key
