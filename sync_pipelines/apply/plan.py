"""The difference between a file and the catalog, as a list of changes. Pure.

Laws: a file that has been applied plans nothing; a change carries no secret that
could be shown (secret fields are named, their values not); an edit never makes
an old slot fire again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from connectors import registry
from sync_pipelines.apply.changes import Change, Kind, Plan, PutSchedule, PutSync
from sync_pipelines.apply.current import Current, CurrentSync
from sync_pipelines.apply.describe import (
    Described,
    FieldChange,
    described_connection,
    described_schedule,
    described_sync,
    differences,
)
from sync_pipelines.apply.manifest import (
    End,
    Manifest,
    WantedConnection,
    WantedSchedule,
    WantedSync,
)
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.problems import ManifestError, Problem, nearest, redacted
from sync_pipelines.apply.rule_plan import rule_changes, rule_problems
from sync_pipelines.apply.secret_fields import split_config
from sync_pipelines.apply.waits import wait_problems
from sync_pipelines.catalog.due import PAUSED
from sync_pipelines.engine.timetables import decided_at, rearmed
from sync_pipelines.model.policy import Policies
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Connection

NO_ID = UUID(int=0)
"""Stands for what the catalog will give an id to."""


def make_plan(parsed: Parsed, current: Current, *, now: datetime) -> Plan:
    """Compare; `ManifestError` with every problem of the file if there is any."""
    manifest = parsed.manifest
    problems = [
        *parsed.problems,
        *_catalog_problems(manifest, current),
        *wait_problems(manifest, current),
        *rule_problems(manifest, current),
    ]
    if problems:
        raise ManifestError(manifest.file, problems)
    changes = tuple(_changes(manifest, current, now))
    same = _named(manifest) - {(change.kind, change.name) for change in changes}
    return Plan(tenant=manifest.tenant, changes=changes, unchanged=len(same))


def _named(manifest: Manifest) -> set[tuple[Kind, str]]:
    """Everything that the file speaks of."""
    tenant = manifest.tenant
    named = {(Kind.TENANT, tenant)}
    named |= {(Kind.CONNECTION, f"{tenant}/{one.name}") for one in manifest.connections}
    for sync in manifest.syncs:
        named.add((Kind.SYNC, f"{tenant}/{sync.name}"))
        named |= {(Kind.SCHEDULE, f"{tenant}/{sync.name}/{one.name}") for one in sync.schedules}
    named |= {(Kind.RULE, f"{tenant}/{one.name}") for one in manifest.rules}
    if manifest.alerts is not None:
        named.add((Kind.ALERTS, tenant))
    return named


def _changes(manifest: Manifest, current: Current, now: datetime) -> Iterator[Change]:
    if current.tenant_id is None:
        yield Change(
            kind=Kind.TENANT,
            name=manifest.tenant,
            before=None,
            after={"name": manifest.tenant},
            fields=(),
            put=manifest.tenant,
        )
    for connection in manifest.connections:
        yield from _connection_change(manifest.tenant, connection, current)
    for sync in manifest.syncs:
        yield from _sync_changes(manifest, sync, current, now)
    yield from rule_changes(manifest, current)


# --- what only the catalog can tell ------------------------------------------------


def _catalog_problems(manifest: Manifest, current: Current) -> Iterator[Problem]:
    for end in manifest.ends:
        message = _wrong_end(end, manifest, current)
        if message is not None:
            yield Problem(line=end.line, message=redacted(message, end.hidden))
    for wanted in manifest.connections:
        there = current.connection(wanted.name)
        if there is not None and there.connector != wanted.connector:
            yield Problem(
                line=wanted.line,
                message=f"connection {wanted.name!r} is a {there.connector!r} connection and "
                f"cannot become a {wanted.connector!r} one; give the new one another name",
            )


def _wrong_end(end: End, manifest: Manifest, current: Current) -> str | None:
    connector_name = _connector_of(end.name, manifest, current)
    if connector_name is None:
        if end.name in manifest.broken_connections:
            return None
        known = set(manifest.broken_connections)
        known |= {wanted.name for wanted in manifest.connections}
        known |= {held.name for held in current.connections}
        hint = nearest(end.name, sorted(known), what="there are")
        return f"{end.role} {end.name!r} is no connection of the file or the tenant; {hint}"
    connector = registry.get(connector_name)
    if end.role in connector.roles:
        return None
    return (
        f"{end.role} {end.name!r} is a {connector_name!r} connection, which can only be a "
        f"{' or a '.join(connector.roles)}"
    )


def _connector_of(name: str, manifest: Manifest, current: Current) -> str | None:
    for wanted in manifest.connections:
        if wanted.name == name:
            return wanted.connector
    there = current.connection(name)
    return there.connector if there else None


# --- changes -----------------------------------------------------------------------


def _connection_change(tenant: str, wanted: WantedConnection, current: Current) -> Iterator[Change]:
    there = current.connection(wanted.name)
    before = _described_now(there) if there else None
    after = described_connection(
        wanted.connector,
        wanted.config,
        tuple(wanted.secrets),
        reaches_private=wanted.reaches_private,
    )
    fields = differences(before, after)
    if there is not None:
        _, held = split_config(registry.get(there.connector).config, there.config)
        fields += tuple(
            FieldChange(field=f"config.{key}", is_secret=True)
            for key, value in wanted.secrets.items()
            if key in held and held[key] != value
        )
    if before is None or fields:
        yield Change(
            kind=Kind.CONNECTION,
            name=f"{tenant}/{wanted.name}",
            before=before,
            after=after,
            fields=fields,
            put=wanted,
        )


def _described_now(connection: Connection) -> Described:
    shown, secrets = split_config(registry.get(connection.connector).config, connection.config)
    return described_connection(
        connection.connector,
        shown,
        tuple(secrets),
        reaches_private=connection.reaches_private,
    )


def _sync_changes(
    manifest: Manifest, wanted: WantedSync, current: Current, now: datetime
) -> Iterator[Change]:
    there = current.sync(wanted.name)
    was_active = there.sync.is_active if there else None
    is_active = _decided(wanted.is_active, was_active)
    reason = (
        None if is_active else wanted.pause_reason or (there.sync.pause_reason if there else None)
    )
    before = described_sync(there.sync, there.description) if there else None
    connector = _connector_of(wanted.source.name, manifest, current)
    assert connector is not None, "checked before"
    decided = replace(wanted, is_active=is_active, pause_reason=reason)
    after = described_sync(decided, wanted.description)
    fields = differences(before, after)
    key = f"{manifest.tenant}/{wanted.name}"
    if before is None or fields:
        yield Change(
            kind=Kind.SYNC,
            name=key,
            before=before,
            after=after,
            fields=fields,
            put=PutSync(wanted=decided, connector=connector),
        )
    turned = was_active is not None and is_active is not was_active
    pause = None if is_active else reason or PAUSED
    yield from _schedule_changes(key, wanted, there, now, pause=pause, turned=turned)


def _schedule_changes(
    key: str,
    wanted: WantedSync,
    there: CurrentSync | None,
    now: datetime,
    *,
    pause: str | None,
    turned: bool,
) -> Iterator[Change]:
    """The file's schedules; and every one of a sync that is paused or resumed is armed anew."""
    held = {schedule.name: schedule for schedule in there.schedules} if there else {}
    for schedule in wanted.schedules:
        old = held.pop(schedule.name, None)
        new = _as_wanted(schedule, old, now)
        yield from _schedule_change(key, wanted.name, old, new, now, pause=pause, turned=turned)
    for old in held.values() if turned else ():
        yield from _schedule_change(key, wanted.name, old, old, now, pause=pause, turned=True)


