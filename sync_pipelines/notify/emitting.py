"""Tells of outcomes and of incidents: decides what there is to tell, and to which rules.

Laws:

* Of an outcome once: in the transaction that notes its execution as followed up.
* Only outcomes are failures. An attempt that is tried again is none (R102), and told only
  to who asked for just that.
* Failures of one connection and one class of error have one cause: one incident. People
  hear of it once, when it begins, and once, when it is over; programs of each outcome.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import breakers, history, inbox, incidents, reporting
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.incidents import Alarm, Incident, Kind
from sync_pipelines.catalog.notifications import subscriptions, subscriptions_for_all_tenants
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.notification import Notice, Severity, Subscription, Topic
from sync_pipelines.notify.payloads import envelope, of_execution, of_incident
from sync_pipelines.notify.posting import Addressed, post
from sync_pipelines.notify.remedies import remedy

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What there is to tell a rule: people by ``cause``, programs by the outcome.

    ``tags_left`` are those of syncs that an incident still affects. ``more`` is said besides.
    """

    topic: Topic
    severity: Severity
    cause: str | None = None
    incident: Incident | None = None
    seen: int | None = None
    tags_left: frozenset[str] = frozenset()
    more: Mapping[str, Any] = field(default_factory=dict)


def tell_of(db: Db, ended: Execution, now: datetime) -> None:
    """Tell of an execution's outcome whoever wants to know, and keep the incidents of causes.

    To be called once for each outcome. Who moved data into another place to look at it
    first, or stopped it, knows by themselves.
    """
    if ended.request.into is not None or ended.status is Status.CANCELLED:
        return
    entry = history.find(db, ended.id, tenant_id=ended.tenant_id)
    assert entry is not None
    if ended.status is Status.COMPLETED:
        said = _of_success(db, entry, now)
    else:
        said = _of_failure(db, entry, now)
    said = [*said, *_of_schema(entry)]
    rules = _about_sync(db, ended)
    chosen = [(rule, one) for one in said for rule in rules if _wants(rule, one)]
    if chosen:
        post(db, _addressed(db, entry, chosen, at=ended.completed_at or now), now=now)


def tell_of_retry(db: Db, waiting: Execution, now: datetime) -> None:
    """Tell that an attempt failed and the next one waits, whoever asked for that.

    To be called in the transaction that settles the attempt.
    """
    rules = [rule for rule in _about_sync(db, waiting) if Topic.RETRYING in rule.topics]
    if not rules:
        return
    entry = history.find(db, waiting.id, tenant_id=waiting.tenant_id)
    assert entry is not None
    again_at = waiting.next_attempt_at
    said = _Said(
        topic=Topic.RETRYING,
        severity=Severity.INFO,
        cause=f"execution:{waiting.id}:{Topic.RETRYING}:{waiting.attempt}",
        more={
            "headline": f"{_name(waiting)} did not get through, and is tried again",
            "next_run_at": None if again_at is None else again_at.isoformat(),
        },
    )
    post(db, _addressed(db, entry, [(rule, said) for rule in rules], at=now), now=now)


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


def cause_of(ended: Execution, error_class: str) -> str:
    """What failures with one cause share: the connection and the class of error."""
    tenant, _, _ = ended.sync_key.partition("/")
    return f"{tenant}/{ended.connection}: {error_class}"


def _of_failure(db: Db, entry: HistoryEntry, now: datetime) -> Sequence[_Said]:
    ended = entry.execution
    failed = ended.status is Status.FAILED
    severity = Severity.CRITICAL if failed else Severity.WARNING
    incident = incidents.record(db, _alarm(entry, severity), now=now)
    incidents.affect(db, incident, ended.sync_id, tenant_id=ended.tenant_id, now=now)
    topic = Topic.FAILURE if failed else Topic.WARNING
    about = f"incident:{incident.id}"
    said = [
        _Said(topic=topic, severity=severity, cause=f"{about}:{topic}", incident=incident),
        _Said(
            topic=Topic.ESCALATED,
            severity=Severity.CRITICAL,
            cause=f"{about}:{Topic.ESCALATED}",
            incident=incident,
            seen=incident.seen,
        ),
    ]
    breaker = breakers.find(db, ended.sync_id, tenant_id=ended.tenant_id)
    if failed and breaker.failures == 1:
        said.append(_Said(topic=Topic.FIRST_FAILURE, severity=severity, incident=incident))
    if failed and breaker.opened_at == now:
        said.append(_Said(topic=Topic.PAUSED, severity=severity, incident=incident))
    return said


