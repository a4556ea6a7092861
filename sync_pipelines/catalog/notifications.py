"""Rules: who is told of what; and how each user wants to be told.

Law: a target (a webhook's URL, an Apprise URL) may be a secret, and is encrypted as one.
What decides whom to tell opens none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import Select, Text, and_, cast, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from sync_pipelines.catalog.rule_codec import (
    preference_values,
    preferences_from_row,
    rule_from_row,
    rule_values,
    subscription_from_row,
)
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.syncs import NotFoundError, missing
from sync_pipelines.catalog.tables import (
    MembershipRow,
    PreferenceRow,
    RuleRow,
    ScheduleRow,
    SyncRow,
    UserRow,
)
from sync_pipelines.model.notification import Preferences as Preferences
from sync_pipelines.model.notification import Rule, Scope, Subscription, Topic

_FINDABLE = (RuleRow.is_active, RuleRow.pause_reason.is_(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user whom a rule tells, and how they want it."""

    user_id: UUID
    email: str
    preferences: Preferences


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleListed:
    """A rule, with the names of the sync or the schedule (``sync/name``) that it is about."""

    rule: Rule
    sync: str | None
    schedule: str | None
    created_at: datetime
    updated_at: datetime


def put_rule(db: Db, secrets: SecretBox, rule: Rule, *, now: datetime) -> UUID:
    """Make a rule, or store it anew by its name; its id.

    Its sync or schedule must be its tenant's: the tables' keys see to that.
    """
    values = rule_values(rule, secrets, now=now)
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
    return rule_from_row(row, secrets)


def get_rule(db: Db, secrets: SecretBox, rule_id: UUID, *, tenant_id: UUID) -> RuleListed | None:
    """A tenant's rule by its id, or None. A rule whose key is lost has no target."""
    query = listed_rules().where(RuleRow.tenant_id == tenant_id, RuleRow.id == rule_id)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else listed_rule_from_row(row, secrets)


def list_rules(db: Db, secrets: SecretBox, *, tenant_id: UUID) -> list[Rule]:
    """A tenant's rules by name."""
    query = select(RuleRow.__table__).where(RuleRow.tenant_id == tenant_id).order_by(RuleRow.name)
    return [rule_from_row(row, secrets) for row in db.execute(query).mappings()]


def all_rules(db: Db, secrets: SecretBox, *, tenant_id: UUID) -> list[RuleListed]:
    """The same, with the names of what they are about."""
    query = listed_rules().where(RuleRow.tenant_id == tenant_id).order_by(RuleRow.name)
    return [listed_rule_from_row(row, secrets) for row in db.execute(query).mappings()]


def listed_rules() -> Select[Any]:
    """Rules with what `listed_rule_from_row` needs besides."""
    its_sync = aliased(SyncRow)
    of_schedule = select(its_sync.name).where(its_sync.id == ScheduleRow.sync_id).scalar_subquery()
    return (
        select(
            RuleRow.__table__,
            SyncRow.name.label("sync_name"),
            func.concat(of_schedule, "/", ScheduleRow.name).label("schedule_name"),
        )
        .outerjoin(SyncRow, SyncRow.id == RuleRow.sync_id)
        .outerjoin(ScheduleRow, ScheduleRow.id == RuleRow.schedule_id)
    )


