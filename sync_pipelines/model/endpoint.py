"""An endpoint: the URL at which one provider's webhooks come in, and how they are proven."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What proves a request; good ``until`` then, None for as long as it is there."""

    value: str = field(repr=False)
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What has come in: ``streak`` requests were refused since the last genuine one."""

    received: int = 0
    refused: int = 0
    streak: int = 0
    last_received_at: datetime | None = None
    last_refused_at: datetime | None = None
    last_refusal: str | None = None

    @property
    def failure_rate(self) -> float:
        """The share of all requests that were refused."""
        total = self.received + self.refused
        return self.refused / total if total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a tenant's provider sends to.

    ``connection`` names the tenant's connection that it belongs to, None for none. ``key``
    is the unguessable part of its URL. ``is_on`` is False while it, or all of the tenant's
    webhooks, are switched off. After ``silence_after`` without a request it is an incident.
    """

    id: UUID
    tenant_id: UUID
    tenant: str
    name: str
    connection: str | None = None
    key: str = field(repr=False)
    scheme: str
    config: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    is_on: bool = True
    silence_after: timedelta | None = None
    health: Health = field(default_factory=Health)
    created_at: datetime

    @property
    def platform(self) -> str:
        """What its events are called by: the connection, or where there is none, itself."""
        return self.connection or self.name

    @property
    def label(self) -> str:
        """``tenant/name``, as people write it."""
        return f"{self.tenant}/{self.name}"

    def secrets_at(self, at: datetime) -> list[str]:
        """Those that are good at an instant, newest first."""
        return [one.value for one in self.secrets if one.until is None or at < one.until]
