"""``notifications rules``: who is told of what."""

from dataclasses import replace
from datetime import time, timedelta
from random import SystemRandom
from typing import Annotated, TypeAlias
from uuid import UUID, uuid4

import typer
from sqlalchemy import Connection as Db

from sync_pipelines.catalog import notifications as rules_kept
from sync_pipelines.catalog.schedules import find_schedule
from sync_pipelines.catalog.syncs import find_sync, find_tenant_id
from sync_pipelines.cli.doors import AsJson, actor, read_settings, session
from sync_pipelines.cli.output import print_json, print_line, print_table
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
from sync_pipelines.model.wall import CadenceError, read_time
from sync_pipelines.notify.ruling import (
    By,
    described,
    remove_rule,
    rotate_signing,
    send_test,
    store_rule,
)
from sync_pipelines.runtime.session import Session

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who is told of what.")

Tenant: TypeAlias = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Zone: TypeAlias = Annotated[str, typer.Option("--timezone", metavar="ZONE", help="An IANA zone.")]
To: TypeAlias = Annotated[
    list[str] | None, typer.Option("--to", metavar="EMAIL", help="May be repeated.")
]
Url: TypeAlias = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Of a webhook or for Apprise.")
]
On: TypeAlias = Annotated[
    list[Topic] | None, typer.Option("--on", help="What to tell; may be repeated.")
]
Quiet: TypeAlias = Annotated[
    str | None, typer.Option("--quiet", metavar="HH:MM-HH:MM", help="Disturb nobody then.")
]
Hours: TypeAlias = Annotated[
    int | None, typer.Option("--remind-after", metavar="HOURS", min=1, help="How often.")
]
Escalate: TypeAlias = Annotated[int | None, typer.Option("--escalate-after", min=1)]


