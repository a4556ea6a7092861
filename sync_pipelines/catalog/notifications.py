"""Rules: who is told of what; and how each user wants to be told.

Law: a target (a webhook's URL, an Apprise URL) may be a secret, and is encrypted as one.
What decides whom to tell opens none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, Text, and_, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.syncs import NotFoundError, missing
from sync_pipelines.catalog.tables import (
    MembershipRow,
    PreferenceRow,
    RuleRow,
    UserRow,
)
from sync_pipelines.model.endpoint import Secret
from sync_pipelines.model.notification import (
    Channel,
    DigestTime,
    Every,
    QuietHours,
    Rule,
    Scope,
    Subscription,
    Topic,
)

_FINDABLE = (RuleRow.is_active, RuleRow.pause_reason.is_(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a user wants to be told by a tenant. What is None is left to the rules."""

    timezone: str | None = None
    quiet: QuietHours | None = None
    muted: tuple[Topic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user whom a rule tells, and how they want it."""

    user_id: UUID
    email: str
    preferences: Preferences


def put_rule(db: Db, secrets: SecretBox, rule: Rule, *, now: datetime) -> UUID:
    """Make a rule, or store it anew by its name; its id.

    Its sync or schedule must be its tenant's: the tables' keys see to that.
    """
    values = {
        "scope": rule.scope,
        "sync_id": rule.sync_id,
        "schedule_id": rule.schedule_id,
        "channel": rule.channel,
        "events": [str(topic) for topic in rule.topics],
        "recipients": list(rule.recipients),
        "config": _config(rule),
        "quiet_hours": _quiet_to_json(rule.quiet),
        "unsubscribed": list(rule.unsubscribed),
        "is_active": rule.is_active,
        "pause_reason": rule.paused,
        "updated_at": now,
        **_sealed(secrets, rule),
    }
    statement = (
        insert(RuleRow)
        .values(id=rule.id, tenant_id=rule.tenant_id, name=rule.name, created_at=now, **values)
        .on_conflict_do_update(index_elements=["tenant_id", "name"], set_=values)
        .returning(RuleRow.id)
    )
    return db.execute(statement).scalar_one()


def find_rule(db: Db, secrets: SecretBox, name: str, *, tenant_id: UUID) -> Rule:
    """A tenant's rule by its name; `NotFoundError` names the nearest."""
    mine = RuleRow.tenant_id == tenant_id
    query = select(RuleRow.__table__).where(mine, RuleRow.name == name)
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        known = list(db.scalars(select(RuleRow.name).where(mine)))
        if not known:
            raise NotFoundError(f"no rule {name!r}; this tenant has no rules yet")
        raise missing("rule", name, known)
    return _rule(row, secrets)


def list_rules(db: Db, secrets: SecretBox, *, tenant_id: UUID) -> list[Rule]:
    """A tenant's rules by name."""
    query = select(RuleRow.__table__).where(RuleRow.tenant_id == tenant_id).order_by(RuleRow.name)
    return [_rule(row, secrets) for row in db.execute(query).mappings()]


def remove_rule(db: Db, rule_id: UUID, *, tenant_id: UUID) -> bool:
    """Tell nobody by a rule any more; what is on its way is dropped. False if there is none."""
    mine = (RuleRow.id == rule_id, RuleRow.tenant_id == tenant_id)
    return db.execute(delete(RuleRow).where(*mine)).rowcount == 1


def rules_for_all_tenants(
    db: Db, secrets: SecretBox, rule_ids: Iterable[UUID]
) -> Mapping[UUID, Rule]:
    """Rules by their ids, those that may send. For all tenants, as deliveries are made."""
    query = select(RuleRow.__table__).where(RuleRow.id.in_(set(rule_ids)), *_FINDABLE)
    return {row["id"]: _rule(row, secrets) for row in db.execute(query).mappings()}


def pause_rule(db: Db, rule: Rule, *, reason: str, now: datetime) -> bool:
    """Send nothing by a rule until somebody stores it again; False if that was so before."""
    mine = (RuleRow.id == rule.id, RuleRow.tenant_id == rule.tenant_id)
    goes_on = update(RuleRow).where(*mine, RuleRow.pause_reason.is_(None))
    return db.execute(goes_on.values(pause_reason=reason, updated_at=now)).rowcount == 1


def unsubscribe_for_all_tenants(db: Db, rule_id: UUID, address: str, *, now: datetime) -> bool:
    """Send an address no more mail by a rule; False if the rule is gone.

    For all tenants, because whoever follows the link of a mail need not be a user.
    """
    without = RuleRow.unsubscribed.op("-")(cast(address, Text))
    gone = without.op("||")(func.jsonb_build_array(address))
    values = {"unsubscribed": gone, "updated_at": now}
    return db.execute(update(RuleRow).where(RuleRow.id == rule_id).values(values)).rowcount == 1


def rotate_secrets_for_all_tenants(db: Db, secrets: SecretBox) -> int:
    """Re-encrypt every rule's targets under the newest key; how many there were.

    For all tenants, because a key belongs to the installation.
    """
    query = select(RuleRow.id, RuleRow.secrets).where(RuleRow.secrets.is_not(None))
    rows = db.execute(query.with_for_update()).all()
    for identity, token in rows:
        assert token is not None
        values = {"secrets": secrets.seal(secrets.open(token)), "secrets_key_id": secrets.key_id}
        db.execute(update(RuleRow).where(RuleRow.id == identity).values(values))
    return len(rows)


# --- whom to tell ------------------------------------------------------------------


def subscriptions(
    db: Db, *, tenant_id: UUID, sync_id: UUID | None = None, schedule_id: UUID | None = None
) -> list[Subscription]:
    """The rules of a tenant that are about something; about the tenant, if nothing is named."""
    about = or_(
        RuleRow.scope == Scope.TENANT,
        and_(RuleRow.scope == Scope.SYNC, RuleRow.sync_id == sync_id),
        and_(RuleRow.scope == Scope.SCHEDULE, RuleRow.schedule_id == schedule_id),
    )
    return _subscriptions(db, _subscribed().where(RuleRow.tenant_id == tenant_id, about))


def subscriptions_for_all_tenants(db: Db, topic: Topic) -> list[Subscription]:
    """Every rule that tells of a topic; for all tenants, as what concerns them all is told."""
    return _subscriptions(db, _subscribed().where(RuleRow.events.contains([str(topic)])))


def people(db: Db, addresses: Iterable[str], *, tenant_id: UUID) -> Mapping[str, Person]:
    """Those of some addresses that are a tenant's users, by address."""
    query = (
        select(UserRow.id, UserRow.email, PreferenceRow.__table__)
        .join(MembershipRow, MembershipRow.user_id == UserRow.id)
        .outerjoin(
            PreferenceRow,
            and_(PreferenceRow.user_id == UserRow.id, PreferenceRow.tenant_id == tenant_id),
        )
        .where(MembershipRow.tenant_id == tenant_id, UserRow.email.in_(set(addresses)))
    )
    return {
        row.email: Person(
            user_id=row.id,
            email=row.email,
            preferences=Preferences(
                timezone=row.timezone,
                quiet=quiet_from_json(row.quiet_hours),
                muted=tuple(Topic(topic) for topic in row.muted or ()),
            ),
        )
        for row in db.execute(query)
    }


def put_preferences(
    db: Db, user_id: UUID, preferences: Preferences, *, tenant_id: UUID, now: datetime
) -> None:
    """Store how a user wants to be told by a tenant."""
    values = {
        "timezone": preferences.timezone,
        "quiet_hours": _quiet_to_json(preferences.quiet),
        "muted": [str(topic) for topic in preferences.muted],
        "updated_at": now,
    }
    db.execute(
        insert(PreferenceRow)
        .values(user_id=user_id, tenant_id=tenant_id, **values)
        .on_conflict_do_update(index_elements=["user_id", "tenant_id"], set_=values)
    )


# --- how they are kept -------------------------------------------------------------


def quiet_from_json(value: Mapping[str, Any] | None) -> QuietHours | None:
    """Quiet hours as they are kept."""
    if value is None:
        return None
    return QuietHours(
        start=time.fromisoformat(value["start"]),
        end=time.fromisoformat(value["end"]),
        timezone=value["timezone"],
    )


def _subscribed() -> Select[Any]:
    columns = (column for column in RuleRow.__table__.c if column.name != "secrets")
    return select(*columns).where(*_FINDABLE)


def _subscriptions(db: Db, query: Select[Any]) -> list[Subscription]:
    return [_subscription(row) for row in db.execute(query.order_by(RuleRow.id)).mappings()]


def _subscription(row: RowMapping) -> Subscription:
    channel = Channel(row["channel"])
    gone = set(row["unsubscribed"])
    named = tuple(one for one in row["recipients"] if one not in gone)
    has_target = channel in (Channel.WEBHOOK, Channel.APPRISE)
    return Subscription(
        rule_id=row["id"],
        tenant_id=row["tenant_id"],
        channel=channel,
        topics=tuple(Topic(topic) for topic in row["events"]),
        told=(row["config"]["shown"],) if has_target else named,
        quiet=quiet_from_json(row["quiet_hours"]),
        since=row["created_at"],
        is_wide=row["scope"] == Scope.TENANT,
        sync_id=row["sync_id"],
        **_from_config(row["config"]),
    )


def _rule(row: RowMapping, box: SecretBox) -> Rule:
    held: Any = box.open(row["secrets"]) if row["secrets"] else {}
    return Rule(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        channel=Channel(row["channel"]),
        scope=Scope(row["scope"]),
        sync_id=row["sync_id"],
        schedule_id=row["schedule_id"],
        topics=tuple(Topic(topic) for topic in row["events"]),
        recipients=tuple(row["recipients"]),
        targets=tuple(held.get("targets", ())),
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


def _quiet_to_json(quiet: QuietHours | None) -> dict[str, str] | None:
    if quiet is None:
        return None
    start, end = quiet.start.isoformat(), quiet.end.isoformat()
    return {"start": start, "end": end, "timezone": quiet.timezone}
