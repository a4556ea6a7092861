"""Between rules and preferences and the rows that keep them.

Law: what a row tells without its secrets is enough to know whom to tell of what.
"""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping

from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.model.endpoint import Secret
from sync_pipelines.model.notification import (
    Channel,
    DigestTime,
    Every,
    Preferences,
    QuietHours,
    Rule,
    Scope,
    Subscription,
    Topic,
)

AT_A_URL = (Channel.WEBHOOK, Channel.APPRISE)
"""What these channels send to is one URL, and a secret."""

LOST = ("",)
"""Stands for the URL of a rule whose key is lost, for who will replace it."""


def subscription_from_row(row: RowMapping) -> Subscription:
    """As much of a rule as is no secret."""
    channel = Channel(row["channel"])
    gone = set(row["unsubscribed"])
    named = tuple(one for one in row["recipients"] if one not in gone)
    return Subscription(
        rule_id=row["id"],
        tenant_id=row["tenant_id"],
        channel=channel,
        topics=_topics(row["events"]),
        told=(row["config"]["shown"],) if channel in AT_A_URL else named,
        quiet=quiet_from_json(row["quiet_hours"]),
        since=row["created_at"],
        is_wide=row["scope"] == Scope.TENANT,
        tag=row["tag"],
        sync_id=row["sync_id"],
        **_from_config(row["config"]),
    )


def rule_from_row(row: RowMapping, box: SecretBox) -> Rule:
    """A rule with its secrets; a forgiving box leaves out those that it cannot open."""
    held: Any = box.open(row["secrets"]) if row["secrets"] else {}
    channel = Channel(row["channel"])
    return Rule(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        channel=channel,
        scope=Scope(row["scope"]),
        sync_id=row["sync_id"],
        schedule_id=row["schedule_id"],
        tag=row["tag"],
        topics=_topics(row["events"]),
        recipients=tuple(row["recipients"]),
        targets=tuple(held.get("targets", LOST if channel in AT_A_URL else ())),
        signing=tuple(
            Secret(
                value=one["value"],
                until=datetime.fromisoformat(one["until"]) if one["until"] else None,
            )
            for one in held.get("signing", ())
        ),
        quiet=quiet_from_json(row["quiet_hours"]),
        unsubscribed=tuple(row["unsubscribed"]),
        is_active=row["is_active"],
        paused=row["pause_reason"],
        shown=row["config"].get("shown"),
        **_from_config(row["config"]),
    )


def rule_values(rule: Rule, box: SecretBox, *, now: datetime) -> dict[str, Any]:
    """A rule's columns, but for those by which it is found."""
    return {
        "scope": rule.scope,
        "sync_id": rule.sync_id,
        "schedule_id": rule.schedule_id,
        "tag": rule.tag,
        "channel": rule.channel,
        "events": [str(topic) for topic in rule.topics],
        "recipients": list(rule.recipients),
        "config": _config(rule),
        "quiet_hours": quiet_to_json(rule.quiet),
        "unsubscribed": list(rule.unsubscribed),
        "is_active": rule.is_active,
        "pause_reason": rule.paused,
        "updated_at": now,
        **_sealed(box, rule),
    }


def preferences_from_row(row: Mapping[str, Any]) -> Preferences:
    """What a user wants; a row that is not there, joined as NULLs, wants nothing special."""
    return Preferences(
        timezone=row["timezone"],
        quiet=quiet_from_json(row["quiet_hours"]),
        muted=_topics(row["muted"] or ()),
        muted_channels=tuple(Channel(one) for one in row["muted_channels"] or ()),
        muted_rules=tuple(UUID(one) for one in row["muted_rules"] or ()),
    )


def preference_values(preferences: Preferences) -> dict[str, Any]:
    """Their columns."""
    return {
        "timezone": preferences.timezone,
        "quiet_hours": quiet_to_json(preferences.quiet),
        "muted": [str(topic) for topic in preferences.muted],
        "muted_channels": [str(channel) for channel in preferences.muted_channels],
        "muted_rules": [str(rule_id) for rule_id in preferences.muted_rules],
    }


def quiet_from_json(value: Mapping[str, Any] | None) -> QuietHours | None:
    """Quiet hours as they are kept."""
    if value is None:
        return None
    return QuietHours(
        start=time.fromisoformat(value["start"]),
        end=time.fromisoformat(value["end"]),
        timezone=value["timezone"],
    )


def quiet_to_json(quiet: QuietHours | None) -> dict[str, str] | None:
    """The inverse of `quiet_from_json`."""
    if quiet is None:
        return None
    start, end = quiet.start.isoformat(), quiet.end.isoformat()
    return {"start": start, "end": end, "timezone": quiet.timezone}


def _topics(written: Any) -> tuple[Topic, ...]:
    return tuple(Topic(topic) for topic in written)


def _config(rule: Rule) -> dict[str, Any]:
    digest = rule.digest
    return {
        "shown": rule.shown,
        "escalate_after": rule.escalate_after,
        "remind_after_seconds": int(rule.remind_after.total_seconds()),
        "digest": {
            "every": str(digest.every),
            "at": digest.at.isoformat(),
            "weekday": digest.weekday,
            "timezone": digest.timezone,
            "when_empty": digest.when_empty,
        },
    }


def _from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    digest = config["digest"]
    return {
        "escalate_after": config["escalate_after"],
        "remind_after": timedelta(seconds=config["remind_after_seconds"]),
        "digest": DigestTime(
            every=Every(digest["every"]),
            at=time.fromisoformat(digest["at"]),
            weekday=digest["weekday"],
            timezone=digest["timezone"],
            when_empty=digest["when_empty"],
        ),
    }


def _sealed(box: SecretBox, rule: Rule) -> dict[str, str | None]:
    if not rule.targets:
        return {"secrets": None, "secrets_key_id": None}
    signing = [
        {"value": one.value, "until": one.until.isoformat() if one.until else None}
        for one in rule.signing
    ]
    sealed = box.seal({"targets": list(rule.targets), "signing": signing})
    return {"secrets": sealed, "secrets_key_id": box.key_id}
