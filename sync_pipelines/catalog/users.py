"""Users: who there is, what each may do for which tenant, and how the first one comes in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, delete, exists, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from connectors.errors import ConfigError
from sync_pipelines.catalog.credentials import hash_of, new_secret
from sync_pipelines.catalog.syncs import NotFoundError, missing
from sync_pipelines.catalog.tables import FirstAdminLinkRow, MembershipRow, TenantRow, UserRow
from sync_pipelines.model.roles import Role

EMAIL = re.compile(r"[^\s@<>\"',;:\\]{1,64}@[^\s@<>\"',;:\\]{1,185}", re.ASCII)
"""A look at the shape only: whether it is somebody's, the sign-in shows."""

FIRST_ADMIN_LOCK = 7_283_551_909
"""Key of the advisory lock under which the first user is made: there is one first."""

LINK_LASTS = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a user may do for a tenant; nothing while that ``is_suspended``."""

    tenant_id: UUID
    tenant: str
    role: Role
    is_suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. An instance admin may do everything for every tenant."""

    id: UUID
    email: str
    is_instance_admin: bool
    has_password: bool
    created_at: datetime
    memberships: tuple[Membership, ...]


def read_email(written: str) -> str:
    """An address as it is kept; `ConfigError` if it is none."""
    email = written.strip().lower()
    if not EMAIL.fullmatch(email):
        raise ConfigError(f"{written!r} is not an email address such as ana@example.com")
    return email


def make_user(
    db: Db,
    email: str,
    *,
    password_hash: str | None,
    is_instance_admin: bool = False,
    now: datetime,
) -> User:
    """A new user. `ConfigError` if the address is wrong or taken."""
    email = read_email(email)
    values = {
        "email": email,
        "password_hash": password_hash,
        "is_instance_admin": is_instance_admin,
        "created_at": now,
        "updated_at": now,
    }
    statement = upsert(UserRow).values(values).on_conflict_do_nothing().returning(UserRow.id)
    if db.execute(statement).scalar_one_or_none() is None:
        raise ConfigError(f"there is a user {email!r} already")
    return find_user(db, email)


def find_user(db: Db, email: str) -> User:
    """The user of that address; `NotFoundError` names the nearest if there is none."""
    email = read_email(email)
    found = _read(db, UserRow.email == email)
    if not found:
        raise missing("user", email, list(db.scalars(select(UserRow.email))))
    return found[0]


def get_user(db: Db, user_id: UUID) -> User | None:
    """The user of that id, or None."""
    return next(iter(_read(db, UserRow.id == user_id)), None)


def list_users_for_all_tenants(db: Db) -> list[User]:
    """Every user by address, for whoever runs the installation."""
    return _read(db)


def remove_user(db: Db, user: User) -> None:
    """Remove a user and everything by which they come in. What they did stays in the audit.

    `ConfigError` for the last instance admin, without whom nobody makes another here.
    """
    others = exists().where(UserRow.is_instance_admin, UserRow.id != user.id)
    if user.is_instance_admin and not db.scalar(select(others)):
        raise ConfigError(f"{user.email!r} is the last instance admin; make another one first")
    db.execute(delete(UserRow).where(UserRow.id == user.id))


def password_hash_for_all_tenants(db: Db, email: str) -> str | None:
    """What is kept of a user's password; None for nobody, and for who has none.

    For all tenants: a user belongs to none.
    """
    return db.scalar(select(UserRow.password_hash).where(UserRow.email == email))


def set_password(db: Db, user: User, password_hash: str, *, now: datetime) -> None:
    """Give a user another password."""
    values = {"password_hash": password_hash, "updated_at": now}
    db.execute(update(UserRow).where(UserRow.id == user.id).values(values))


