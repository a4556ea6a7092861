"""What connections share while they run: budgets of calls, and tokens; how they get these."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Double, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from sync_pipelines.catalog.tables.base import NOW, Base


class BudgetRow(Base):
    """One limit of one connection, shared by all its runs.

    ``tokens`` were there at ``refilled_at``; ``remaining`` calls are left until
    ``resets_at``, as the provider said. ``granted`` is what the last who asked was given.
    ``calls``, ``throttles`` and ``waited_ms`` only ever grow.
    """

    __tablename__ = "connection_budgets"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id"),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    tokens: Mapped[float] = mapped_column(Double)
    refilled_at: Mapped[datetime] = mapped_column(server_default=NOW)
    granted: Mapped[int] = mapped_column(server_default=text("0"))
    remaining: Mapped[int | None]
    resets_at: Mapped[datetime | None]
    calls: Mapped[int] = mapped_column(server_default=text("0"))
    throttles: Mapped[int] = mapped_column(server_default=text("0"))
    waited_ms: Mapped[int] = mapped_column(server_default=text("0"))


class ConnectionTokenRow(Base):
    """The OAuth tokens of one connection, encrypted as its secrets are."""

    __tablename__ = "connection_tokens"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id"),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    sealed: Mapped[str]
    key_id: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AuthorizationRow(Base):
    """A consent that is waited for: who began it, for which connection, until when.

    ``state_hash`` is of the word that comes back with the code; ``sealed`` holds what else
    is needed then.
    """

    __tablename__ = "connection_authorizations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "connection_id"),
    )

    state_hash: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    connection_id: Mapped[UUID]
    actor: Mapped[str]
    sealed: Mapped[str]
    expires_at: Mapped[datetime]
