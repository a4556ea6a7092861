"""``/api/v2/tenants``: who there is, for whoever runs the installation."""

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sync_pipelines.catalog import audit
from sync_pipelines.catalog.syncs import put_tenant
from sync_pipelines.catalog.tenants import (
    Tenant,
    list_tenants_for_all_tenants,
    tenant_named_for_all_tenants,
)
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import InstanceAdmin
from sync_pipelines.gateway.problems import ProblemError

router = APIRouter(prefix="/api/v2/tenants", tags=["tenants"])


class TenantWanted(BaseModel):
    """A tenant to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", examples=["acme"])


class TenantTold(BaseModel):
    """A tenant and what it may use; None is no limit."""

    id: UUID
    name: str
    weight: int
    concurrent: int | None
    schedules: int | None
    executions_per_hour: int | None


class Tenants(BaseModel):
    """Every tenant, by name."""

    items: list[TenantTold]


@router.get("")
def list_(_: InstanceAdmin, doors: ItsDoors) -> Tenants:
    """All tenants."""
    with doors.catalog.begin() as db:
        return Tenants(items=[_told(one) for one in list_tenants_for_all_tenants(db)])


@router.post("", status_code=HTTPStatus.CREATED)
def create(wanted: TenantWanted, identity: InstanceAdmin, doors: ItsDoors) -> TenantTold:
    """Make a tenant; 409 if there is one of that name."""
    with doors.catalog.begin() as db:
        if tenant_named_for_all_tenants(db, wanted.name) is not None:
            raise ProblemError(HTTPStatus.CONFLICT, f"there is a tenant {wanted.name!r} already")
        tenant_id = put_tenant(db, wanted.name)
        audit.record(
            db,
            at=doors.clock(),
            actor=identity.actor,
            action="tenant.created",
            subject=wanted.name,
            tenant_id=tenant_id,
        )
        made = tenant_named_for_all_tenants(db, str(tenant_id))
    assert made is not None
    return _told(made)


def _told(tenant: Tenant) -> TenantTold:
    return TenantTold(
        id=tenant.id,
        name=tenant.name,
        weight=tenant.weight,
        concurrent=tenant.limits.concurrent,
        schedules=tenant.limits.schedules,
        executions_per_hour=tenant.limits.executions_per_hour,
    )
