"""``/api/v2/conflicts``: what a tenant's schedules do to each other."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sync_pipelines.catalog import conflicts
from sync_pipelines.gateway.identity import Viewer
from sync_pipelines.timing.clashes import Kind, Severity

router = APIRouter(prefix="/api/v2/conflicts", tags=["conflicts"])


class ConflictTold(BaseModel):
    """A clash among schedules, and what would end it."""

    fingerprint: str
    kind: Kind
    severity: Severity
    schedules: list[str] = Field(description="As TENANT/SYNC/SCHEDULE.")
    message: str
    remedy: str
    found_at: datetime
    last_found_at: datetime
    resolved_at: datetime | None


class Conflicts(BaseModel):
    """The open ones, certain ones first; then resolved ones, if asked for."""

    items: list[ConflictTold]


@router.get("")
def list_(caller: Viewer, with_resolved: bool = False) -> Conflicts:
    """The tenant's conflicts, as they were found last."""
    with caller.catalog.begin() as db:
        found = conflicts.of_tenant(db, tenant_id=caller.tenant.id, with_resolved=with_resolved)
    return Conflicts(
        items=[
            ConflictTold(
                fingerprint=one.conflict.fingerprint,
                kind=one.conflict.kind,
                severity=one.conflict.severity,
                schedules=list(one.conflict.schedules),
                message=one.conflict.message,
                remedy=one.conflict.remedy,
                found_at=one.found_at,
                last_found_at=one.last_found_at,
                resolved_at=one.resolved_at,
            )
            for one in found
        ]
    )
