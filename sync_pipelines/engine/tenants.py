"""Changing a tenant: what it may use, and whether anything of it goes on at all.

A suspended tenant is one whose contract is in doubt, or whose credentials are in wrong
hands: nothing of it is lost, and nothing of it goes on.

Laws:

* Nothing of it starts: its schedules record what they skip, events and people start
  nothing. What has started, or been handed to Dagster, ends by itself: half a load helps
  nobody. What waits, retries too, goes on where it was when the tenant is resumed.
* What was due up to the change is decided on as things stood before it.
"""

from datetime import datetime

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import audit, schedules
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.tenants import Tenant, limits_to_json, put_limits, set_active
from sync_pipelines.engine.conflicts import review
from sync_pipelines.engine.deciding import decide_before_change
from sync_pipelines.engine.steering import rearm


def change_use(
    db: Db, secrets: SecretBox, held: Tenant, wanted: Tenant, *, actor: str, now: datetime
) -> None:
    """Let a tenant use what is wanted from now on; what clashes with that is found at once."""
    before, after = _use(held), _use(wanted)
    if before == after:
        return
    put_limits(db, wanted, now=now)
    audit.record(
        db,
        at=now,
        actor=actor,
        action="tenant.changed",
        subject=held.name,
        tenant_id=held.id,
        before=before,
        after=after,
    )
    review(db, secrets, wanted, now=now)


def suspend(db: Db, tenant: Tenant, *, reason: str | None, actor: str, now: datetime) -> bool:
    """Let nothing of a tenant go on; False if it was suspended already.

    Its tokens and people are refused, as are its webhooks: the gateway sees to that.
    """
    return _turn(db, tenant, is_active=False, reason=reason, actor=actor, now=now)


def resume(db: Db, tenant: Tenant, *, actor: str, now: datetime) -> bool:
    """Let a tenant go on, its schedules from their next instants; False if it did anyway."""
    return _turn(db, tenant, is_active=True, reason=None, actor=actor, now=now)


def _turn(
    db: Db, tenant: Tenant, *, is_active: bool, reason: str | None, actor: str, now: datetime
) -> bool:
    if tenant.is_active is is_active:
        return False
    ids = schedules.ids_of_tenant(db, tenant_id=tenant.id)
    decide_before_change(db, ids, now)
    if not set_active(db, tenant, is_active=is_active, now=now):
        return False
    rearm(db, ids, now)
    audit.record(
        db,
        at=now,
        actor=actor,
        action="tenant.resumed" if is_active else "tenant.suspended",
        subject=tenant.name,
        tenant_id=tenant.id,
        before={"is_active": not is_active},
        after={"is_active": is_active, **({"pause_reason": reason} if reason else {})},
    )
    return True


def _use(tenant: Tenant) -> dict[str, object]:
    """What the audit keeps of it."""
    return {"limits": limits_to_json(tenant.limits), "weight": tenant.weight}
