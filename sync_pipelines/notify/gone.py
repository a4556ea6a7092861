"""Switches a rule off whose receiver wants no more of it, and tells who can mend that.

Law: a rule never falls silent unseen. The tenant's admins find it in their inboxes.
"""

from datetime import datetime

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import inbox, notifications, reporting, users
from sync_pipelines.catalog.inbox import Told
from sync_pipelines.model.notification import Notice, Rule, Severity, Topic
from sync_pipelines.notify.payloads import envelope


def switch_off(db: Db, rule: Rule, *, reason: str, now: datetime) -> None:
    """Send nothing by a rule until somebody stores it again; say so, and why."""
    if not notifications.pause_rule(db, rule, reason=reason, now=now):
        return
    event_id = f"rule:{rule.id}:off:{now.isoformat()}"
    payload = envelope(
        event_id=event_id,
        topic=Topic.WARNING,
        severity=Severity.WARNING,
        at=now,
        tenant=reporting.tenant_name(db, rule.tenant_id),
    )
    said = (
        f"the rule {rule.name!r} is off: {rule.shown or rule.channel} answered {reason}. "
        "Once it takes messages again, store the rule again"
    )
    notice = Notice(
        event_id=event_id,
        topic=Topic.WARNING,
        severity=Severity.WARNING,
        at=now,
        payload={**payload, "message": said, "path": "/notifications"},
    )
    told = [
        Told(
            tenant_id=rule.tenant_id,
            user_id=user_id,
            rule_id=rule.id,
            notice=notice,
            incident_id=None,
        )
        for user_id in users.admins(db, tenant_id=rule.tenant_id)
    ]
    inbox.put(db, told, now=now)
