"""API tokens: how programs come in. Shown once; only a hash is kept.

A token reads ``sync_PREFIX_SECRET``: by its prefix it is found and named.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, insert, select, update

from connectors.errors import ConfigError
from sync_pipelines.catalog.credentials import hash_of, is_same, new_prefix, new_secret
from sync_pipelines.catalog.tables import TenantRow, TokenRow
from sync_pipelines.model.roles import Role

SHAPE = re.compile(r"sync_(?P<prefix>[0-9a-f]{10})_[A-Za-z0-9_-]{43}")

USED_AGAIN_AFTER = timedelta(minutes=1)
"""Uses closer together than this are one: a write for each request would cost more."""

LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, without what lets it in. With no tenant it administers the installation.

    ``is_suspended``: its tenant is, and it lets nobody in until that is resumed.
    """

    id: UUID
    tenant_id: UUID | None
    tenant: str | None
    name: str
    prefix: str
    role: Role
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    is_suspended: bool

    def is_good(self, now: datetime) -> bool:
        """Whether it lets anybody in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def audited(self) -> Mapping[str, Any]:
        """What the audit keeps of it."""
        return {
            "name": self.name,
            "role": self.role.value,
            "scopes": list(self.scopes),
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token, and the only time that its ``secret`` is seen."""

    token: Token
    secret: str


def issue_token(
    db: Db,
    *,
    tenant_id: UUID | None,
    name: str,
    role: Role,
    scopes: Sequence[str] = (),
    expires_at: datetime | None,
    created_by: str,
    now: datetime,
) -> Issued:
    """Make a token. `ConfigError` when its name or its end is wrong."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"a token's name is a line of 1 to {LONGEST_NAME} characters")
    if expires_at is not None and expires_at <= now:
        raise ConfigError(f"the token would have expired at {expires_at.isoformat()} already")
    prefix = new_prefix()
    secret = f"sync_{prefix}_{new_secret()}"
    values = {
        "tenant_id": tenant_id,
        "name": name.strip(),
        "prefix": prefix,
        "hash": hash_of(secret),
        "role": role,
        "scopes": list(scopes),
        "created_by": created_by,
        "created_at": now,
        "expires_at": expires_at,
    }
    identity = db.execute(insert(TokenRow).values(values).returning(TokenRow.id)).scalar_one()
    row = db.execute(_selected().where(TokenRow.id == identity)).mappings().one()
    return Issued(token=_token(row), secret=secret)


def find_token_for_all_tenants(db: Db, secret: str) -> Token | None:
    """The token of this secret, good or not; None if there is none.

    For all tenants, because whose it is is known only by it.
    """
    shaped = SHAPE.fullmatch(secret)
    if shaped is None:
        return None
    query = _selected(TokenRow.hash).where(TokenRow.prefix == shaped["prefix"])
    row = db.execute(query).mappings().one_or_none()
    if not is_same(hash_of(secret), row["hash"] if row else hash_of("")) or row is None:
        return None
    return _token(row)


def note_use(db: Db, token: Token, now: datetime) -> None:
    """Remember that a token was used, to the minute."""
    if token.last_used_at is None or now - token.last_used_at >= USED_AGAIN_AFTER:
        db.execute(update(TokenRow).where(TokenRow.id == token.id).values(last_used_at=now))


def list_tokens(db: Db, *, tenant_id: UUID) -> list[Token]:
    """A tenant's tokens, newest first, with those that let nobody in any more."""
    return _listed(db, _selected().where(TokenRow.tenant_id == tenant_id))


def list_tokens_for_all_tenants(db: Db) -> list[Token]:
    """Everybody's tokens and the installation's, for whoever runs it."""
    return _listed(db, _selected())


def find_token(db: Db, token_id: UUID, *, tenant_id: UUID) -> Token | None:
    """A tenant's token of that id, good or not."""
    return _one(db, TokenRow.id == token_id, TokenRow.tenant_id == tenant_id)


def find_named_token_for_all_tenants(db: Db, prefix: str) -> Token | None:
    """The token of that prefix, whosever it is; for whoever runs the installation."""
    return _one(db, TokenRow.prefix == prefix)


def revoke_token(db: Db, token: Token, *, now: datetime) -> bool:
    """Let a token in no more; False if somebody had done that before."""
    statement = update(TokenRow).where(TokenRow.id == token.id, TokenRow.revoked_at.is_(None))
    return db.execute(statement.values(revoked_at=now)).rowcount == 1


def _one(db: Db, *which: Any) -> Token | None:
    row = db.execute(_selected().where(*which)).mappings().one_or_none()
    return None if row is None else _token(row)


def _selected(*more: Any) -> Select[Any]:
    of_tenants: Mapping[str, Any] = {
        "tenant": TenantRow.name,
        "is_suspended": TenantRow.is_active.is_(False),  # false also where there is no tenant
    }
    names = (name for name in Token.__dataclass_fields__ if name not in of_tenants)
    columns = [getattr(TokenRow, name) for name in names]
    columns += [column.label(name) for name, column in of_tenants.items()]
    return (
        select(*columns, *more)
        .select_from(TokenRow)
        .outerjoin(TenantRow, TenantRow.id == TokenRow.tenant_id)
    )


def _listed(db: Db, query: Select[Any]) -> list[Token]:
    rows = db.execute(query.order_by(TokenRow.created_at.desc(), TokenRow.id)).mappings()
    return [_token(row) for row in rows]


def _token(row: RowMapping) -> Token:
    values = {name: row[name] for name in Token.__dataclass_fields__}
    return Token(**{**values, "role": Role(row["role"]), "scopes": tuple(row["scopes"])})
