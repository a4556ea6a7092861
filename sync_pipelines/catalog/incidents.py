"""Incidents: what the watch found wrong, until when it was, and what helps.

Law: of one kind and subject at most one incident is open. What is found again while it
is open is counted, not opened anew.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from sync_pipelines.catalog.tables import AffectedRow, IncidentRow, SyncRow
from sync_pipelines.model.notification import Severity

AT_ONCE = 1000
"""Rows of one statement: a parameter's number has 16 bits."""

_OPEN = text("resolved_at IS NULL")


class Kind(StrEnum):
    """What may be wrong."""

    DEAD_DAEMON = "dead_daemon"
    STALLED_DISPATCHER = "stalled_dispatcher"
    SILENT_SCHEDULE = "silent_schedule"
    STUCK_EXECUTION = "stuck_execution"
    SILENT_WEBHOOK = "silent_webhook"
    REFUSED_WEBHOOKS = "refused_webhooks"
    DISABLED_WEBHOOK = "disabled_webhook"
    FAILING = "failing"
    THRESHOLD = "threshold"
    STALE_DATA = "stale_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something is wrong now with ``subject``; ``tenant_id`` None: with the installation."""

    kind: Kind
    subject: str
    message: str
    remedy: str
    details: Mapping[str, Any] = field(default_factory=dict)
    tenant_id: UUID | None = None
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An alarm as it was recorded. ``seen`` counts how often it was found while open."""

    id: UUID
    alarm: Alarm
    seen: int
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    acknowledged_at: datetime | None = None
    snoozed_until: datetime | None = None


def raise_incident(db: Db, alarm: Alarm, *, now: datetime) -> bool:
    """Open an incident, or note that an open one was seen again; whether it is new."""
    return record(db, alarm, now=now).seen == 1


def record(db: Db, alarm: Alarm, *, now: datetime) -> Incident:
    """The same; the incident as it is then, its row held."""
    values = _values(alarm, now)
    seen_again = {
        name: values[name] for name in ("message", "remedy", "details", "severity", "last_seen_at")
    } | {"seen": IncidentRow.seen + 1}
    statement = (
        insert(IncidentRow)
        .values(values)
        .on_conflict_do_update(
            index_elements=["kind", "subject"], index_where=_OPEN, set_=seen_again
        )
        .returning(IncidentRow.__table__)
    )
    return incident_from_row(db.execute(statement).mappings().one())


def note_mended(db: Db, alarms: Sequence[Alarm], *, now: datetime) -> None:
    """Record what was wrong and has been put right in this very transaction."""
    rows = [{**_values(alarm, now), "resolved_at": now} for alarm in alarms]
    for start in range(0, len(rows), AT_ONCE):
        db.execute(insert(IncidentRow).values(rows[start : start + AT_ONCE]))


def find_open(db: Db, kind: Kind, subject: str, *, tenant_id: UUID) -> Incident | None:
    """A tenant's open incident of a kind and subject, or None."""
    mine = (IncidentRow.tenant_id == tenant_id, IncidentRow.kind == kind)
    query = select(IncidentRow.__table__).where(*mine, IncidentRow.subject == subject, _OPEN)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else incident_from_row(row)


def resolve(db: Db, kind: Kind, subject: str, *, now: datetime) -> bool:
    """Close an incident; False when none is open."""
    statement = (
        update(IncidentRow)
        .where(IncidentRow.kind == kind, IncidentRow.subject == subject, _OPEN)
        .values(resolved_at=now)
    )
    return db.execute(statement).rowcount == 1


def open_subjects_for_all_tenants(db: Db, kind: Kind) -> Collection[str]:
    """With what something of this kind is wrong. For all tenants, because the watch is."""
    query = select(IncidentRow.subject).where(IncidentRow.kind == kind, _OPEN)
    return set(db.scalars(query))


# --- whom a cause keeps from succeeding ----------------------------------------------


