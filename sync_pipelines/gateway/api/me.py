"""``/api/v2/me``: who asks, and what they may do."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from sync_pipelines.gateway.identity import SignedInOrToken
from sync_pipelines.model.roles import Role

router = APIRouter(prefix="/api/v2/me", tags=["identity"])


class TenantTold(BaseModel):
    """A tenant, and what one may do for it."""

    id: UUID
    name: str
    role: Role


class Me(BaseModel):
    """Whoever asks. ``actor`` is what the audit calls them."""

    kind: Literal["token", "user"]
    actor: str
    name: str
    is_instance_admin: bool
    scopes: list[str]
    tenants: list[TenantTold]


@router.get("")
def me(identity: SignedInOrToken) -> Me:
    """Who asks, and for which tenants they may do what."""
    held = ((key, name, identity.role_for(key)) for key, name in identity.tenants.items())
    return Me(
        kind="token" if identity.token else "user",
        actor=identity.actor,
        name=identity.token.name if identity.token else identity.actor.removeprefix("user:"),
        is_instance_admin=identity.is_instance_admin,
        scopes=list(identity.scopes),
        tenants=[
            TenantTold(id=key, name=name, role=role) for key, name, role in held if role is not None
        ],
    )
