"""Tells of incidents that the watch has open, of their end, and reminds of what nobody minds."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import inbox, incidents, reporting
from sync_pipelines.catalog.incidents import Incident, Kind
from sync_pipelines.catalog.notifications import subscriptions, subscriptions_for_all_tenants
from sync_pipelines.model.notification import Notice, Subscription, Topic
from sync_pipelines.notify.payloads import envelope, of_incident
from sync_pipelines.notify.posting import Addressed, post

WATCHED = {
    Kind.DEAD_DAEMON: Topic.LATE,
    Kind.STALLED_DISPATCHER: Topic.LATE,
    Kind.SILENT_SCHEDULE: Topic.LATE,
    Kind.SILENT_WEBHOOK: Topic.STALE,
    Kind.REFUSED_WEBHOOKS: Topic.WARNING,
    Kind.DISABLED_WEBHOOK: Topic.WARNING,
    Kind.THRESHOLD: Topic.ALERT,
    Kind.STALE_DATA: Topic.STALE,
}
"""What is told of an incident that the watch opens."""

TOLD_WITHIN = timedelta(hours=1)
"""An incident that is older, and of which a new rule was told nothing, is left alone."""


def tell_of_watched(db: Db, now: datetime) -> None:
    """Tell of incidents that the watch has open, and remind of those that nobody minds.

    May be called as often as one likes: nobody is told twice.
    """
    _forget_unaffecting(db, now)
    found = incidents.open_for_all_tenants(db, kinds=WATCHED, since=now - TOLD_WITHIN)
    addressed = []
    for incident in found:
        topic = WATCHED[incident.alarm.kind]
        for rule in _concerned(db, incident, topic):
            addressed.append(_about(db, rule, incident, topic, f"incident:{incident.id}:{topic}"))
    addressed += _reminders(db, now)
    if addressed:
        post(db, addressed, now=now)


def tell_over(db: Db, incident: Incident, now: datetime) -> None:
    """Tell that an incident of `WATCHED` is over, which the caller has just noted."""
    event_id = f"incident:{incident.id}:{Topic.RECOVERED}"
    rules = _concerned(db, incident, Topic.RECOVERED)
    post(
        db,
        [_about(db, rule, incident, Topic.RECOVERED, event_id) for rule in rules],
        now=now,
    )


def _concerned(db: Db, incident: Incident, topic: Topic) -> Sequence[Subscription]:
    """The rules that tell of an incident: its tenant's; everybody's, of the installation's."""
    tenant_id = incident.alarm.tenant_id
    if tenant_id is None:
        rules = subscriptions_for_all_tenants(db, topic)
    else:
        sync_id = incident.alarm.details.get("sync_id")
        about = UUID(sync_id) if sync_id else None
        rules = subscriptions(db, tenant_id=tenant_id, sync_id=about)
    is_everybodys = tenant_id is None
    return [rule for rule in rules if topic in rule.topics and (rule.is_wide or not is_everybodys)]


def _about(
    db: Db, rule: Subscription, incident: Incident, topic: Topic, event_id: str
) -> Addressed:
    severity = incident.alarm.severity
    payload = envelope(
        event_id=event_id,
        topic=topic,
        severity=severity,
        at=incident.opened_at,
        tenant=reporting.tenant_name(db, rule.tenant_id),
    )
    notice = Notice(
        event_id=event_id,
        topic=topic,
        severity=severity,
        at=incident.opened_at,
        payload={**payload, "incident": of_incident(incident), "path": "/incidents"},
    )
    return Addressed(to=rule, notice=notice, incident_id=incident.id)


def _reminders(db: Db, now: datetime) -> Iterator[Addressed]:
    """One for each span that has gone by since an incident began, soon after that.

    A look comes every half minute: one that is an hour late is a reminder left out.
    """
    rules = [one for one in subscriptions_for_all_tenants(db, Topic.REMINDER) if one.is_wide]
    if not rules:
        return
    for incident in incidents.open_for_all_tenants(db, kinds=(Kind.FAILING, *WATCHED)):
        if incident.acknowledged_at is not None or _is_asleep(incident, now):
            continue
        for rule in rules:
            if incident.alarm.tenant_id not in (None, rule.tenant_id):
                continue
            spans, since = divmod(now - incident.opened_at, rule.remind_after)
            if spans and since < TOLD_WITHIN:
                event_id = f"incident:{incident.id}:{Topic.REMINDER}:{spans}"
                yield _about(db, rule, incident, Topic.REMINDER, event_id)


def _forget_unaffecting(db: Db, now: datetime) -> None:
    """Close incidents whose syncs are all gone: nothing will ever succeed again there."""
    for incident in incidents.unaffecting_for_all_tenants(db):
        incidents.resolve(db, incident.alarm.kind, incident.alarm.subject, now=now)
        inbox.resolve_incident(db, incident.id, now=now)


def _is_asleep(incident: Incident, now: datetime) -> bool:
    return incident.snoozed_until is not None and incident.snoozed_until > now