def listed_rule_from_row(row: Any, secrets: SecretBox) -> RuleListed:
    """A row of `listed_rules`."""
    return RuleListed(
        rule=rule_from_row(row, secrets.forgiving()),
        sync=row["sync_name"],
        schedule=row["schedule_name"] if row["schedule_id"] else None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def remove_rule(db: Db, rule_id: UUID, *, tenant_id: UUID) -> bool:
    """Tell nobody by a rule any more; what is on its way is dropped. False if there is none."""
    mine = (RuleRow.id == rule_id, RuleRow.tenant_id == tenant_id)
    return db.execute(delete(RuleRow).where(*mine)).rowcount == 1


def rules_for_all_tenants(
    db: Db, secrets: SecretBox, rule_ids: Iterable[UUID]
) -> Mapping[UUID, Rule]:
    """Rules by their ids, those that may send. For all tenants, as deliveries are made.

    Members who have unsubscribed are among its ``unsubscribed``.
    """
    left = (
        select(func.array_agg(UserRow.email))
        .join(PreferenceRow, PreferenceRow.user_id == UserRow.id)
        .where(
            PreferenceRow.tenant_id == RuleRow.tenant_id,
            PreferenceRow.muted_rules.bool_op("?")(cast(RuleRow.id, Text)),
        )
        .scalar_subquery()
    )
    query = select(RuleRow.__table__, left.label("left"))
    found = db.execute(query.where(RuleRow.id.in_(set(rule_ids)), *_FINDABLE)).mappings()
    rules = ((rule_from_row(row, secrets), row["left"] or ()) for row in found)
    return {one.id: replace(one, unsubscribed=(*one.unsubscribed, *more)) for one, more in rules}


def pause_rule(db: Db, rule: Rule, *, reason: str, now: datetime) -> bool:
    """Send nothing by a rule until somebody stores it again; False if that was so before."""
    mine = (RuleRow.id == rule.id, RuleRow.tenant_id == rule.tenant_id)
    goes_on = update(RuleRow).where(*mine, RuleRow.pause_reason.is_(None))
    return db.execute(goes_on.values(pause_reason=reason, updated_at=now)).rowcount == 1


def unsubscribe_for_all_tenants(db: Db, rule_id: UUID, address: str, *, now: datetime) -> bool:
    """Send an address no more mail by a rule; False if the rule is gone.

    A member's wish stands in their preferences, where they can take it back; another's
    with the rule. For all tenants, because whoever follows the link of a mail need not be
    a user.
    """
    tenant_id = db.scalar(select(RuleRow.tenant_id).where(RuleRow.id == rule_id))
    if tenant_id is None:
        return False
    person = people(db, [address], tenant_id=tenant_id).get(address)
    if person is not None:
        _mute_rule(db, person, rule_id, tenant_id=tenant_id, now=now)
        return True
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
    is_tagged = exists().where(
        SyncRow.id == sync_id,
        SyncRow.tenant_id == tenant_id,
        SyncRow.tags.bool_op("?")(RuleRow.tag),
    )
    about = or_(
        RuleRow.scope == Scope.TENANT,
        and_(RuleRow.scope == Scope.SYNC, RuleRow.sync_id == sync_id),
        and_(RuleRow.scope == Scope.SCHEDULE, RuleRow.schedule_id == schedule_id),
        and_(RuleRow.scope == Scope.TAG, is_tagged),
    )
    return _subscriptions(db, _subscribed().where(RuleRow.tenant_id == tenant_id, about))


def subscriptions_for_all_tenants(db: Db, topic: Topic) -> list[Subscription]:
    """Every rule that tells of a topic; for all tenants, as what concerns them all is told."""
    return _subscriptions(db, _subscribed().where(RuleRow.events.contains([str(topic)])))


def people(db: Db, addresses: Iterable[str], *, tenant_id: UUID) -> Mapping[str, Person]:
    """Those of some addresses that are a tenant's users, by address."""
    query = (
        select(UserRow.id, UserRow.email, *_PREFERENCES)
        .join(MembershipRow, MembershipRow.user_id == UserRow.id)
        .outerjoin(
            PreferenceRow,
            and_(PreferenceRow.user_id == UserRow.id, PreferenceRow.tenant_id == tenant_id),
        )
        .where(MembershipRow.tenant_id == tenant_id, UserRow.email.in_(set(addresses)))
    )
    return {
        row["email"]: Person(
            user_id=row["id"], email=row["email"], preferences=preferences_from_row(dict(row))
        )
        for row in db.execute(query).mappings()
    }


def find_preferences(db: Db, user_id: UUID, *, tenant_id: UUID) -> Preferences:
    """How a user wants to be told by a tenant; who has said nothing wants what rules say."""
    query = select(*_PREFERENCES).where(
        PreferenceRow.user_id == user_id, PreferenceRow.tenant_id == tenant_id
    )
    row = db.execute(query.with_for_update()).mappings().one_or_none()
    return Preferences() if row is None else preferences_from_row(dict(row))


def put_preferences(
    db: Db, user_id: UUID, preferences: Preferences, *, tenant_id: UUID, now: datetime
) -> None:
    """Store how a user wants to be told by a tenant.

    What waits for them heeds it when it is due; see `outbox.look_again`.
    """
    values = {**preference_values(preferences), "updated_at": now}
    db.execute(
        insert(PreferenceRow)
        .values(user_id=user_id, tenant_id=tenant_id, **values)
        .on_conflict_do_update(index_elements=["user_id", "tenant_id"], set_=values)
    )


_PREFERENCES: tuple[Any, ...] = (
    PreferenceRow.timezone,
    PreferenceRow.quiet_hours,
    PreferenceRow.muted,
    PreferenceRow.muted_channels,
    PreferenceRow.muted_rules,
)


def _mute_rule(db: Db, person: Person, rule_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    """One statement, so that what the person saves at the same moment is not lost."""
    fresh = {"user_id": person.user_id, "tenant_id": tenant_id, "updated_at": now}
    without = PreferenceRow.muted_rules.op("-")(cast(str(rule_id), Text))
    more = without.op("||")(func.jsonb_build_array(str(rule_id)))
    db.execute(
        insert(PreferenceRow)
        .values(**fresh, muted_rules=[str(rule_id)])
        .on_conflict_do_update(
            index_elements=["user_id", "tenant_id"], set_={"muted_rules": more, "updated_at": now}
        )
    )


def _subscribed() -> Select[Any]:
    columns = (column for column in RuleRow.__table__.c if column.name != "secrets")
    return select(*columns).where(*_FINDABLE)


def _subscriptions(db: Db, query: Select[Any]) -> list[Subscription]:
    return [subscription_from_row(row) for row in db.execute(query.order_by(RuleRow.id)).mappings()]
