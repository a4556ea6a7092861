"""``/api/v2/tenants``: who there is, what each may use, who is suspended; for instance admins."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import audit
from sync_pipelines.catalog.syncs import put_tenant
from sync_pipelines.catalog.tenants import (
    Tenant,
    list_tenants_for_all_tenants,
    tenant_named_for_all_tenants,
)
from sync_pipelines.engine.tenants import change_use, resume, suspend
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Identity, InstanceAdmin
from sync_pipelines.gateway.problems import FieldError, ProblemError, not_found

router = APIRouter(prefix="/api/v2/tenants", tags=["tenants"])

Limit = Annotated[int | None, Field(ge=1, le=10**9)]
Named = Annotated[str, Path(max_length=100, description="A tenant's id or name.")]


class TenantWanted(BaseModel):
    """A tenant to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", examples=["acme"])


class TenantChange(BaseModel):
    """What is to become other; what is left out stays. A limit of null is none.

    ``is_active`` false suspends the tenant, for a ``reason`` that the audit keeps.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"is_active": False, "reason": "unpaid since May"}]},
    )

    is_active: bool = True
    reason: str | None = Field(default=None, min_length=1, max_length=500)
    weight: int = Field(default=1, ge=1, le=10**6)
    concurrent: Limit = None
    schedules: Limit = None
    executions_per_hour: Limit = None


class TenantTold(BaseModel):
    """A tenant and what it may use; None is no limit. One that is not active is suspended."""

    id: UUID
    name: str
    is_active: bool
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
        return _told(_found(db, str(tenant_id)))


@router.get("/{tenant}")
def get(tenant: Named, _: InstanceAdmin, doors: ItsDoors) -> TenantTold:
    """One tenant."""
    with doors.catalog.begin() as db:
        return _told(_found(db, tenant))


@router.patch("/{tenant}")
def change(
    tenant: Named, wanted: TenantChange, identity: InstanceAdmin, doors: ItsDoors
) -> TenantTold:
    """Change what a tenant may use; suspend it, or let it go on.

    Of a suspended tenant nothing starts, its tokens, people and webhooks are refused, and
    what runs ends by itself.
    """
    if wanted.reason is not None and (wanted.is_active or "is_active" not in _named(wanted)):
        message = "a reason goes with is_active false"
        errors = [FieldError(field="body.reason", message=message)]
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=errors)
    with doors.catalog.begin() as db:
        held = _found(db, tenant, to_change=True)
        _change_use(db, doors, held, wanted, identity)
        _turn(db, doors, held, wanted, identity)
        return _told(_found(db, str(held.id)))


def _change_use(
    db: Db, doors: Doors, held: Tenant, wanted: TenantChange, identity: Identity
) -> None:
    names = {"concurrent", "schedules", "executions_per_hour"} & _named(wanted)
    becoming = replace(
        held,
        limits=replace(held.limits, **{name: getattr(wanted, name) for name in names}),
        weight=wanted.weight if "weight" in _named(wanted) else held.weight,
    )
    change_use(db, doors.catalog.secrets, held, becoming, actor=identity.actor, now=doors.clock())


def _turn(db: Db, doors: Doors, held: Tenant, wanted: TenantChange, identity: Identity) -> None:
    if "is_active" not in _named(wanted):
        return
    now = doors.clock()
    if wanted.is_active:
        resume(db, held, actor=identity.actor, now=now)
    else:
        suspend(db, held, reason=wanted.reason, actor=identity.actor, now=now)


def _named(wanted: TenantChange) -> set[str]:
    return wanted.model_fields_set


def _found(db: Db, named: str, *, to_change: bool = False) -> Tenant:
    found = tenant_named_for_all_tenants(db, named, to_change=to_change)
    if found is None:
        raise not_found("tenant", named)
    return found


def _told(tenant: Tenant) -> TenantTold:
    return TenantTold(
        id=tenant.id,
        name=tenant.name,
        is_active=tenant.is_active,
        weight=tenant.weight,
        concurrent=tenant.limits.concurrent,
        schedules=tenant.limits.schedules,
        executions_per_hour=tenant.limits.executions_per_hour,
    )
