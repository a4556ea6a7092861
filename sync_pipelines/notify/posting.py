"""Addresses a notice: to whom by which rule, and when at the earliest.

Law: in the transaction of what is told. What a recipient has been told is not told again,
by the notice's id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import inbox, outbox
from sync_pipelines.catalog.inbox import Told
from sync_pipelines.catalog.notifications import Person, people
from sync_pipelines.catalog.outbox import Posted
from sync_pipelines.model.notification import Channel, Notice, Severity, Subscription, Topic
from sync_pipelines.notify.quiet import undisturbed

GATHERING = timedelta(seconds=5)
"""A message of an incident waits so long, and then says how many syncs it affects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A notice for one rule. ``incident_id`` is what it is about, if it is about one."""

    to: Subscription
    notice: Notice
    incident_id: UUID | None = None


def post(db: Db, addressed: Iterable[Addressed], *, now: datetime) -> int:
    """Put notices into the outbox and into inboxes; how many messages were new."""
    by_tenant: dict[UUID, list[Addressed]] = {}
    for one in addressed:
        by_tenant.setdefault(one.to.tenant_id, []).append(one)
    new = 0
    for tenant_id, mine in by_tenant.items():
        named = {address for one in mine for address in one.to.told}
        known = people(db, named, tenant_id=tenant_id)
        posted = [
            message
            for one in mine
            if one.to.channel is not Channel.IN_APP
            for message in _posted(one, known, now)
        ]
        new += outbox.post(db, posted, now=now)
        new += inbox.put(db, list(_told(mine, known)), now=now)
    return new


def _posted(one: Addressed, known: Mapping[str, Person], now: datetime) -> Iterable[Posted]:
    to, notice = one.to, one.notice
    for recipient in to.told:
        person = known.get(recipient)
        if person is not None and not wants(person, one):
            continue
        yield Posted(
            tenant_id=to.tenant_id,
            rule_id=to.rule_id,
            channel=to.channel,
            recipient=recipient,
            notice=notice,
            not_before=_not_before(one, person, now),
        )


def _told(addressed: Iterable[Addressed], known: Mapping[str, Person]) -> Iterable[Told]:
    for one in addressed:
        if one.to.channel is not Channel.IN_APP:
            continue
        for recipient in one.to.told:
            person = known.get(recipient)
            if person is not None and wants(person, one):
                yield Told(
                    tenant_id=one.to.tenant_id,
                    user_id=person.user_id,
                    rule_id=one.to.rule_id,
                    notice=one.notice,
                    incident_id=one.incident_id,
                )


def wants(person: Person, one: Addressed) -> bool:
    """Whether somebody wants to hear of it in this way."""
    to = one.to
    return person.preferences.want(one.notice.topic, channel=to.channel, rule_id=to.rule_id)


def _not_before(one: Addressed, person: Person | None, now: datetime) -> datetime:
    """Now; people a moment later, of an incident, and not in quiet hours if that can wait."""
    if not one.to.channel.is_quiet_at_night:
        return now
    at = now if one.incident_id is None else now + GATHERING
    if one.notice.severity is Severity.CRITICAL or one.notice.topic is Topic.TEST:
        return at
    return undisturbed(at, (one.to.quiet, person.preferences.quiet if person else None))
