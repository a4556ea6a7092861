"""``notifications``: who is told of what, what was sent, and what would be."""

from datetime import datetime, time
from random import SystemRandom
from typing import Annotated, TypeAlias
from uuid import UUID, uuid4

import typer
from sqlalchemy import Connection as Db

from connectors.contract import Json
from sync_pipelines.catalog import inbox as inboxes
from sync_pipelines.catalog import notifications as rules_kept
from sync_pipelines.catalog import outbox
from sync_pipelines.catalog.inbox import Message
from sync_pipelines.catalog.outbox import Delivery, DeliveryState
from sync_pipelines.catalog.schedules import find_schedule
from sync_pipelines.catalog.syncs import find_sync, find_tenant_id
from sync_pipelines.catalog.users import find_user, get_user
from sync_pipelines.cli.doors import AsJson, actor, read_settings, session
from sync_pipelines.cli.output import (
    json_time,
    print_json,
    print_line,
    print_table,
    shown_time,
    tell,
)
from sync_pipelines.clock import system_clock
from sync_pipelines.model.notification import (
    USUAL,
    Channel,
    DigestTime,
    Every,
    QuietHours,
    Rule,
    Scope,
    Topic,
)
from sync_pipelines.notify.digest_wording import worded_digest
from sync_pipelines.notify.ruling import (
    By,
    described,
    preview_digest,
    remove_rule,
    rotate_signing,
    send_test,
    store_rule,
)
from sync_pipelines.runtime.session import Session

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Who is told of what, and what was sent."
)

Tenant: TypeAlias = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Zone: TypeAlias = Annotated[str, typer.Option("--timezone", metavar="ZONE", help="An IANA zone.")]


@app.command()
def rules(tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's rules."""
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        found = rules_kept.list_rules(db, opened.catalog.secrets, tenant_id=tenant_id)
    told = [described(rule) for rule in found]
    if as_json:
        print_json(told)
        return
    columns = ("name", "channel", "to", "about", "topics", "paused")
    rows = [
        (
            one["name"],
            one["channel"],
            one["target"] or ", ".join(one["recipients"]),
            one["scope"],
            ", ".join(one["topics"]),
            one["paused"] or ("" if one["is_active"] else "switched off"),
        )
        for one in told
    ]
    print_table(columns, rows, empty="no rules yet")


@app.command()
def add(
    tenant: Tenant,
    name: Name,
    channel: Annotated[Channel, typer.Option("--channel")],
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="EMAIL", help="May be repeated.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Of a webhook or for Apprise.")
    ] = None,
    on: Annotated[
        list[Topic] | None, typer.Option("--on", help="What to tell; may be repeated.")
    ] = None,
    sync: Annotated[
        str | None, typer.Option("--sync", metavar="NAME", help="Of this sync only.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="SYNC/NAME", help="Of this one only.")
    ] = None,
    quiet: Annotated[
        str | None, typer.Option("--quiet", metavar="HH:MM-HH:MM", help="Disturb nobody then.")
    ] = None,
    digest: Annotated[Every, typer.Option("--digest", help="How often it comes.")] = Every.DAILY,
    at: Annotated[str, typer.Option("--at", metavar="HH:MM", help="When it comes.")] = "07:00",
    timezone: Zone = "UTC",
    escalate_after: Annotated[int, typer.Option("--escalate-after", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """Make a rule, or store it anew by its name, which also ends its pause."""
    settings = read_settings()
    with session() as opened, opened.catalog.begin() as db:
        secrets = opened.catalog.secrets
        scope, sync_id, schedule_id = Scope.TENANT, None, None
        if schedule is not None:
            scope, schedule_id = Scope.SCHEDULE, find_schedule(db, f"{tenant}/{schedule}").id
        elif sync is not None:
            scope, sync_id = Scope.SYNC, find_sync(db, secrets, f"{tenant}/{sync}").id
        rule = Rule(
            id=uuid4(),
            tenant_id=find_tenant_id(db, tenant),
            name=name,
            channel=channel,
            scope=scope,
            sync_id=sync_id,
            schedule_id=schedule_id,
            topics=tuple(on or USUAL),
            recipients=tuple(to or ()),
            targets=(url,) if url else (),
            quiet=_quiet(quiet, timezone),
            digest=DigestTime(every=digest, at=_time(at), timezone=timezone),
            escalate_after=escalate_after,
        )
        stored = store_rule(
            db,
            secrets,
            rule,
            _by(),
            rng=SystemRandom(),
            allow_private=settings.may_reach_private,
        )
    if as_json:
        print_json(described(stored))
        return
    print_line(f"rule {name} is stored; `sync-pipelines notifications test` tries it")
    if stored.signing:
        print_line(f"its messages are signed with {stored.signing[0].value}")


@app.command()
def remove(tenant: Tenant, name: Name) -> None:
    """Tell nobody by a rule any more."""
    with session() as opened, opened.catalog.begin() as db:
        remove_rule(db, _found(opened, db, tenant, name), _by())
    print_line(f"rule {name} is removed")


@app.command()
def rotate(tenant: Tenant, name: Name) -> None:
    """Give a webhook a fresh signing secret; the one before signs beside it for a day."""
    with session() as opened, opened.catalog.begin() as db:
        rule = _found(opened, db, tenant, name)
        fresh = rotate_signing(db, opened.catalog.secrets, rule, _by(), rng=SystemRandom())
    print_line(fresh.value)


@app.command()
def test(tenant: Tenant, name: Name) -> None:
    """Send a test to all whom a rule tells; a running gateway delivers it."""
    with session() as opened, opened.catalog.begin() as db:
        number = send_test(db, _found(opened, db, tenant, name), _by())
    print_line(f"{number} on the way; `sync-pipelines notifications deliveries {tenant}` shows it")


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
    when = DigestTime(every=every, at=_time(at), timezone=timezone)
    with session() as opened, opened.catalog.begin() as db:
        found = preview_digest(db, find_tenant_id(db, tenant), when, system_clock())
    if as_json:
        print_json(dict(found.payload))
    else:
        print_line(worded_digest(found).as_text())


def _found(opened: Session, db: Db, tenant: str, name: str) -> Rule:
    tenant_id = find_tenant_id(db, tenant)
    return rules_kept.find_rule(db, opened.catalog.secrets, name, tenant_id=tenant_id)


def _by() -> By:
    return By(actor=actor(), now=system_clock())


def _time(written: str) -> time:
    try:
        return datetime.strptime(written, "%H:%M").time()  # noqa: DTZ007 - a wall time
    except ValueError as error:
        raise typer.BadParameter(f"{written!r} is no time such as 07:00") from error


def _quiet(written: str | None, timezone: str) -> QuietHours | None:
    if written is None:
        return None
    start, dash, end = written.partition("-")
    if not dash:
        raise typer.BadParameter(f"{written!r} are no quiet hours such as 22:00-07:00")
    return QuietHours(start=_time(start), end=_time(end), timezone=timezone)


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
        "created_at": json_time(one.created_at),
        "next_attempt_at": json_time(one.next_attempt_at),
        "sent_at": json_time(one.sent_at),
    }
