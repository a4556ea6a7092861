"""Digests: what a day or a week came to, for each recipient on the clocks of their zone.

Laws:

* Of a period, each recipient of a rule gets one, however often this is asked: the
  period is the notice's identity.
* Periods join without a gap and without overlap: one ends at the instant at which the
  next begins, also where clocks are changed in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import reporting
from sync_pipelines.catalog.notifications import people, subscriptions_for_all_tenants
from sync_pipelines.catalog.reporting import Cause, DayFigures, SyncFigures
from sync_pipelines.model.notification import (
    DigestTime,
    Every,
    Notice,
    Severity,
    Topic,
)
from sync_pipelines.model.wall import Missing
from sync_pipelines.notify.payloads import envelope
from sync_pipelines.notify.posting import Addressed, post
from sync_pipelines.notify.remedies import remedy
from sync_pipelines.timing.zones import find_zone, instant_of

NOON = time(12)

LISTED = 5
"""So many of the slowest, stale and upcoming syncs are told of, and of causes."""

DAYS_SHOWN = 7
"""By these the chart shows how a day or a week compares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What a digest is about: half open, and the local day on which it is told."""

    since: datetime
    until: datetime
    told_on: date


def period(when: DigestTime, now: datetime) -> Period:
    """The latest period that has ended by now."""
    zone = find_zone(when.timezone)
    length = timedelta(days=1 if when.every is Every.DAILY else 7)
    day = now.astimezone(zone).date()
    if when.every is Every.WEEKLY:
        day -= timedelta(days=(day.isoweekday() - when.weekday) % 7)
    if _at(when, day) > now:
        day -= length
    return Period(since=_at(when, day - length), until=_at(when, day), told_on=day)


def tell_digests(db: Db, now: datetime) -> int:
    """Tell everybody whose period has ended and who was not told; how many messages."""
    addressed: list[Addressed] = []
    for rule in subscriptions_for_all_tenants(db, Topic.DIGEST):
        known = people(db, rule.told, tenant_id=rule.tenant_id)
        for recipient in rule.told:
            person = known.get(recipient)
            zone = person.preferences.timezone if person else None
            when = replace(rule.digest, timezone=zone or rule.digest.timezone)
            ended = period(when, now)
            if ended.until < rule.since:
                continue
            notice = digest(db, rule.tenant_id, rule.sync_id, when, ended)
            if notice.payload["digest"]["executions"] or when.when_empty:
                only = replace(rule, told=(recipient,))
                addressed.append(Addressed(to=only, notice=notice))
    return post(db, addressed, now=now)


def digest(
    db: Db, tenant_id: UUID, sync_id: UUID | None, when: DigestTime, about: Period
) -> Notice:
    """What a period came to, of a tenant or one of its syncs."""
    span = {"since": about.since, "until": about.until}
    of_syncs = reporting.figures(db, tenant_id=tenant_id, sync_id=sync_id, **span)
    causes = reporting.causes(db, tenant_id=tenant_id, sync_id=sync_id, **span)
    days = [_day(db, tenant_id, sync_id, when, each) for each in _last_days(about)]
    event_id = f"digest:{when.every}:{when.timezone}:{about.told_on}"
    failed = sum(one.failed for one in of_syncs)
    payload = envelope(
        event_id=event_id,
        topic=Topic.DIGEST,
        severity=Severity.WARNING if failed else Severity.INFO,
        at=about.until,
        tenant=reporting.tenant_name(db, tenant_id),
    )
    told = _figures(when, about, of_syncs, causes=causes, days=days)
    return Notice(
        event_id=event_id,
        topic=Topic.DIGEST,
        severity=Severity(payload["severity"]),
        at=about.until,
        payload={**payload, "digest": told, "path": "/syncs"},
    )


def _at(when: DigestTime, day: date) -> datetime:
    wall = datetime.combine(day, when.at, find_zone(when.timezone))
    found = instant_of(wall, second=False, missing=Missing.AFTER_GAP)
    assert found is not None
    return found


def _figures(
    when: DigestTime,
    about: Period,
    of_syncs: Sequence[SyncFigures],
    *,
    causes: Sequence[Cause],
    days: Sequence[DayFigures],
) -> dict[str, Any]:
    executions = sum(one.executions for one in of_syncs)
    completed = sum(one.completed for one in of_syncs)
    slowest = sorted((one for one in of_syncs if one.slowest_ms), key=lambda one: -one.slowest_ms)
    coming = sorted(_coming(of_syncs))
    return {
        "every": str(when.every),
        "zone": when.timezone,
        "since": about.since.isoformat(),
        "until": about.until.isoformat(),
        "executions": executions,
        "completed": completed,
        "failed": executions - completed,
        "success_rate": round(completed / executions, 4) if executions else None,
        "records": sum(one.records for one in of_syncs),
        "slowest": [{"sync": one.sync, "ms": one.slowest_ms} for one in slowest[:LISTED]],
        "causes": [
            {
                "connection": one.connection,
                "class": one.error_class,
                "failures": one.failures,
                "syncs": one.syncs,
                "remedy": remedy(one.error_class, ""),
            }
            for one in causes[:LISTED]
        ],
        "days": [
            {"day": str(one.day), "completed": one.completed, "failed": one.failed} for one in days
        ],
        "stale": [
            {"sync": one.sync, "last_good_at": _text(one.last_good_at)}
            for one in of_syncs
            if one.is_active and (one.last_good_at is None or one.last_good_at < about.since)
        ],
        "upcoming": [{"sync": sync, "at": at.isoformat()} for at, sync in coming[:LISTED]],
    }


def _coming(of_syncs: Sequence[SyncFigures]) -> Iterator[tuple[datetime, str]]:
    for one in of_syncs:
        if one.next_run_at is not None:
            yield one.next_run_at, one.sync


def _last_days(about: Period) -> Iterator[date]:
    """The days on which the period and those before it were told: seven in all."""
    for back in reversed(range(DAYS_SHOWN)):
        yield about.told_on - timedelta(days=back)


def _day(
    db: Db, tenant_id: UUID, sync_id: UUID | None, when: DigestTime, told_on: date
) -> DayFigures:
    """What the day that was told of then came to; it is named after the date it has more of."""
    found = reporting.days(
        db,
        tenant_id=tenant_id,
        sync_id=sync_id,
        since=_at(when, told_on - timedelta(days=1)),
        until=_at(when, told_on),
        zone=when.timezone,
    )
    return DayFigures(
        day=told_on if when.at >= NOON else told_on - timedelta(days=1),
        completed=sum(one.completed for one in found),
        failed=sum(one.failed for one in found),
    )


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