def _of_success(db: Db, entry: HistoryEntry, now: datetime) -> Sequence[_Said]:
    ended = entry.execution
    said = [_Said(topic=Topic.SUCCESS, severity=Severity.INFO)]
    if entry.counts.rejected:
        day = f"rejected:{ended.sync_id}:{now:%Y-%m-%d}"
        said.append(_Said(topic=Topic.WARNING, severity=Severity.WARNING, cause=day))
    for incident in incidents.open_of_sync(db, ended.sync_id, tenant_id=ended.tenant_id):
        left = incidents.release(db, incident, ended.sync_id, tenant_id=ended.tenant_id)
        about = f"incident:{incident.id}:{Topic.RECOVERED}"
        if left == 0:
            incidents.resolve(db, incident.alarm.kind, incident.alarm.subject, now=now)
            inbox.resolve_incident(db, incident.id, now=now)
        said.append(
            _Said(
                topic=Topic.RECOVERED,
                severity=Severity.INFO,
                cause=about if left == 0 else f"{about}:{ended.sync_id}",
                incident=incident,
                seen=left,
                tags_left=incidents.tags_affected(db, incident.id, tenant_id=ended.tenant_id),
            )
        )
    return said


def _of_schema(entry: HistoryEntry) -> Iterator[_Said]:
    """That the destination's columns have changed, and which."""
    changes: Mapping[str, Mapping[str, Sequence[str]]] = entry.metadata.get("schema_changes", {})
    if not changes:
        return
    parts = [
        f"{stream}: {what} {', '.join(columns)}"
        for stream, of_stream in changes.items()
        for what, columns in of_stream.items()
        if columns
    ]
    yield _Said(
        topic=Topic.SCHEMA_CHANGE,
        severity=Severity.WARNING,
        more={
            "headline": f"The columns of {_name(entry.execution)} have changed",
            "message": "; ".join(parts),
            "schema_changes": changes,
        },
    )


def _wants(rule: Subscription, said: _Said) -> bool:
    if said.topic not in rule.topics:
        return False
    if said.topic is Topic.ESCALATED:
        return said.seen is not None and said.seen >= rule.escalate_after
    if said.topic is Topic.RECOVERED and rule.channel.is_for_people:
        if rule.is_wide:
            return said.seen == 0
        return rule.tag not in said.tags_left
    return True


def _addressed(
    db: Db, entry: HistoryEntry, chosen: Sequence[tuple[Subscription, _Said]], *, at: datetime
) -> Iterator[Addressed]:
    ended = entry.execution
    facts = of_execution(
        entry,
        reporting.around(db, ended.sync_id, tenant_id=ended.tenant_id, before=at),
    )
    tenant, _, _ = ended.sync_key.partition("/")
    for rule, said in chosen:
        is_of_attempt = said.topic is Topic.RETRYING
        by_cause = said.cause is not None and (rule.channel.is_for_people or is_of_attempt)
        event_id = said.cause if by_cause else f"execution:{ended.id}:{said.topic}"
        assert event_id is not None
        about = {} if said.incident is None else {"incident": of_incident(said.incident)}
        payload = envelope(
            event_id=event_id,
            topic=said.topic,
            severity=said.severity,
            at=at,
            tenant=tenant,
        )
        notice = Notice(
            event_id=event_id,
            topic=said.topic,
            severity=said.severity,
            at=at,
            payload={**payload, **facts, **about, **said.more},
        )
        yield Addressed(to=rule, notice=notice, incident_id=_id(said.incident))


def _alarm(entry: HistoryEntry, severity: Severity) -> Alarm:
    ended = entry.execution
    error_class = str((entry.error_details or {}).get("error_class", "unexpected"))
    message = entry.error_message or "it failed without a word"
    return Alarm(
        kind=Kind.FAILING,
        subject=cause_of(ended, error_class),
        message=message,
        remedy=remedy(error_class, message),
        tenant_id=ended.tenant_id,
        severity=severity,
        details={"connection": ended.connection, "error_class": error_class},
    )


def _about_sync(db: Db, one: Execution) -> Sequence[Subscription]:
    return subscriptions(
        db, tenant_id=one.tenant_id, sync_id=one.sync_id, schedule_id=one.schedule_id
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


def _name(one: Execution) -> str:
    return one.sync_key.partition("/")[2]


def _id(incident: Incident | None) -> UUID | None:
    return None if incident is None else incident.id