def affect(db: Db, incident: Incident, sync_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    """Note that an incident's cause keeps a sync from succeeding."""
    values = {"incident_id": incident.id, "sync_id": sync_id, "tenant_id": tenant_id}
    statement = insert(AffectedRow).values(**values, failed_at=now)
    db.execute(statement.on_conflict_do_nothing(index_elements=["incident_id", "sync_id"]))


def open_of_sync(db: Db, sync_id: UUID, *, tenant_id: UUID) -> list[Incident]:
    """The open incidents that keep a sync from succeeding, held in the order of all others."""
    query = (
        select(IncidentRow.__table__)
        .join(AffectedRow, AffectedRow.incident_id == IncidentRow.id)
        .where(AffectedRow.sync_id == sync_id, AffectedRow.tenant_id == tenant_id, _OPEN)
        .order_by(IncidentRow.id)
        .with_for_update(of=IncidentRow, key_share=True)
    )
    return [incident_from_row(row) for row in db.execute(query).mappings()]


def release(db: Db, incident: Incident, sync_id: UUID, *, tenant_id: UUID) -> int:
    """A sync has succeeded again; how many others the incident still affects."""
    of_incident = AffectedRow.incident_id == incident.id
    mine = (of_incident, AffectedRow.sync_id == sync_id, AffectedRow.tenant_id == tenant_id)
    db.execute(delete(AffectedRow).where(*mine))
    return db.scalar(select(func.count()).where(of_incident)) or 0


def affected(db: Db, incident_id: UUID, *, tenant_id: UUID) -> list[str]:
    """The names of the syncs that an incident affects, those first that failed first."""
    query = (
        select(SyncRow.name)
        .join(AffectedRow, AffectedRow.sync_id == SyncRow.id)
        .where(AffectedRow.incident_id == incident_id, AffectedRow.tenant_id == tenant_id)
        .order_by(AffectedRow.failed_at, SyncRow.name)
    )
    return list(db.scalars(query))


def affected_by(
    db: Db, incident_ids: Collection[UUID], *, tenant_id: UUID
) -> Mapping[UUID, Sequence[str]]:
    """The names of the syncs that incidents affect; those that affect none are not there."""
    query = (
        select(
            AffectedRow.incident_id,
            func.array_agg(aggregate_order_by(SyncRow.name, SyncRow.name)).label("names"),
        )
        .join(SyncRow, SyncRow.id == AffectedRow.sync_id)
        .where(AffectedRow.incident_id.in_(incident_ids), AffectedRow.tenant_id == tenant_id)
        .group_by(AffectedRow.incident_id)
    )
    return {row.incident_id: row.names for row in db.execute(query)}


def tags_affected(db: Db, incident_id: UUID, *, tenant_id: UUID) -> frozenset[str]:
    """The tags of the syncs that an incident affects."""
    query = (
        select(func.jsonb_array_elements_text(SyncRow.tags))
        .select_from(SyncRow)
        .join(AffectedRow, AffectedRow.sync_id == SyncRow.id)
        .where(AffectedRow.incident_id == incident_id, AffectedRow.tenant_id == tenant_id)
        .distinct()
    )
    return frozenset(db.scalars(query))


def unaffecting_for_all_tenants(db: Db) -> list[Incident]:
    """Open incidents of failing syncs that affect none any more: those were removed.

    For all tenants, because whoever tidies up does so for all.
    """
    others = exists().where(AffectedRow.incident_id == IncidentRow.id)
    query = select(IncidentRow.__table__).where(IncidentRow.kind == Kind.FAILING, _OPEN, ~others)
    return [incident_from_row(row) for row in db.execute(query).mappings()]


def find(db: Db, incident_id: UUID, *, tenant_id: UUID) -> Incident | None:
    """One of a tenant's own incidents, or None."""
    mine = (IncidentRow.id == incident_id, IncidentRow.tenant_id == tenant_id)
    row = db.execute(select(IncidentRow.__table__).where(*mine)).mappings().one_or_none()
    return None if row is None else incident_from_row(row)


def acknowledge(db: Db, incident_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Somebody minds it: no more reminders. False if a tenant has no such open incident."""
    return _change_open(db, incident_id, {"acknowledged_at": now}, tenant_id=tenant_id)


def snooze(db: Db, incident_id: UUID, *, tenant_id: UUID, until: datetime) -> bool:
    """No reminders until then. False if a tenant has no such open incident."""
    return _change_open(db, incident_id, {"snoozed_until": until}, tenant_id=tenant_id)


def close(db: Db, incident_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Somebody takes it for over; what goes wrong after that is a new incident.

    False if a tenant has no such open incident.
    """
    return _change_open(db, incident_id, {"resolved_at": now}, tenant_id=tenant_id)


def open_for_all_tenants(
    db: Db, *, kinds: Collection[Kind], since: datetime | None = None
) -> list[Incident]:
    """Open incidents of some kinds, opened ``since`` then, oldest first.

    For all tenants, because the watch tells each of its own.
    """
    query = select(IncidentRow.__table__).where(IncidentRow.kind.in_(kinds), _OPEN)
    if since is not None:
        query = query.where(IncidentRow.opened_at >= since)
    rows = db.execute(query.order_by(IncidentRow.opened_at)).mappings()
    return [incident_from_row(row) for row in rows]


def list_incidents(
    db: Db, *, tenant_id: UUID, only_open: bool = True, limit: int = 100
) -> list[Incident]:
    """A tenant's incidents and those of the installation, which concern it too; newest first."""
    mine = or_(IncidentRow.tenant_id == tenant_id, IncidentRow.tenant_id.is_(None))
    return _found(db, select(IncidentRow.__table__).where(mine), only_open, limit)


def list_incidents_for_all_tenants(
    db: Db, *, only_open: bool = True, limit: int = 100
) -> list[Incident]:
    """All incidents, newest first. For all tenants, for whoever runs the installation."""
    return _found(db, select(IncidentRow.__table__), only_open, limit)


def _found(db: Db, query: Select[Any], only_open: bool, limit: int) -> list[Incident]:
    if only_open:
        query = query.where(_OPEN)
    query = query.order_by(IncidentRow.opened_at.desc(), IncidentRow.id).limit(limit)
    return [incident_from_row(row) for row in db.execute(query).mappings()]


def _change_open(db: Db, incident_id: UUID, values: Mapping[str, Any], *, tenant_id: UUID) -> bool:
    mine = (IncidentRow.id == incident_id, IncidentRow.tenant_id == tenant_id, _OPEN)
    return db.execute(update(IncidentRow).where(*mine).values(values)).rowcount == 1


def _values(alarm: Alarm, now: datetime) -> dict[str, Any]:
    return {
        "tenant_id": alarm.tenant_id,
        "kind": alarm.kind,
        "subject": alarm.subject,
        "message": alarm.message,
        "remedy": alarm.remedy,
        "severity": alarm.severity,
        "details": dict(alarm.details),
        "opened_at": now,
        "last_seen_at": now,
    }


def incident_from_row(row: RowMapping) -> Incident:
    """A row of the incidents."""
    return Incident(
        id=row["id"],
        alarm=Alarm(
            kind=Kind(row["kind"]),
            subject=row["subject"],
            message=row["message"],
            remedy=row["remedy"],
            details=row["details"],
            tenant_id=row["tenant_id"],
            severity=Severity(row["severity"]),
        ),
        seen=row["seen"],
        opened_at=row["opened_at"],
        last_seen_at=row["last_seen_at"],
        resolved_at=row["resolved_at"],
        acknowledged_at=row["acknowledged_at"],
        snoozed_until=row["snoozed_until"],
    )
