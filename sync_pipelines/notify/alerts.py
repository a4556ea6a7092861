"""Looks at the numbers of all syncs and tenants, and opens and closes alerts.

Lateness of schedules and silence of webhooks are the watch's: it sees them within minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import inbox, incidents, measuring
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.catalog.measuring import Executed, Load
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Severity
from sync_pipelines.notify.thresholds import (
    USUAL,
    Measure,
    Past,
    Reading,
    Thresholds,
    read,
    thresholds_from_json,
)
from sync_pipelines.notify.watched import tell_of_watched, tell_over

HOUR = timedelta(hours=1)

KINDS = (Kind.THRESHOLD, Kind.STALE_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A reading, of a sync or a tenant; ``subject`` is by which its alert is known."""

    tenant_id: UUID
    sync_id: UUID | None
    of: str
    reading: Reading

    @property
    def subject(self) -> str:
        return f"{self.of}: {self.reading.measure}"

    @property
    def kind(self) -> Kind:
        is_stale = self.reading.measure is Measure.STALENESS
        return Kind.STALE_DATA if is_stale else Kind.THRESHOLD


def look(db: Db, now: datetime, *, thresholds: Thresholds = USUAL) -> tuple[Alarm, ...]:
    """Measure everything, open and close alerts, and tell of them; those that are on.

    ``thresholds`` hold where a tenant has not said otherwise.
    """
    own = {
        tenant_id: thresholds_from_json(held)
        for tenant_id, held in measuring.thresholds_for_all_tenants(db).items()
    }
    open_now = {
        (one.alarm.kind, one.alarm.subject): one
        for one in incidents.open_for_all_tenants(db, kinds=KINDS)
    }
    alarms = []
    for seen in _all_seen(db, now):
        key = (seen.kind, seen.subject)
        chosen: Thresholds = {**thresholds, **own.get(seen.tenant_id, {})}
        threshold = chosen[seen.reading.measure]
        if threshold is not None and threshold.is_on(seen.reading.value, was_on=key in open_now):
            open_now.pop(key, None)
            alarm = _alarm(seen)
            incidents.raise_incident(db, alarm, now=now)
            alarms.append(alarm)
    # Those that are left are over, or nothing can be said of them any more.
    for (kind, subject), incident in open_now.items():
        incidents.resolve(db, kind, subject, now=now)
        inbox.resolve_incident(db, incident.id, now=now)
        tell_over(db, incident, now)
    tell_of_watched(db, now)
    return tuple(alarms)


def _all_seen(db: Db, now: datetime) -> Iterator[_Seen]:
    for sync in measuring.executed_for_all_tenants(db):
        for reading in read(_past(sync), now):
            yield _Seen(
                tenant_id=sync.tenant_id, sync_id=sync.sync_id, of=sync.key, reading=reading
            )
    for load in measuring.loads_for_all_tenants(db, hour_ago=now - HOUR):
        for reading in _of_tenant(load):
            yield _Seen(tenant_id=load.tenant_id, sync_id=None, of=load.tenant, reading=reading)


def _past(sync: Executed) -> Past:
    good = [row for row in sync.ended if row["status"] == Status.COMPLETED]
    return Past(
        outcomes=[row["status"] == Status.COMPLETED for row in sync.ended],
        durations=[timedelta(milliseconds=row["duration_ms"] or 0) for row in good],
        records=[row["records_processed"] for row in good],
        succeeded_at=[row["completed_at"] for row in good],
    )


def _of_tenant(load: Load) -> Iterator[Reading]:
    yield Reading(
        measure=Measure.QUEUE,
        value=load.waiting,
        message=f"{load.waiting} executions of {load.tenant} wait",
        remedy="see whether one sync holds up the others, or raise the tenant's limits or weight",
    )
    shares = {
        name: load.used[name] / most for name, most in load.limits.items() if name in load.used
    }
    if shares:
        name = max(shares, key=lambda one: shares[one])
        words = name.replace("_", " ")
        yield Reading(
            measure=Measure.CAPACITY,
            value=shares[name],
            message=f"{load.tenant} uses {load.used[name]} of its {load.limits[name]} {words}",
            remedy="have the limit raised, or run less often",
        )


def _alarm(seen: _Seen) -> Alarm:
    reading = seen.reading
    of_sync = {"sync_id": str(seen.sync_id)} if seen.sync_id else {}
    return Alarm(
        kind=seen.kind,
        subject=seen.subject,
        message=f"{seen.of}: {reading.message}" if seen.sync_id else reading.message,
        remedy=reading.remedy,
        tenant_id=seen.tenant_id,
        severity=Severity.WARNING,
        details={"measure": str(reading.measure), "value": round(reading.value, 3), **of_sync},
    )
