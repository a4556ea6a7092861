"""``/api/v2/audit``: who changed what, from what to what, newest first."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from sync_pipelines.catalog import audit
from sync_pipelines.gateway.identity import Admin

router = APIRouter(prefix="/api/v2/audit", tags=["audit"])


class EntryTold(BaseModel):
    """One thing that was done."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Entries(BaseModel):
    """A page; ``next`` as ``before`` brings the next one, None: that was all."""

    items: list[EntryTold]
    next: int | None


@router.get("")
def list_(
    caller: Admin,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Entries:
    """What was done of the tenant's."""
    with caller.catalog.begin() as db:
        found = audit.entries(db, tenant_id=caller.tenant.id, limit=limit + 1, before=before)
    shown = [EntryTold.model_validate(one, from_attributes=True) for one in found[:limit]]
    return Entries(items=shown, next=shown[-1].id if len(found) > limit else None)