def put_membership(db: Db, user: User, *, tenant_id: UUID, role: Role) -> None:
    """Let a user do for a tenant what a role allows, instead of what they could before."""
    statement = upsert(MembershipRow).values(user_id=user.id, tenant_id=tenant_id, role=role)
    keys = ["user_id", "tenant_id"]
    db.execute(statement.on_conflict_do_update(index_elements=keys, set_={"role": role}))


def remove_membership(db: Db, user: User, *, tenant_id: UUID) -> None:
    """Let a user do nothing more for a tenant; `NotFoundError` if they could not anyway."""
    statement = delete(MembershipRow).where(
        MembershipRow.user_id == user.id, MembershipRow.tenant_id == tenant_id
    )
    if db.execute(statement).rowcount == 0:
        raise NotFoundError(f"{user.email!r} is no member of this tenant")


def admins(db: Db, *, tenant_id: UUID) -> list[UUID]:
    """The users who may change everything of a tenant, as its members."""
    query = select(MembershipRow.user_id).where(
        MembershipRow.tenant_id == tenant_id, MembershipRow.role == Role.ADMIN
    )
    return list(db.scalars(query.order_by(MembershipRow.user_id)))


# --- the first one -----------------------------------------------------------------


def offer_first_admin(db: Db, *, now: datetime) -> str | None:
    """A secret by which the first user can be made, once; None where there is a user."""
    if db.scalar(select(exists().where(UserRow.id.is_not(None)))):
        return None
    secret = new_secret()
    values = {"hash": hash_of(secret), "expires_at": now + LINK_LASTS}
    db.execute(delete(FirstAdminLinkRow).where(FirstAdminLinkRow.expires_at <= now))
    db.execute(insert(FirstAdminLinkRow).values(values))
    return secret


def is_first_admin_link(db: Db, secret: str, *, now: datetime) -> bool:
    """Whether a secret of `offer_first_admin` is good yet."""
    good = select(exists().where(*_is_good(secret, now)))
    return bool(db.scalar(good)) and not db.scalar(select(exists().where(UserRow.id.is_not(None))))


def make_first_admin(
    db: Db, secret: str, *, email: str, password_hash: str, now: datetime
) -> User | None:
    """The first user, an instance admin; None if the link is not good, or somebody was first."""
    db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": FIRST_ADMIN_LOCK})
    if not is_first_admin_link(db, secret, now=now):
        return None
    db.execute(update(FirstAdminLinkRow).where(*_is_good(secret, now)).values(used_at=now))
    return make_user(db, email, password_hash=password_hash, is_instance_admin=True, now=now)


def _is_good(secret: str, now: datetime) -> tuple[Any, ...]:
    return (
        FirstAdminLinkRow.hash == hash_of(secret),
        FirstAdminLinkRow.used_at.is_(None),
        FirstAdminLinkRow.expires_at > now,
    )


def _read(db: Db, *which: Any) -> list[User]:
    query = (
        select(
            UserRow.__table__,
            MembershipRow.tenant_id,
            MembershipRow.role,
            TenantRow.name.label("tenant"),
            TenantRow.is_active,
        )
        .outerjoin(MembershipRow, MembershipRow.user_id == UserRow.id)
        .outerjoin(TenantRow, TenantRow.id == MembershipRow.tenant_id)
        .where(*which)
        .order_by(UserRow.email, TenantRow.name)
    )
    rows = db.execute(query).mappings()
    return [_user(list(found)) for _, found in groupby(rows, key=lambda row: row["id"])]


def _user(rows: Sequence[RowMapping]) -> User:
    """Out of a row for each membership, or one without."""
    first = rows[0]
    return User(
        id=first["id"],
        email=first["email"],
        is_instance_admin=first["is_instance_admin"],
        has_password=first["password_hash"] is not None,
        created_at=first["created_at"],
        memberships=tuple(
            Membership(
                tenant_id=row["tenant_id"],
                tenant=row["tenant"],
                role=Role(row["role"]),
                is_suspended=not row["is_active"],
            )
            for row in rows
            if row["tenant_id"] is not None
        ),
    )
