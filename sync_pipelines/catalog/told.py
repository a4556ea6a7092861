"""Lists of a tenant's rules, messages, deliveries and incidents, page by page."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import inbox, incidents, outbox
from sync_pipelines.catalog.happenings import TimeSort
from sync_pipelines.catalog.inbox import Message, WhichMessages
from sync_pipelines.catalog.incidents import Incident, Kind
from sync_pipelines.catalog.listing import NameSort
from sync_pipelines.catalog.notifications import (
    RuleListed,
    listed_rule_from_row,
    listed_rules,
)
from sync_pipelines.catalog.outbox import Delivery, DeliveryState
from sync_pipelines.catalog.paging import Key, Listed, equal, listed, order_of, page
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.tables import InboxRow, IncidentRow, OutboxRow, RuleRow, SyncRow
from sync_pipelines.model.notification import Channel, Topic


class OpenSort(StrEnum):
    """What incidents are sorted by: when they began."""

    OPENED = "opened_at"
    OPENED_DOWN = "-opened_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichRules:
    """Which rules are meant; what is None does not matter. ``sync`` is its bare name."""

    channel: Channel | None = None
    sync: str | None = None
    tag: str | None = None
    is_active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichDeliveries:
    """Which deliveries are meant; what is None does not matter."""

    state: DeliveryState | None = None
    channel: Channel | None = None
    topic: Topic | None = None
    rule_id: UUID | None = None
    recipient: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichIncidents:
    """Which incidents are meant: those that are open, or over, or both where it is None."""

    is_open: bool | None = True
    kind: Kind | None = None


def list_rules(
    db: Db,
    secrets: SecretBox,
    which: WhichRules,
    *,
    tenant_id: UUID,
    sort: NameSort = NameSort.NAME,
    after: Key | None = None,
    limit: int,
) -> Listed[RuleListed]:
    """A tenant's rules."""
    wanted: dict[ColumnElement[Any], Any] = {
        RuleRow.channel.expression: which.channel,
        RuleRow.tag.expression: which.tag,
        RuleRow.is_active.expression: which.is_active,
        SyncRow.name.expression: which.sync,
    }
    query = listed_rules().where(RuleRow.tenant_id == tenant_id, *equal(wanted))
    by = {"name": RuleRow.name, "created_at": RuleRow.created_at}
    paged = page(db, query, order_of(sort, by, RuleRow.id), after=after, limit=limit)
    return listed(paged, partial(listed_rule_from_row, secrets=secrets))


def list_messages(
    db: Db,
    which: WhichMessages,
    *,
    tenant_id: UUID,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    after: Key | None = None,
    limit: int,
) -> Listed[Message]:
    """A user's messages."""
    query = select(InboxRow.__table__).where(
        InboxRow.tenant_id == tenant_id, *inbox.conditions(which)
    )
    by = {"created_at": InboxRow.created_at}
    paged = page(db, query, order_of(sort, by, InboxRow.id), after=after, limit=limit)
    return listed(paged, inbox.message_from_row)


def list_deliveries(
    db: Db,
    which: WhichDeliveries,
    *,
    tenant_id: UUID,
    sort: TimeSort = TimeSort.CREATED_DOWN,
    after: Key | None = None,
    limit: int,
) -> Listed[Delivery]:
    """What is on a tenant's way, has arrived, or was given up."""
    wanted: dict[ColumnElement[Any], Any] = {
        OutboxRow.state.expression: which.state,
        OutboxRow.channel.expression: which.channel,
        OutboxRow.event.expression: which.topic,
        OutboxRow.rule_id.expression: which.rule_id,
        OutboxRow.recipient.expression: which.recipient,
    }
    query = select(OutboxRow.__table__).where(OutboxRow.tenant_id == tenant_id, *equal(wanted))
    by = {"created_at": OutboxRow.created_at}
    paged = page(db, query, order_of(sort, by, OutboxRow.id), after=after, limit=limit)
    return listed(paged, outbox.delivery_of)


def list_incidents(
    db: Db,
    which: WhichIncidents,
    *,
    tenant_id: UUID,
    sort: OpenSort = OpenSort.OPENED_DOWN,
    after: Key | None = None,
    limit: int,
) -> Listed[Incident]:
    """A tenant's own incidents."""
    query = select(IncidentRow.__table__).where(
        IncidentRow.tenant_id == tenant_id, *equal({IncidentRow.kind.expression: which.kind})
    )
    if which.is_open is not None:
        over = IncidentRow.resolved_at
        query = query.where(over.is_(None) if which.is_open else over.is_not(None))
    by = {"opened_at": IncidentRow.opened_at}
    paged = page(db, query, order_of(sort, by, IncidentRow.id), after=after, limit=limit)
    return listed(paged, incidents.incident_from_row)
