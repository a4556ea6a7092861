"""What alerts are measured by: each sync's last executions, each tenant's queue and limits.

Everything here is for all tenants, because one look measures them all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import select, text

from sync_pipelines.catalog.tables import TenantRow

LOOKED_AT = 20
"""So many of a sync's last executions are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A sync's last executions that ended, newest first, each as the catalog has it."""

    tenant_id: UUID
    sync_id: UUID
    key: str
    ended: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a tenant has waiting, and how much of its limits is used."""

    tenant_id: UUID
    tenant: str
    waiting: int
    limits: Mapping[str, int]
    used: Mapping[str, int]


_EXECUTED = text("""
    SELECT s.tenant_id, s.id AS sync_id, t.name || '/' || s.name AS key, e.*
    FROM sync.syncs s JOIN sync.tenants t ON t.id = s.tenant_id
    CROSS JOIN LATERAL (
        SELECT status, completed_at, duration_ms, records_processed FROM sync.sync_executions x
        WHERE x.sync_id = s.id AND x.status IN ('completed', 'failed', 'partial')
        ORDER BY x.created_at DESC LIMIT :most
    ) e
    WHERE s.is_active AND t.is_active ORDER BY s.id, e.completed_at DESC
""")

_LOADS = text("""
    SELECT t.id, t.name, t.limits,
        (SELECT count(*) FROM sync.sync_executions e
         WHERE e.tenant_id = t.id AND e.status IN ('pending', 'queued')) AS waiting,
        (SELECT count(*) FROM sync.sync_executions e
         WHERE e.tenant_id = t.id AND e.created_at > :hour_ago) AS executions_per_hour,
        (SELECT count(*) FROM sync.sync_schedules h WHERE h.tenant_id = t.id) AS schedules
    FROM sync.tenants t WHERE t.is_active
""")


def executed_for_all_tenants(db: Db) -> Iterator[Executed]:
    """Every active sync that has executions."""
    rows: list[Mapping[str, Any]] = []
    for row in db.execute(_EXECUTED, {"most": LOOKED_AT}).mappings():
        if rows and rows[0]["sync_id"] != row["sync_id"]:
            yield _executed(rows)
            rows = []
        rows.append(dict(row))
    if rows:
        yield _executed(rows)


def loads_for_all_tenants(db: Db, *, hour_ago: datetime) -> list[Load]:
    """Every tenant that is not suspended; limits that are not set are not there."""
    return [
        Load(
            tenant_id=row["id"],
            tenant=row["name"],
            waiting=row["waiting"],
            limits=row["limits"],
            used={name: row[name] for name in ("executions_per_hour", "schedules")},
        )
        for row in db.execute(_LOADS, {"hour_ago": hour_ago}).mappings()
    ]


def thresholds_for_all_tenants(db: Db) -> Mapping[UUID, Mapping[str, Any]]:
    """Where alerts begin and end, of the tenants that have said so."""
    query = select(TenantRow.id, TenantRow.thresholds).where(TenantRow.thresholds != {})
    return {row.id: row.thresholds for row in db.execute(query)}


def _executed(rows: list[Mapping[str, Any]]) -> Executed:
    first = rows[0]
    return Executed(
        tenant_id=first["tenant_id"],
        sync_id=first["sync_id"],
        key=first["key"],
        ended=tuple(rows),
    )
