"""What a request was answered that named itself by a key, so that asking again does nothing.

Laws:

* A key is taken before the work begins, in a transaction of its own: of two requests at
  once, one works, and the other is told so.
* What is not known to have come to nothing is never done again. A key whose request died
  in the middle stays taken until it is forgotten.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy import Connection as Db
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.tables import IdempotencyRow

KEPT = timedelta(days=1)
"""How long a key is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was asked under a key, and the answer; ``status`` None: there is none yet."""

    request_hash: str
    status: int | None
    body: str | None


def take(db: Db, key: str, *, tenant_id: UUID, request_hash: str, now: datetime) -> Answered | None:
    """Take a key, None if it was free; else what it was taken for."""
    values = {"request_hash": request_hash, "status": None, "body": None, "created_at": now}
    statement = (
        insert(IdempotencyRow)
        .values(tenant_id=tenant_id, key=key, **values)
        .on_conflict_do_update(
            index_elements=["tenant_id", "key"],
            set_=values,
            where=IdempotencyRow.created_at < now - KEPT,
        )
        .returning(IdempotencyRow.key)
    )
    if db.execute(statement).one_or_none() is not None:
        return None
    query = select(IdempotencyRow.request_hash, IdempotencyRow.status, IdempotencyRow.body)
    row = db.execute(query.where(*_mine(key, tenant_id))).one_or_none()
    if row is None:  # given back this very moment; who asks again gets it
        return Answered(request_hash=request_hash, status=None, body=None)
    return Answered(request_hash=row.request_hash, status=row.status, body=row.body)


def keep(db: Db, key: str, *, tenant_id: UUID, status: int, body: str) -> None:
    """Remember the answer."""
    values = {"status": status, "body": body}
    db.execute(update(IdempotencyRow).where(*_mine(key, tenant_id)).values(values))


def give_back(db: Db, key: str, *, tenant_id: UUID) -> None:
    """Free a key of which nothing came."""
    db.execute(delete(IdempotencyRow).where(*_mine(key, tenant_id)))


def forget_for_all_tenants(db: Db, *, now: datetime) -> int:
    """Delete keys that are remembered no longer; how many. For housekeeping."""
    statement = delete(IdempotencyRow).where(IdempotencyRow.created_at < now - KEPT)
    return db.execute(statement).rowcount


def _mine(key: str, tenant_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return IdempotencyRow.tenant_id == tenant_id, IdempotencyRow.key == key
