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
    roles = ((one, identity.role_for(one.id)) for one in identity.tenants)
    return Me(
        kind="token" if identity.token else "user",
        actor=identity.actor,
        name=identity.token.name if identity.token else identity.actor.removeprefix("user:"),
        is_instance_admin=identity.is_instance_admin,
        scopes=list(identity.scopes),
        tenants=[
            TenantTold(id=one.id, name=one.name, role=role)
            for one, role in roles
            if role is not None
        ],
    )
