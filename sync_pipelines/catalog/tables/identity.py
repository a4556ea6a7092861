"""Who may come in: users, their roles and sessions, tokens; and what was asked for once.

Law: of anything that lets somebody in, only a hash is here.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from sync_pipelines.catalog.tables.base import EMPTY_LIST, NEW_ID, NOW, Base, one_of
from sync_pipelines.model.roles import Role


class UserRow(Base):
    """A person. One without a password signs in elsewhere."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email"),
        CheckConstraint("email = lower(email)", name="email"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    email: Mapped[str]
    password_hash: Mapped[str | None]
    is_instance_admin: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class MembershipRow(Base):
    """What a user may do for a tenant."""

    __tablename__ = "memberships"
    __table_args__ = (
        CheckConstraint(one_of("role", Role), name="role"),
        Index(None, "tenant_id"),
    )

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class TokenRow(Base):
    """A program's way in. ``prefix`` is how people name it; without tenant, it administers all.

    ``scopes`` are the resources that it is limited to; an empty list limits nothing.
    """

    __tablename__ = "api_tokens"
    __table_args__ = (
        UniqueConstraint("prefix"),
        CheckConstraint(one_of("role", Role), name="role"),
        Index(None, "tenant_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    name: Mapped[str]
    prefix: Mapped[str]
    hash: Mapped[str]
    role: Mapped[str]
    scopes: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SessionRow(Base):
    """A browser that is signed in; ``csrf`` is what a page must say back to change anything."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id"), Index(None, "expires_at"))

    hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    csrf: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]


class SignInFailureRow(Base):
    """How often in a row signing in has failed, by user or by address; of unknown users too."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index(None, "last_failed_at"),)

    subject: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    locked_until: Mapped[datetime | None]
    last_failed_at: Mapped[datetime]


class FirstAdminLinkRow(Base):
    """The way in for an installation that has no user yet: good once, and not for long."""

    __tablename__ = "first_admin_links"

    hash: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class IdempotencyRow(Base):
    """What a tenant's request was answered, so that asking again under its key does nothing.

    ``status`` None: it is being answered, by ``owner`` until ``leased_until``.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    owner: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]
