"""Who did what, in a chain of hashes: a row that is changed or removed breaks it.

Laws:

* One writer at a time appends: the function ``sync.audit_head`` waits for those before,
  and then knows the last hash, of whatever tenant that row is.
* What is taken away from the chain's end leaves a chain. Whoever must be sure of that too
  keeps the last hash elsewhere, and asks whether it is still there.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, text

from sync_pipelines.catalog.tables import AuditRow

GENESIS = "0" * 64


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
    previous = connection.scalar(text("SELECT sync.audit_head()"))
    row = {
        "tenant_id": tenant_id,
        "at": at,
        "actor": actor,
        "action": action,
        "subject": subject,
        "before": _as_kept(before),
        "after": _as_kept(after),
        "previous_hash": previous or GENESIS,
    }
    connection.execute(insert(AuditRow).values(**row, hash=digest(row)))


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
