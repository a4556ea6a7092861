"""Carries a plan out: one transaction, one audit row a change.

Law: the plan is made in the transaction that carries it out, under the tenant's
lock, so it is still true when it is done. A change that fails, or that brings about
a certain conflict, undoes all of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Connection as Db

from connectors import registry
from sync_pipelines.apply.changes import (
    Change,
    Kind,
    Plan,
    PutAlerts,
    PutRule,
    PutSchedule,
    PutSync,
)
from sync_pipelines.apply.clashing import conflict_problems
from sync_pipelines.apply.current import Current, read_current
from sync_pipelines.apply.manifest import WantedConnection
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.plan import make_plan
from sync_pipelines.apply.problems import ClashError
from sync_pipelines.apply.rule_store import Hosts, NotLookedUpError, Reach, RuleStore
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.schedules import put_schedule
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import put_connection, put_sync, put_tenant
from sync_pipelines.catalog.tenants import put_thresholds
from sync_pipelines.engine.conflicts import review_change
from sync_pipelines.engine.deciding import decide_before_change
from sync_pipelines.engine.timetables import rearmed
from sync_pipelines.model.sync import Connection, Sync
from sync_pipelines.notify.thresholds import thresholds_to_json

Wanted: TypeAlias = Parsed | Callable[[Db, Current], Parsed]
"""What is wanted of a tenant; or what says so, of what there is."""


def preview(catalog: Catalog, parsed: Parsed, *, now: datetime, reach: Reach | None = None) -> Plan:
    """What `apply` would do, done and taken back; changes nothing. Raises as `apply` does."""

    def once(hosts: Hosts) -> Plan:
        with catalog.begin() as db:
            trial = db.begin_nested()
            plan = _carried_out(
                catalog, db, parsed.manifest.tenant, parsed, now=now, actor=None, hosts=hosts
            )
            trial.rollback()
        return plan

    return _with_hosts(reach, once)


def apply(
    catalog: Catalog, parsed: Parsed, *, now: datetime, actor: str, reach: Reach | None = None
) -> Plan:
    """Make the catalog as the file says; what was done.

    `ManifestError` if the file is wrong, or would bring schedules into a certain
    conflict. ``actor`` is who asked, for the audit; ``reach`` is where rules may send to.
    """
    return change(catalog, parsed.manifest.tenant, parsed, now=now, actor=actor, reach=reach)


def change(
    catalog: Catalog,
    tenant: str,
    wanted: Wanted,
    *,
    now: datetime,
    actor: str,
    reach: Reach | None = None,
) -> Plan:
    """As `apply`; a function is asked what is wanted of what there is, held meanwhile.

    It may refuse, by any error: then nothing has happened. Where it sends to a host that was not
    looked up yet, it is asked once more, and nothing has happened before.
    """

    def once(hosts: Hosts) -> Plan:
        with catalog.begin() as db:
            return _carried_out(catalog, db, tenant, wanted, now=now, actor=actor, hosts=hosts)

    return _with_hosts(reach, once)


def _with_hosts(reach: Reach | None, once: Callable[[Hosts], Plan]) -> Plan:
    """Do it with the hosts of webhooks that it needs, looked up while no tenant is held."""
    hosts = Hosts(reach or Reach())
    while True:
        try:
            return once(hosts)
        except NotLookedUpError as error:
            hosts.look_up(error.urls)


def _carried_out(
    catalog: Catalog,
    db: Db,
    tenant: str,
    wanted: Wanted,
    *,
    now: datetime,
    actor: str | None,
    hosts: Hosts,
) -> Plan:
    """The plan once it is done; without an actor, nothing is audited."""
    current = read_current(db, catalog.secrets, tenant, lock=True)
    parsed = wanted if isinstance(wanted, Parsed) else wanted(db, current)
    plan = make_plan(parsed, current, now=now)
    hosts.check_known(plan)
    if plan.changes:
        decide_before_change(db, list(_schedules_changed(plan)), now)
        rules = RuleStore(
            secrets=catalog.secrets,
            file=parsed.manifest.file,
            hosts=hosts,
            current=current,
            now=now,
        )
        doer = _Doer(db, catalog.secrets, plan.tenant, current, rules, now)
        for change in plan.changes:
            doer.carry_out(change)
            if actor is not None:
                _record(db, change, doer.tenant_id, at=now, actor=actor)
    is_new = any(change.kind is Kind.TENANT for change in plan.changes)
    examined, brought = review_change(catalog, db, plan.tenant, now=now, is_new=is_new)
    if brought:
        problems = conflict_problems(parsed.manifest, plan, brought)
        raise ClashError(parsed.manifest.file, problems)
    return replace(plan, conflicts=examined.conflicts)


def _schedules_changed(plan: Plan) -> Iterator[UUID]:
    """Those that are there and become other."""
    for change in plan.changes:
        if isinstance(change.put, PutSchedule) and not change.is_new:
            yield change.put.schedule.id


class _Doer:
    """Carries out changes in order: a sync after its connections, a schedule after its sync."""

    def __init__(
        self,
        db: Db,
        secrets: SecretBox,
        tenant: str,
        current: Current,
        rules: RuleStore,
        now: datetime,
    ) -> None:
        self._db = db
        self._secrets = secrets
        self._tenant = tenant
        self._now = now
        self.tenant_id = put_tenant(db, tenant)
        self._connections = {one.name: one for one in current.connections}
        self._syncs = {one.sync.name: one.sync.id for one in current.syncs}
        self._schedules = {
            f"{one.sync.name}/{schedule.name}": schedule.id
            for one in current.syncs
            for schedule in one.schedules
        }
        self._rules = rules

    def carry_out(self, change: Change) -> None:
        """Store one change."""
        match change.put:
            case str():
                pass  # the tenant was made with the doer
            case WantedConnection() as wanted:
                self._put_connection(wanted)
            case PutSync() as put:
                self._put_sync(put)
            case PutSchedule() as put:
                self._put_schedule(put)
            case PutRule() as put:
                self._rules.put(
                    self._db,
                    put,
                    tenant_id=self.tenant_id,
                    syncs=self._syncs,
                    schedules=self._schedules,
                )
            case PutAlerts() as put:
                put_thresholds(self._db, self.tenant_id, thresholds_to_json(put.thresholds))

    def _put_schedule(self, put: PutSchedule) -> None:
        schedule = replace(put.schedule, tenant_id=self.tenant_id, sync_id=self._syncs[put.sync])
        identity = put_schedule(self._db, schedule, now=self._now)
        self._schedules[f"{put.sync}/{schedule.name}"] = identity
        if identity != schedule.id:  # a spread depends on the id, which is known only now
            made = replace(schedule, id=identity, decided_until=None)
            put_schedule(self._db, rearmed(made, pause=put.pause, now=self._now), now=self._now)

    def _put_connection(self, wanted: WantedConnection) -> None:
        sealed = self._secrets.seal(wanted.secrets) if wanted.secrets else None
        config = {**wanted.config, **wanted.secrets}
        identity = put_connection(
            self._db,
            self.tenant_id,
            name=wanted.name,
            connector=wanted.connector,
            config=wanted.config,
            sealed=sealed,
            key_id=self._secrets.key_id if sealed else None,
            most_at_once=_most_at_once(wanted.connector, config),
            reaches_private=wanted.reaches_private,
            now=self._now,
        )
        self._connections[wanted.name] = Connection(
            id=identity,
            tenant=self._tenant,
            name=wanted.name,
            connector=wanted.connector,
            config=config,
            reaches_private=wanted.reaches_private,
        )

    def _put_sync(self, put: PutSync) -> None:
        wanted = put.wanted
        sync = Sync(
            id=self._syncs.get(wanted.name, self.tenant_id),
            tenant_id=self.tenant_id,
            tenant=self._tenant,
            name=wanted.name,
            source=self._connections[wanted.source.name],
            destination=self._connections[wanted.destination.name],
            dataset=wanted.dataset,
            streams=wanted.streams,
            retry=wanted.retry,
            breaker=wanted.breaker,
            is_active=bool(wanted.is_active),
            pause_reason=wanted.pause_reason,
            tags=wanted.tags,
        )
        self._syncs[wanted.name] = put_sync(
            self._db, self.tenant_id, sync=sync, description=wanted.description, now=self._now
        )


def _most_at_once(connector: str, config: Mapping[str, object]) -> int | None:
    known = registry.get(connector)
    return known.most_at_once(known.parse(config)) if known.most_at_once else None


def _record(db: Db, change: Change, tenant_id: UUID, *, at: datetime, actor: str) -> None:
    done = "created" if change.is_new else "changed"
    audit.record(
        db,
        at=at,
        actor=actor,
        action=f"{change.kind}.{done}",
        subject=change.name,
        tenant_id=tenant_id,
        before=_audited(change.before),
        after=_audited({**change.after, **_changed_secrets(change)}),
    )


def _changed_secrets(change: Change) -> Mapping[str, list[str]]:
    """The names of secrets whose values changed, since the values are not kept."""
    changed = [field.field for field in change.fields if field.is_secret]
    return {"changed_secrets": changed} if changed else {}


def _audited(described: Mapping[str, object] | None) -> Mapping[str, object] | None:
    return None if described is None else dict(described)