@app.command("list")
def list_(
    tenant: Tenant,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Those about this tag only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A tenant's rules."""
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        found = rules_kept.list_rules(db, opened.catalog.secrets, tenant_id=tenant_id)
    told = [described(rule) for rule in found if tag is None or rule.tag == tag]
    if as_json:
        print_json(told)
        return
    columns = ("name", "channel", "to", "about", "topics", "paused")
    rows = [
        (
            one["name"],
            one["channel"],
            one["target"] or ", ".join(one["recipients"]),
            f"tag {one['tag']}" if one["tag"] else one["scope"],
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
    to: To = None,
    url: Url = None,
    on: On = None,
    sync: Annotated[
        str | None, typer.Option("--sync", metavar="NAME", help="Of this sync only.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="SYNC/NAME", help="Of this one only.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Of syncs with this tag only.")
    ] = None,
    quiet: Quiet = None,
    digest: Annotated[Every, typer.Option("--digest", help="How often it comes.")] = Every.DAILY,
    at: Annotated[str, typer.Option("--at", metavar="HH:MM", help="When it comes.")] = "07:00",
    timezone: Zone = "UTC",
    escalate_after: Escalate = 10,
    remind_after: Hours = 24,
    as_json: AsJson = False,
) -> None:
    """Make a rule, or store it anew by its name, which also ends its pause."""
    with session() as opened, opened.catalog.begin() as db:
        about = _about(opened, db, tenant, sync=sync, schedule=schedule, tag=tag)
        rule = Rule(
            id=uuid4(),
            tenant_id=find_tenant_id(db, tenant),
            name=name,
            channel=channel,
            topics=tuple(on or USUAL),
            recipients=tuple(to or ()),
            targets=(url,) if url else (),
            quiet=_quiet(quiet, timezone),
            digest=DigestTime(every=digest, at=wall(at), timezone=timezone),
            escalate_after=escalate_after or 10,
            remind_after=timedelta(hours=remind_after or 24),
            scope=about[0],
            sync_id=about[1],
            schedule_id=about[2],
            tag=tag,
        )
        stored = _store(opened, db, rule)
    if as_json:
        print_json(described(stored))
        return
    print_line(f"rule {name} is stored; `sync-pipelines notifications rules test` tries it")
    if stored.signing:
        print_line(f"its messages are signed with {stored.signing[0].value}")


@app.command()
def edit(
    tenant: Tenant,
    name: Name,
    to: To = None,
    url: Url = None,
    on: On = None,
    quiet: Annotated[
        str | None, typer.Option("--quiet", metavar="HH:MM-HH:MM|none", help="As for add.")
    ] = None,
    timezone: Zone = "UTC",
    escalate_after: Escalate = None,
    remind_after: Hours = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Whether anything is sent by it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named of a rule, and end its pause."""
    with session() as opened, opened.catalog.begin() as db:
        rule = replace(_found(opened, db, tenant, name), paused=None)
        if to:
            rule = replace(rule, recipients=tuple(to))
        if url:
            rule = replace(rule, targets=(url,))
        if on:
            rule = replace(rule, topics=tuple(on))
        if quiet is not None:
            hours = None if quiet == "none" else _quiet(quiet, timezone)
            rule = replace(rule, quiet=hours)
        if escalate_after is not None:
            rule = replace(rule, escalate_after=escalate_after)
        if remind_after is not None:
            rule = replace(rule, remind_after=timedelta(hours=remind_after))
        if active is not None:
            rule = replace(rule, is_active=active)
        stored = _store(opened, db, rule)
    if as_json:
        print_json(described(stored))
    else:
        print_line(f"rule {name} is changed")


@app.command()
def remove(tenant: Tenant, name: Name, as_json: AsJson = False) -> None:
    """Tell nobody by a rule any more."""
    with session() as opened, opened.catalog.begin() as db:
        rule = _found(opened, db, tenant, name)
        remove_rule(db, rule, _by())
    if as_json:
        print_json(described(rule))
    else:
        print_line(f"rule {name} is removed")


@app.command()
def rotate(tenant: Tenant, name: Name) -> None:
    """Give a webhook a fresh signing secret; the one before signs beside it for a day."""
    with session() as opened, opened.catalog.begin() as db:
        rule = _found(opened, db, tenant, name)
        fresh = rotate_signing(db, opened.catalog.secrets, rule, _by(), rng=SystemRandom())
    print_line(fresh.value)


@app.command()
def test(tenant: Tenant, name: Name, as_json: AsJson = False) -> None:
    """Send a test to all whom a rule tells; a running gateway delivers it."""
    with session() as opened, opened.catalog.begin() as db:
        number = send_test(db, _found(opened, db, tenant, name), _by())
    if as_json:
        print_json({"rule": name, "messages": number})
        return
    print_line(f"{number} on the way; `sync-pipelines notifications deliveries {tenant}` shows it")


def wall(written: str) -> time:
    """A time of day, as somebody wrote it."""
    try:
        return read_time(written)
    except CadenceError as error:
        raise typer.BadParameter(error.message) from error


def _about(
    opened: Session, db: Db, tenant: str, *, sync: str | None, schedule: str | None, tag: str | None
) -> tuple[Scope, UUID | None, UUID | None]:
    """What a rule is about: its scope, and the id of the sync or of the schedule."""
    if len([one for one in (sync, schedule, tag) if one]) > 1:
        raise typer.BadParameter("a rule is about a sync, a schedule or a tag; name one of them")
    if schedule is not None:
        return Scope.SCHEDULE, None, find_schedule(db, f"{tenant}/{schedule}").id
    if sync is not None:
        found = find_sync(db, opened.catalog.secrets, f"{tenant}/{sync}")
        return Scope.SYNC, found.id, None
    return Scope.TAG if tag else Scope.TENANT, None, None


def _store(opened: Session, db: Db, rule: Rule) -> Rule:
    return store_rule(
        db,
        opened.catalog.secrets,
        rule,
        _by(),
        rng=SystemRandom(),
        allow_private=read_settings().may_reach_private,
    )


def _found(opened: Session, db: Db, tenant: str, name: str) -> Rule:
    tenant_id = find_tenant_id(db, tenant)
    return rules_kept.find_rule(db, opened.catalog.secrets, name, tenant_id=tenant_id)


def _by() -> By:
    return By(actor=actor(), now=system_clock())


def _quiet(written: str | None, timezone: str) -> QuietHours | None:
    if written is None:
        return None
    start, dash, end = written.partition("-")
    if not dash:
        raise typer.BadParameter(f"{written!r} are no quiet hours such as 22:00-07:00")
    return QuietHours(start=wall(start), end=wall(end), timezone=timezone)
