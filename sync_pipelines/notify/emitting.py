"""Tells of outcomes: decides what there is to tell, and to which rules.

Laws:

* Of an outcome once: in the transaction that settles it, or else in the one that follows it up.
* Only outcomes are failures. An attempt that is tried again is none (R102), and told only
  to who asked for just that.
* Failures of one connection and one class of error have one cause: one incident. People
  hear of it once, when it begins, and once, when it is over; programs of each outcome.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import history, inbox, incidents, reporting
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.incidents import Alarm, Incident, Kind
from sync_pipelines.catalog.notifications import subscriptions
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.notification import Notice, Severity, Subscription, Topic
from sync_pipelines.notify.payloads import envelope, of_execution, of_incident
from sync_pipelines.notify.posting import Addressed, post
from sync_pipelines.notify.remedies import remedy


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


def tell_of(db: Db, ended: Execution, now: datetime, *, is_first: bool) -> None:
    """Tell of an execution's outcome whoever wants to know, and keep the incidents of causes.

    To be called once for each outcome. ``is_first``: no failure of its sync since it last
    succeeded was before it. Who moved data into another place to look at it first, or
    stopped it, knows by themselves. An incident is held last, so that others wait little.
    """
    if ended.request.into is not None or ended.status is Status.CANCELLED:
        return
    entry = history.find(db, ended.id, tenant_id=ended.tenant_id)
    assert entry is not None
    rules = _about_sync(db, ended)
    at = ended.completed_at or now
    facts = _facts(db, entry, at=at) if rules else {}
    if ended.status is Status.COMPLETED:
        said = _of_success(db, entry, now)
    else:
        said = _of_failure(db, entry, now, is_first=is_first)
    said = [*said, *_of_schema(entry)]
    chosen = [(rule, one) for one in said for rule in rules if _wants(rule, one)]
    if chosen:
        post(db, _addressed(entry, facts, chosen, at=at), now=now)


def tell_of_opening(db: Db, ended: Execution, now: datetime) -> None:
    """Tell that a sync's breaker has opened by a failure, whose incident is not held for it.

    To be called once, in the transaction that opens it.
    """
    rules = [rule for rule in _about_sync(db, ended) if Topic.PAUSED in rule.topics]
    if not rules:
        return
    entry = history.find(db, ended.id, tenant_id=ended.tenant_id)
    assert entry is not None
    alarm = _alarm(entry, Severity.CRITICAL)
    incident = incidents.find_open(db, alarm.kind, alarm.subject, tenant_id=ended.tenant_id)
    said = _Said(topic=Topic.PAUSED, severity=alarm.severity, incident=incident)
    _post_alike(db, entry, rules, said, at=ended.completed_at or now, now=now)


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
    _post_alike(db, entry, rules, said, at=now, now=now)


def cause_of(ended: Execution, error_class: str) -> str:
    """What failures with one cause share: the connection and the class of error."""
    tenant, _, _ = ended.sync_key.partition("/")
    return f"{tenant}/{ended.connection}: {error_class}"


def _of_failure(db: Db, entry: HistoryEntry, now: datetime, *, is_first: bool) -> Sequence[_Said]:
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
    if is_first:
        said.append(_Said(topic=Topic.FIRST_FAILURE, severity=severity, incident=incident))
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


def _post_alike(
    db: Db,
    entry: HistoryEntry,
    rules: Sequence[Subscription],
    said: _Said,
    *,
    at: datetime,
    now: datetime,
) -> None:
    facts = _facts(db, entry, at=at)
    post(db, _addressed(entry, facts, [(rule, said) for rule in rules], at=at), now=now)


def _facts(db: Db, entry: HistoryEntry, *, at: datetime) -> Mapping[str, Any]:
    ended = entry.execution
    around = reporting.around(db, ended.sync_id, tenant_id=ended.tenant_id, before=at)
    return of_execution(entry, around)


def _addressed(
    entry: HistoryEntry,
    facts: Mapping[str, Any],
    chosen: Sequence[tuple[Subscription, _Said]],
    *,
    at: datetime,
) -> Iterator[Addressed]:
    ended = entry.execution
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


def _name(one: Execution) -> str:
    return one.sync_key.partition("/")[2]


def _id(incident: Incident | None) -> UUID | None:
    return None if incident is None else incident.id
