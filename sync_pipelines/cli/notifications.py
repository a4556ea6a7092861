"""``notifications``: who is told of what, what was sent, and what would be."""

from typing import Annotated, TypeAlias
from uuid import UUID

import typer

from connectors.contract import Json
from sync_pipelines.catalog import inbox as inboxes
from sync_pipelines.catalog import outbox
from sync_pipelines.catalog.inbox import Message
from sync_pipelines.catalog.outbox import Delivery, DeliveryState
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.catalog.users import find_user, get_user
from sync_pipelines.cli import notification_rules
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.notification_rules import wall
from sync_pipelines.cli.output import (
    json_time,
    print_json,
    print_line,
    print_table,
    shown_time,
    tell,
)
from sync_pipelines.cli.thresholds import thresholds
from sync_pipelines.clock import system_clock
from sync_pipelines.model.notification import DigestTime, Every
from sync_pipelines.notify.digest_wording import worded_digest
from sync_pipelines.notify.ruling import preview_digest

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Who is told of what, and what was sent."
)
app.add_typer(notification_rules.app, name="rules")
app.command()(thresholds)

Tenant: TypeAlias = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]
Zone: TypeAlias = Annotated[str, typer.Option("--timezone", metavar="ZONE", help="An IANA zone.")]


@app.command()
def inbox(
    tenant: Tenant,
    user: Annotated[str | None, typer.Option("--user", metavar="EMAIL")] = None,
    every: Annotated[bool, typer.Option("--all", help="What is over, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What users were told inside the product, newest first."""
    with session() as opened, opened.catalog.begin() as db:
        found = inboxes.list_messages(
            db,
            tenant_id=find_tenant_id(db, tenant),
            now=system_clock(),
            user_id=find_user(db, user).id if user else None,
            every=every,
        )
        users = {one.user_id: get_user(db, one.user_id) for one in found}
    emails = {user_id: one.email for user_id, one in users.items() if one is not None}
    if as_json:
        print_json([_message_json(one, emails[one.user_id]) for one in found])
        return
    columns = ("at (UTC)", "user", "severity", "topic", "what", "read (UTC)", "over (UTC)")
    rows = [
        (
            shown_time(one.created_at),
            emails[one.user_id],
            str(one.severity),
            str(one.topic),
            str(one.payload.get("incident", one.payload).get("message", one.payload["id"])),
            shown_time(one.read_at),
            shown_time(one.resolved_at),
        )
        for one in found
    ]
    print_table(columns, rows, empty="no messages")


@app.command()
def deliveries(
    tenant: Tenant,
    state: Annotated[DeliveryState | None, typer.Option("--state")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """What is on its way, what has arrived, and what was given up; newest first."""
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        found = outbox.list_deliveries(db, tenant_id=tenant_id, state=state, limit=limit)
    if as_json:
        print_json([_delivery_json(one) for one in found])
        return
    columns = ("at (UTC)", "delivery", "channel", "to", "topic", "state", "tries", "last error")
    rows = [
        (
            shown_time(one.created_at),
            str(one.id),
            str(one.channel),
            one.recipient,
            str(one.topic),
            str(one.state),
            str(len(one.receipts)),
            one.last_error or "",
        )
        for one in found
    ]
    print_table(columns, rows, empty="nothing was sent")


@app.command()
def redeliver(
    tenant: Tenant,
    ids: Annotated[list[UUID], typer.Argument(metavar="ID...", show_default=False)],
) -> None:
    """Send messages again under their ids, whatever became of them."""
    with session() as opened, opened.catalog.begin() as db:
        tenant_id, now = find_tenant_id(db, tenant), system_clock()
        unknown = [
            one for one in ids if not outbox.redeliver(db, one, tenant_id=tenant_id, now=now)
        ]
    print_line(f"{len(ids) - len(unknown)} on the way again")
    for one in unknown:
        tell(f"{tenant} has no delivery {one}")
    if unknown:
        raise typer.Exit(1)


@app.command()
def digest(
    tenant: Tenant,
    every: Annotated[Every, typer.Option("--every")] = Every.DAILY,
    at: Annotated[str, typer.Option("--at", metavar="HH:MM")] = "07:00",
    timezone: Zone = "UTC",
    as_json: AsJson = False,
) -> None:
    """The digest that ended last, as it would be sent; nothing is sent."""
    when = DigestTime(every=every, at=wall(at), timezone=timezone)
    with session() as opened, opened.catalog.begin() as db:
        found = preview_digest(db, find_tenant_id(db, tenant), when, system_clock())
    if as_json:
        print_json(dict(found.payload))
    else:
        print_line(worded_digest(found).as_text())


def _message_json(one: Message, email: str) -> Json:
    return {
        "id": str(one.id),
        "user": email,
        "topic": str(one.topic),
        "severity": str(one.severity),
        "payload": dict(one.payload),
        "created_at": json_time(one.created_at),
        "read_at": json_time(one.read_at),
        "acknowledged_at": json_time(one.acknowledged_at),
        "snoozed_until": json_time(one.snoozed_until),
        "resolved_at": json_time(one.resolved_at),
    }


def _delivery_json(one: Delivery) -> Json:
    return {
        "id": str(one.id),
        "rule_id": str(one.rule_id),
        "event_id": one.event_id,
        "channel": str(one.channel),
        "recipient": one.recipient,
        "topic": str(one.topic),
        "state": str(one.state),
        "last_error": one.last_error,
        "receipts": [dict(receipt) for receipt in one.receipts],
        "payload": dict(one.payload),
        "created_at": json_time(one.created_at),
        "next_attempt_at": json_time(one.next_attempt_at),
        "sent_at": json_time(one.sent_at),
    }
