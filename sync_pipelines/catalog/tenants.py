"""Tenants: who there is, what each may use, how much each weighs, and who is suspended."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, select, update

from sync_pipelines.catalog.syncs import missing
from sync_pipelines.catalog.tables import TenantRow
from sync_pipelines.model.limits import TenantLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A customer. Of two that both wait, one of twice the ``weight`` gets twice as much.

    One that is not ``is_active`` is suspended: see `engine.tenants`.
    """

    id: UUID
    name: str
    limits: TenantLimits
    weight: int = 1
    is_active: bool = True


def find_tenant(db: Db, name: str) -> Tenant:
    """The tenant of that name; `NotFoundError` names the nearest if there is none."""
    row = db.execute(select(TenantRow.__table__).where(TenantRow.name == name)).mappings()
    found = row.one_or_none()
    if found is None:
        raise missing("tenant", name, list(db.scalars(select(TenantRow.name))))
    return _tenant(found)


def tenant_named_for_all_tenants(db: Db, named: str, *, to_change: bool = False) -> Tenant | None:
    """The tenant of that id or name, or None; held by whoever is going ``to_change`` it.

    For all tenants, because whoever asks is not known to belong to it yet.
    """
    try:
        which = TenantRow.id == UUID(named)
    except ValueError:
        which = TenantRow.name == named
    query = select(TenantRow.__table__).where(which)
    if to_change:
        query = query.with_for_update(key_share=True)  # rows that point to it may come in
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _tenant(row)


def list_tenants_for_all_tenants(db: Db) -> list[Tenant]:
    """Every tenant by name, for whoever runs the installation."""
    query = select(TenantRow.__table__).order_by(TenantRow.name)
    return [_tenant(row) for row in db.execute(query).mappings()]


def put_limits(db: Db, tenant: Tenant, *, now: datetime) -> None:
    """Store a tenant's limits and weight."""
    values = {"limits": limits_to_json(tenant.limits), "weight": tenant.weight, "updated_at": now}
    db.execute(update(TenantRow).where(TenantRow.id == tenant.id).values(values))


def thresholds_of(db: Db, tenant_id: UUID) -> Mapping[str, Any]:
    """Where a tenant's alerts begin and end, as far as it has said so."""
    query = select(TenantRow.thresholds).where(TenantRow.id == tenant_id)
    return db.execute(query).scalar_one()


def put_thresholds(db: Db, tenant_id: UUID, thresholds: Mapping[str, Any]) -> None:
    """Store them as a whole."""
    statement = update(TenantRow).where(TenantRow.id == tenant_id)
    db.execute(statement.values(thresholds=dict(thresholds)))


def set_active(db: Db, tenant: Tenant, *, is_active: bool, now: datetime) -> bool:
    """Suspend or resume a tenant; False if somebody had done that before."""
    statement = update(TenantRow).where(
        TenantRow.id == tenant.id, TenantRow.is_active.is_not(is_active)
    )
    values = {"is_active": is_active, "updated_at": now}
    return db.execute(statement.values(values)).rowcount == 1


def limits_to_json(limits: TenantLimits) -> dict[str, Any]:
    """Only what is limited."""
    named = {field.name: getattr(limits, field.name) for field in fields(limits)}
    return {name: value for name, value in named.items() if value is not None}


def limits_from_json(value: Mapping[str, Any]) -> TenantLimits:
    """The inverse of `limits_to_json`."""
    return TenantLimits(**value)


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(
        id=row["id"],
        name=row["name"],
        limits=limits_from_json(row["limits"]),
        weight=row["weight"],
        is_active=row["is_active"],
    )
