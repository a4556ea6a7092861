"""Examines a tenant's schedules for clashes: with whatever is changed, and every night.

Laws:

* What is examined is what the catalog holds, so that a plan, its execution and the
  night find the same.
* Two connections that lead to the same system are the same place, whoever logs in.
* A change is examined last in its transaction, after it has been written into the audit: whoever
  holds a tenant's conflicts waits for nothing that others hold who wait for them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db
from sqlalchemy.exc import SQLAlchemyError

from connectors import registry
from connectors.errors import ConfigError, ConnectorError
from sync_pipelines.catalog import conflicts
from sync_pipelines.catalog.conflicts import Conflict
from sync_pipelines.catalog.durations import recent_for_all_tenants
from sync_pipelines.catalog.schedules import count_active
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import list_syncs, tenants_for_all_tenants
from sync_pipelines.catalog.tenants import Tenant, find_tenant
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Connection, Sync
from sync_pipelines.timing.clashes import (
    Finding,
    Kind,
    Planned,
    Severity,
    find_clashes,
    find_crowd,
    find_overload,
)

log = structlog.get_logger()

SCHEDULES, PER_HOUR = "schedules", "executions per hour"
"""What conflicts with a tenant's limits are known by."""

SPOILT = (ConnectorError, SQLAlchemyError, ValueError, LookupError, TypeError)
"""What comes of a tenant's rows that cannot be read."""


class ConflictError(ConfigError):
    """What was asked for would bring about a certain conflict; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found, and how many schedules the tenant has switched on."""

    conflicts: tuple[Conflict, ...] = ()
    switched_on: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """How many tenants were examined, and those that could not be."""

    tenants: int
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """What a connection leads to, and how many executions it bears at a time."""

    place: str
    most: int | None = None


def examine(db: Db, secrets: SecretBox, tenant: Tenant, *, now: datetime) -> Examined:
    """Everything that clashes among a tenant's schedules from now on. Changes nothing.

    A schedule that is switched off, or paused until it is resumed, clashes with nothing.
    """
    syncs = {sync.id: sync for sync in list_syncs(db, secrets.forgiving(), tenant.name)}
    schedules = [
        one for one in conflicts.switched_on(db, tenant_id=tenant.id) if not _is_stopped(one)
    ]
    names = {one.id: f"{syncs[one.sync_id].key}/{one.name}" for one in schedules}
    ends = {end.id: end for sync in syncs.values() for end in (sync.source, sync.destination)}
    systems = {identity: _system(end) for identity, end in ends.items()}
    durations = recent_for_all_tenants(db, syncs)
    planned = {
        one.id: _planned(one, syncs[one.sync_id], systems, durations.get(one.sync_id, ()))
        for one in schedules
    }
    most = tenant.limits.concurrent
    findings = find_clashes(list(planned.values()), after=now, most_at_once=most)
    found = [_conflict(finding, names) for finding in findings]
    found += _crowds(tenant, list(planned.values()), names, now)
    for system in sorted(set(systems.values()), key=lambda each: each.place):
        users = [
            planned[one.id]
            for one in schedules
            if system in _systems_of(syncs[one.sync_id], systems)
        ]
        found += _overloads(system, users, names, now)
    switched_on = count_active(db, tenant_id=tenant.id)
    found += _too_many_schedules(tenant, switched_on)
    return Examined(conflicts=tuple(found), switched_on=switched_on)


def brought_about(after: Examined, before: Examined) -> tuple[Conflict, ...]:
    """The certain conflicts that a change brings about, or makes worse."""
    known = {one.fingerprint for one in before.conflicts}
    if after.switched_on > before.switched_on:
        known.discard(_fingerprint(Kind.LIMIT, Severity.CERTAIN, SCHEDULES))
    return tuple(
        one
        for one in after.conflicts
        if one.severity is Severity.CERTAIN and one.fingerprint not in known
    )


def review(db: Db, secrets: SecretBox, tenant: Tenant, *, now: datetime) -> Examined:
    """Examine a tenant and keep what was found, in this transaction."""
    conflicts.hold(db, tenant.id)
    found = examine(db, secrets, tenant, now=now)
    conflicts.record(db, found.conflicts, tenant_id=tenant.id, now=now)
    return found


def review_change(
    catalog: Catalog, db: Db, tenant: str, *, now: datetime, is_new: bool = False
) -> tuple[Examined, tuple[Conflict, ...]]:
    """Review a tenant as a transaction leaves it; and the certain conflicts that this brings about.

    What was there without it is seen as others still see it: nothing, if the tenant is new.
    """
    after = review(db, catalog.secrets, find_tenant(db, tenant), now=now)
    if not any(one.severity is Severity.CERTAIN for one in after.conflicts):
        return after, ()
    before = Examined()
    if not is_new:
        with catalog.apart().begin() as unchanged:
            held = find_tenant(unchanged, tenant)
            before = examine(unchanged, catalog.secrets, held, now=now)
    return after, brought_about(after, before)


