"""What people do to rules: store, remove, try; each with its row in the audit.

Law: a rule is checked before it is stored, and its secrets are in no row of the audit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection as Db

from connectors.errors import ConfigError
from connectors.http.addresses import Resolve, system_resolve
from sync_pipelines.catalog import audit, notifications, reporting
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.model.endpoint import Secret
from sync_pipelines.model.notification import (
    Channel,
    DigestTime,
    Notice,
    Rule,
    Severity,
    Subscription,
    Topic,
)
from sync_pipelines.notify.digests import digest, period
from sync_pipelines.notify.payloads import envelope
from sync_pipelines.notify.posting import Addressed, post
from sync_pipelines.notify.sending import Outgoing
from sync_pipelines.notify.targets import check_rule, new_signing_secret, rotated


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who does it, and when."""

    actor: str
    now: datetime


def store_rule(
    db: Db,
    secrets: SecretBox,
    rule: Rule,
    by: By,
    *,
    rng: Random,
    allow_private: bool = False,
    resolve: Resolve = system_resolve,
) -> Rule:
    """Check a rule, and make it or store it anew by its name; as it is then.

    A webhook gets a signing secret if it has none. What a rule of that name had, stays: who
    has unsubscribed, and the secrets. `ConfigError` names what is wrong.
    """
    checked = check_rule(rule, allow_private=allow_private, resolve=resolve)
    for before in notifications.list_rules(db, secrets, tenant_id=rule.tenant_id):
        if before.name == rule.name:
            checked = replace(
                checked,
                signing=checked.signing or before.signing,
                unsubscribed=checked.unsubscribed or before.unsubscribed,
            )
    if checked.channel is Channel.WEBHOOK and not checked.signing:
        checked = replace(checked, signing=(new_signing_secret(rng),))
    rule_id = notifications.put_rule(db, secrets, checked, now=by.now)
    _record(db, "notifications.rule_stored", checked, by, after=described(checked))
    return replace(checked, id=rule_id)


def remove_rule(db: Db, rule: Rule, by: By) -> None:
    """Tell nobody by a rule any more; what is on its way is dropped."""
    notifications.remove_rule(db, rule.id, tenant_id=rule.tenant_id)
    _record(db, "notifications.rule_removed", rule, by, before=described(rule))


def rotate_signing(db: Db, secrets: SecretBox, rule: Rule, by: By, *, rng: Random) -> Secret:
    """Give a webhook a fresh signing secret; the one before signs beside it for a day."""
    fresh = new_signing_secret(rng)
    notifications.put_rule(db, secrets, rotated(rule, fresh, now=by.now), now=by.now)
    _record(db, "notifications.secret_rotated", rule, by)
    return fresh


def send_test(db: Db, rule: Rule, by: By) -> int:
    """Put a test into the outbox, to all whom a rule tells; to how many."""
    event_id = f"test:{uuid4()}"
    payload = envelope(
        event_id=event_id,
        topic=Topic.TEST,
        severity=Severity.INFO,
        at=by.now,
        tenant=reporting.tenant_name(db, rule.tenant_id),
    )
    said = f"If you can read this, the rule {rule.name!r} reaches you."
    notice = Notice(
        event_id=event_id,
        topic=Topic.TEST,
        severity=Severity.INFO,
        at=by.now,
        payload={**payload, "message": said, "path": "/notifications"},
    )
    # In quiet hours too: whoever tries a rule is awake.
    return post(
        db, [Addressed(to=replace(_subscription(db, rule), quiet=None), notice=notice)], now=by.now
    )


def preview_digest(db: Db, tenant_id: UUID, when: DigestTime, now: datetime) -> Outgoing:
    """The digest that ended last, as it would be sent to somebody."""
    notice = digest(db, tenant_id, None, when, period(when, now))
    rule = Rule(
        id=tenant_id,
        tenant_id=tenant_id,
        name="preview",
        channel=Channel.EMAIL,
        topics=(Topic.DIGEST,),
        recipients=("you@example.com",),
    )
    return Outgoing(
        event_id=notice.event_id,
        topic=Topic.DIGEST,
        recipient="you@example.com",
        payload=notice.payload,
        rule=rule,
        url="/syncs",
        zone=when.timezone,
        unsubscribe="",
    )


def described(rule: Rule) -> dict[str, Any]:
    """A rule for people and programs, without its secrets."""
    quiet = rule.quiet
    return {
        "name": rule.name,
        "channel": str(rule.channel),
        "scope": str(rule.scope),
        "sync_id": str(rule.sync_id) if rule.sync_id else None,
        "schedule_id": str(rule.schedule_id) if rule.schedule_id else None,
        "tag": rule.tag,
        "topics": [str(topic) for topic in rule.topics],
        "recipients": list(rule.recipients),
        "target": rule.shown,
        "quiet_hours": f"{quiet.start:%H:%M}-{quiet.end:%H:%M} {quiet.timezone}" if quiet else None,
        "digest": f"{rule.digest.every} at {rule.digest.at:%H:%M} {rule.digest.timezone}",
        "escalate_after": rule.escalate_after,
        "remind_after_hours": rule.remind_after.total_seconds() / 3600,
        "unsubscribed": list(rule.unsubscribed),
        "is_active": rule.is_active,
        "paused": rule.paused,
    }


def _subscription(db: Db, rule: Rule) -> Subscription:
    mine = notifications.subscriptions(
        db, tenant_id=rule.tenant_id, sync_id=rule.sync_id, schedule_id=rule.schedule_id
    )
    for one in mine:
        if one.rule_id == rule.id:
            return one
    raise ConfigError(f"rule {rule.name!r} sends nothing: {rule.paused or 'it is switched off'}")


def _record(
    db: Db,
    action: str,
    rule: Rule,
    by: By,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    audit.record(
        db,
        at=by.now,
        actor=by.actor,
        action=action,
        subject=f"rule {rule.name}",
        tenant_id=rule.tenant_id,
        before=before,
        after=after,
    )