def _as_wanted(wanted: WantedSchedule, old: Schedule | None, now: datetime) -> Schedule:
    base = old or Schedule(
        id=NO_ID,
        tenant_id=NO_ID,
        sync_id=NO_ID,
        name=wanted.name,
        cadence=wanted.cadence,
        created_at=now,
    )
    return replace(
        base,
        description=wanted.description,
        cadence=wanted.cadence,
        timezone=wanted.timezone,
        clock_change=wanted.clock_change,
        policies=_policies(wanted, old),
        learned=old.learned if old and old.cadence == wanted.cadence else None,
        is_active=_decided(wanted.is_active, old.is_active if old else None),
    )


def _policies(wanted: WantedSchedule, old: Schedule | None) -> Policies:
    """The file's, with the pause that is there unless the file has one, or says it is active."""
    if old is None or wanted.policies.pause is not None or wanted.is_active:
        return wanted.policies
    return replace(wanted.policies, pause=old.policies.pause)


def _schedule_change(
    key: str,
    sync: str,
    old: Schedule | None,
    new: Schedule,
    now: datetime,
    *,
    pause: str | None,
    turned: bool,
) -> Iterator[Change]:
    before, after = described_schedule(old) if old else None, described_schedule(new)
    fields = differences(before, after)
    if old is None or turned or _timing(old) != _timing(new):
        until = decided_at(old, now) if old else None
        has_new_slots = old is not None and _slots(old) != _slots(new)
        new = replace(new, decided_until=until)
        new = rearmed(new, pause=pause, now=now, has_new_slots=has_new_slots)
        if old is None or old.next_run_at != new.next_run_at:
            slots = (_text(old.next_run_at if old else None), _text(new.next_run_at))
            fields += (FieldChange(field="next_run_at", before=slots[0], after=slots[1]),)
    if old != new:
        yield Change(
            kind=Kind.SCHEDULE,
            name=f"{key}/{new.name}",
            before=before,
            after=after,
            fields=fields if old else (),
            put=PutSchedule(sync=sync, schedule=new, pause=pause),
        )


def _timing(schedule: Schedule) -> Sequence[object]:
    """What decides its slots, and what becomes of them."""
    return (*_slots(schedule), schedule.policies, schedule.is_active)


def _slots(schedule: Schedule) -> Sequence[object]:
    """What names its instants."""
    return schedule.cadence, schedule.timezone, schedule.clock_change


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _decided(wanted: bool | None, held: bool | None) -> bool:
    """The file's word, else what is there, else yes."""
    if wanted is not None:
        return wanted
    return True if held is None else held
