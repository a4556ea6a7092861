"""Who did what, in a chain of hashes: a row that is changed or removed breaks it."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from sync_pipelines.catalog.tables import AuditRow

CHAIN_LOCK = 7_283_551_907
"""Key of the advisory lock that puts writers of the chain in order."""

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
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAIN_LOCK})
    previous = connection.scalar(
        select(AuditRow.hash).order_by(AuditRow.id.desc()).limit(1)
    )  # fmt: skip
    row = {
        "tenant_id": tenant_id,
        "at": at,
        "actor": actor,
        "action": action,
        "subject": subject,
        "before": before,
        "after": after,
        "previous_hash": previous or GENESIS,
    }
    connection.execute(insert(AuditRow).values(**row, hash=digest(row)))


def digest(row: Mapping[str, Any]) -> str:
    """The hash of a row's content and of the hash before it."""
    canonical = {**row, "at": row["at"].isoformat(), "tenant_id": str(row["tenant_id"])}
    return sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()
