"""The OAuth tokens that a connection has been granted, encrypted.

Law: who refreshes holds the connection's lock, and what was saved is durable before the
lock is let go.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from connectors.surroundings import Tokens
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.tables import ConnectionTokenRow

LOCK_CLASS = 728_355
"""First half of the advisory lock's key; the second is a hash of the connection."""


def lock(db: Db, connection_id: UUID) -> None:
    """Wait until nobody else refreshes; held until the transaction ends."""
    db.execute(
        text("SELECT pg_advisory_xact_lock(:class, hashtext(:name))"),
        {"class": LOCK_CLASS, "name": str(connection_id)},
    )


def find(db: Db, secrets: SecretBox, connection_id: UUID, *, tenant_id: UUID) -> Tokens | None:
    """The tokens; None if the connection has none."""
    query = select(ConnectionTokenRow.sealed).where(
        ConnectionTokenRow.connection_id == connection_id, ConnectionTokenRow.tenant_id == tenant_id
    )
    sealed = db.scalar(query)
    return None if sealed is None else _tokens(secrets.open(sealed))


def kept_at(db: Db, connection_id: UUID, *, tenant_id: UUID) -> datetime | None:
    """When the tokens last came; None if the connection has none."""
    query = select(ConnectionTokenRow.updated_at).where(
        ConnectionTokenRow.connection_id == connection_id, ConnectionTokenRow.tenant_id == tenant_id
    )
    return db.scalar(query)


def put(
    db: Db, secrets: SecretBox, connection_id: UUID, tokens: Tokens, *, tenant_id: UUID
) -> None:
    """Keep these instead of what was there."""
    ends = tokens.expires_at
    sealed = secrets.seal(
        {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "expires_at": None if ends is None else ends.isoformat(),
            "origin": tokens.origin,
            "extra": dict(tokens.extra),
        }
    )
    values = {"sealed": sealed, "key_id": secrets.key_id, "updated_at": func.now()}
    db.execute(
        insert(ConnectionTokenRow)
        .values(connection_id=connection_id, tenant_id=tenant_id, **values)
        .on_conflict_do_update(index_elements=["connection_id"], set_=values)
    )


def rotate_for_all_tenants(db: Db, secrets: SecretBox) -> None:
    """Re-encrypt all tokens under the newest key.

    For all tenants, because a key belongs to the installation.
    """
    query = select(ConnectionTokenRow.connection_id, ConnectionTokenRow.sealed).with_for_update()
    for identity, sealed in db.execute(query).all():
        values = {"sealed": secrets.seal(secrets.open(sealed)), "key_id": secrets.key_id}
        db.execute(
            update(ConnectionTokenRow)
            .where(ConnectionTokenRow.connection_id == identity)
            .values(values)
        )


def _tokens(opened: Any) -> Tokens:
    ends = opened["expires_at"]
    return Tokens(
        access_token=opened["access_token"],
        refresh_token=opened["refresh_token"],
        expires_at=None if ends is None else datetime.fromisoformat(ends),
        origin=opened["origin"],
        extra=opened["extra"],
    )
