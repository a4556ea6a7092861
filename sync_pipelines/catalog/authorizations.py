"""Consents that are waited for: begun by a person, for one connection, good once.

Laws:

* Of the word that comes back only a hash is kept; who reads the catalog can finish nothing.
* It is taken by whoever began it, before its time is over, and then it is gone: of two
  who bring it, one finds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import delete, insert

from sync_pipelines.catalog.credentials import hash_of
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.tables import AuthorizationRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What was waited for. ``kept`` is what was needed on the way back."""

    tenant_id: UUID
    connection_id: UUID
    kept: Mapping[str, Any] = field(repr=False)


def expect(
    db: Db,
    secrets: SecretBox,
    state: str,
    awaited: Awaited,
    *,
    actor: str,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Wait for an answer with this word, from this person; the tenant's old ones are dropped."""
    over = (AuthorizationRow.tenant_id == awaited.tenant_id, AuthorizationRow.expires_at <= now)
    db.execute(delete(AuthorizationRow).where(*over))
    db.execute(
        insert(AuthorizationRow).values(
            state_hash=hash_of(state),
            tenant_id=awaited.tenant_id,
            connection_id=awaited.connection_id,
            actor=actor,
            sealed=secrets.seal(awaited.kept),
            expires_at=expires_at,
        )
    )


def take_for_all_tenants(
    db: Db, secrets: SecretBox, state: str, *, actor: str, now: datetime
) -> Awaited | None:
    """What was waited for with this word, which is used up; None if this person began no such.

    For all tenants, because the word itself says whose it is.
    """
    statement = (
        delete(AuthorizationRow)
        .where(
            AuthorizationRow.state_hash == hash_of(state),
            AuthorizationRow.actor == actor,
            AuthorizationRow.expires_at > now,
        )
        .returning(
            AuthorizationRow.tenant_id, AuthorizationRow.connection_id, AuthorizationRow.sealed
        )
    )
    row = db.execute(statement).one_or_none()
    if row is None:
        return None
    return Awaited(
        tenant_id=row.tenant_id, connection_id=row.connection_id, kept=secrets.open(row.sealed)
    )
