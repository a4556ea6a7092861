"""What the catalog holds of a tenant now, as the plan compares it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import func, select

from connectors.contract import Json
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.notifications import RuleListed, all_rules
from sync_pipelines.catalog.overview import descriptions
from sync_pipelines.catalog.schedules import list_schedules
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.syncs import list_connections, list_syncs
from sync_pipelines.catalog.tables import ScheduleRow, TenantRow
from sync_pipelines.catalog.tenants import thresholds_of
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Connection, Sync


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentSync:
    """A sync with its schedules."""

    sync: Sync
    description: str | None
    schedules: tuple[Schedule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """A tenant; with no id it does not exist yet, and has nothing."""

    tenant_id: UUID | None = None
    connections: tuple[Connection, ...] = ()
    syncs: tuple[CurrentSync, ...] = field(default=())
    rules: tuple[RuleListed, ...] = ()
    thresholds: Mapping[str, Json] = field(default_factory=dict)

    def connection(self, name: str) -> Connection | None:
        """One by its name."""
        return next((one for one in self.connections if one.name == name), None)

    def rule(self, name: str) -> RuleListed | None:
        """One by its name."""
        return next((one for one in self.rules if one.rule.name == name), None)

    def sync(self, name: str) -> CurrentSync | None:
        """One by its name."""
        return next((one for one in self.syncs if one.sync.name == name), None)


def read_current(db: Db, secrets: SecretBox, tenant: str, *, lock: bool = False) -> Current:
    """Read a tenant; a connection whose key is lost has no secrets, so that a file restores them.

    With ``lock``, nobody else applies a file to it until the transaction ends, and no
    dispatcher moves its schedules on.
    """
    secrets = secrets.forgiving()
    if lock:
        key = func.hashtextextended(f"apply {tenant}", 0)
        db.execute(select(func.pg_advisory_xact_lock(key)))
    tenant_id = db.scalar(select(TenantRow.id).where(TenantRow.name == tenant))
    if tenant_id is None:
        return Current()
    if lock:
        schedules = select(ScheduleRow.id).where(ScheduleRow.tenant_id == tenant_id)
        lock_armed_for_all_tenants(db, db.scalars(schedules))
    written = descriptions(db, tenant_id=tenant_id)
    return Current(
        tenant_id=tenant_id,
        connections=tuple(list_connections(db, secrets, tenant)),
        syncs=tuple(
            CurrentSync(
                sync=sync,
                description=written[sync.name],
                schedules=tuple(list_schedules(db, sync.id, tenant_id=tenant_id)),
            )
            for sync in list_syncs(db, secrets, tenant)
        ),
        rules=tuple(all_rules(db, secrets, tenant_id=tenant_id)),
        thresholds=thresholds_of(db, tenant_id),
    )
