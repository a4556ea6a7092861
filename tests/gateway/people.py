"""Users and tokens for tests, made as the command line makes them."""

from datetime import datetime

from sync_pipelines.catalog.credentials import hash_password
from sync_pipelines.catalog.syncs import put_tenant
from sync_pipelines.catalog.tokens import issue_token
from sync_pipelines.catalog.users import make_user, put_membership
from sync_pipelines.model.roles import Role
from tests.world import World

PASSWORD = "four plain words here"


def token(
    world: World,
    tenant: str | None = "acme",
    role: Role = Role.ADMIN,
    *,
    scopes: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> dict[str, str]:
    """The header of a new token; with no tenant it administers the installation."""
    with world.catalog.begin() as db:
        issued = issue_token(
            db,
            tenant_id=None if tenant is None else put_tenant(db, tenant),
            name="test",
            role=role,
            scopes=scopes,
            expires_at=expires_at,
            created_by="cli:tester",
            now=world.clock(),
        )
    return {"Authorization": f"Bearer {issued.secret}"}


def user(world: World, email: str = "ana@example.com", **roles: Role) -> str:
    """A user with a role for each tenant named, and `PASSWORD`; their address."""
    with world.catalog.begin() as db:
        made = make_user(db, email, password_hash=hash_password(PASSWORD), now=world.clock())
        for tenant, role in roles.items():
            put_membership(db, made, tenant_id=put_tenant(db, tenant), role=role)
    return email