def review_resumed(catalog: Catalog, db: Db, tenant: str, *, now: datetime) -> Examined:
    """Review a tenant of which something was resumed; `ConflictError` if that must not be."""
    examined, brought = review_change(catalog, db, tenant, now=now)
    if brought:
        raise ConflictError("; ".join(one.sentence for one in brought))
    return examined


def review_for_all_tenants(catalog: Catalog, *, now: datetime) -> Reviewed:
    """Examine every tenant, each by itself: one that cannot be read stops no other.

    For all tenants, because the night is the installation's.
    """
    with catalog.begin() as db:
        names = tenants_for_all_tenants(db)
    failed = []
    for name in names:
        try:
            with catalog.begin() as db:
                review(db, catalog.secrets, find_tenant(db, name), now=now)
        except SPOILT as error:
            log.warning("conflicts.not_examined", tenant=name, error=str(error))
            failed.append(name)
    return Reviewed(tenants=len(names) - len(failed), failed=tuple(failed))


def _is_stopped(schedule: Schedule) -> bool:
    pause = schedule.policies.pause
    return pause is not None and pause.until is None


def _planned(
    schedule: Schedule,
    sync: Sync,
    systems: Mapping[UUID, _System],
    durations: tuple[timedelta, ...],
) -> Planned:
    return Planned(
        timetable=timetable_of(schedule, pause=None),
        sync=sync.key,
        streams=frozenset(stream.name for stream in sync.streams),
        destination=systems[sync.destination.id].place,
        tables=frozenset(f"{sync.dataset}.{stream.table_name}" for stream in sync.streams),
        durations=durations,
    )


def _system(connection: Connection) -> _System:
    """What a connection leads to; one that cannot be read is known by its name alone."""
    unknown = f"connection {connection.name}"
    try:
        connector = registry.get(connection.connector)
        config = connector.parse(connection.config)
    except ConfigError:
        return _System(place=unknown)
    return _System(
        place=connector.place(config) if connector.place else unknown,
        most=connector.most_at_once(config) if connector.most_at_once else None,
    )


def _systems_of(sync: Sync, systems: Mapping[UUID, _System]) -> tuple[_System, _System]:
    return systems[sync.source.id], systems[sync.destination.id]


def _overloads(
    system: _System, users: Sequence[Planned], names: Mapping[UUID, str], now: datetime
) -> Iterator[Conflict]:
    """When more would run at once than a system bears; executions of one sync never do."""
    if system.most is None or len({each.sync for each in users}) <= system.most:
        return
    finding = find_overload(users, after=now, most=system.most)
    if finding is not None:
        yield Conflict(
            fingerprint=_fingerprint(Kind.LIMIT, finding.severity, system.place),
            kind=Kind.LIMIT,
            severity=finding.severity,
            schedules=tuple(names[one] for one in finding.schedules),
            message=f"of those that use {system.place}, {finding.message}",
            remedy=finding.remedy,
        )


def _crowds(
    tenant: Tenant, planned: Sequence[Planned], names: Mapping[UUID, str], now: datetime
) -> Iterator[Conflict]:
    """When more would start within an hour than the tenant may."""
    most = tenant.limits.executions_per_hour
    finding = None if most is None else find_crowd(planned, after=now, most=most)
    if finding is not None:
        found = _conflict(finding, names)
        yield replace(found, fingerprint=_fingerprint(found.kind, found.severity, PER_HOUR))


def _too_many_schedules(tenant: Tenant, switched_on: int) -> Iterator[Conflict]:
    most = tenant.limits.schedules
    if most is not None and switched_on > most:
        yield Conflict(
            fingerprint=_fingerprint(Kind.LIMIT, Severity.CERTAIN, SCHEDULES),
            kind=Kind.LIMIT,
            severity=Severity.CERTAIN,
            schedules=(),
            message=f"{switched_on} schedules are switched on; {tenant.name} may have {most}",
            remedy="delete some or switch them off, or ask for a higher limit",
        )


def _conflict(finding: Finding, names: Mapping[UUID, str]) -> Conflict:
    keys = tuple(names[one] for one in finding.schedules)
    return Conflict(
        fingerprint=_fingerprint(finding.kind, finding.severity, _subject(finding, keys)),
        kind=finding.kind,
        severity=finding.severity,
        schedules=keys,
        message=finding.message,
        remedy=finding.remedy,
    )


def _subject(finding: Finding, keys: Sequence[str]) -> str:
    """What makes a finding the same one another day, though its figures have changed."""
    match finding.kind:
        case Kind.SHARED_TABLE | Kind.CYCLE:
            return finding.message
        case Kind.OVERLAP:
            return keys[0].rpartition("/")[0]
        case Kind.LIMIT:
            return "concurrent"
        case _:
            return " ".join(sorted(keys))


def _fingerprint(kind: Kind, severity: Severity, subject: str) -> str:
    return sha256(f"{kind} {severity} {subject}".encode()).hexdigest()
