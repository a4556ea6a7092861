"""Somebody asks why a schedule ran, and why not."""

from datetime import timedelta

from sync_pipelines.catalog import audit, executions
from sync_pipelines.catalog.scheduled import find_scheduled
from sync_pipelines.engine import steering
from sync_pipelines.engine.dispatch import claim_due
from sync_pipelines.engine.explain import explain
from sync_pipelines.model.execution import Status
from sync_pipelines.model.policy import Pause

QUARTER = timedelta(minutes=15)
EDMONTON = "America/Edmonton"


def asked(world, at, *, key="acme/orders/main"):
    with world.catalog.begin() as db:
        return explain(db, find_scheduled(db, key), at=at, now=world.clock())


def turn(world):
    """One turn of the dispatcher; what it launches starts at once."""
    launched = claim_due(world.catalog, "database", world.clock(), tick=str(world.clock()))
    with world.catalog.begin() as db:
        for launch in launched:
            found = executions.lock_for_all_tenants(db, launch.execution_id)
            executions.save(db, found, found.started(world.clock(), None))
    return [launch.execution_id for launch in launched]


def end(world, execution_id, status=Status.COMPLETED, error=None):
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        executions.save(db, found, found.ended(status, world.clock()), error_message=error)


def pause(world, reason, *, by="cli:ana", **fields):
    with world.catalog.begin() as db:
        one = find_scheduled(db, "acme/orders/main")
        steering.pause_schedule(db, one.schedule, Pause(reason=reason, **fields), now=world.clock())
        audit.record(
            db,
            at=world.clock(),
            actor=by,
            action="schedule.paused",
            subject=one.key,
            tenant_id=one.schedule.tenant_id,
            before={"is_active": True, "policies": {}},
            after={"is_active": True, "policies": {"pause": {"reason": reason}}},
        )
