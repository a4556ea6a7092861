"""``dead-letters``: what failed for good, and trying it again or letting it go."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

import typer
from sqlalchemy import Connection as Db

from connectors.contract import Json
from sync_pipelines.catalog import audit
from sync_pipelines.catalog import dead_letters as letters
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.catalog.syncs import NotFoundError, find_tenant_id
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import (
    json_time,
    print_json,
    print_line,
    print_table,
    shown_time,
    tell,
)
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dead_letters import Redriven
from sync_pipelines.engine.dead_letters import discard as discard_letters
from sync_pipelines.engine.dead_letters import redrive as redrive_letters
from sync_pipelines.model.dead_letter import DeadLetter, LetterStatus

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What failed for good, until it is mended."
)

COLUMNS = ("at (UTC)", "letter", "what", "sync", "cause", "status", "why")

Ids: TypeAlias = Annotated[list[UUID], typer.Argument(metavar="ID...", show_default=False)]
OfCause: TypeAlias = Annotated[
    str | None, typer.Option("--cause", metavar="CAUSE", help="Only of this cause, as listed.")
]
OfSync: TypeAlias = Annotated[
    str | None, typer.Option("--sync", metavar="NAME", help="Only of the sync of this name.")
]


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Argument(metavar="[TENANT]", show_default=False)] = None,
    cause: OfCause = None,
    sync: OfSync = None,
    status: Annotated[
        LetterStatus | None, typer.Option("--status", help="Only those that stand so.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Dead letters, newest first: of one tenant, or of all."""
    which = Which(status=status, cause=cause, sync=sync)
    with session() as opened, opened.catalog.begin() as db:
        if tenant is None:
            found = letters.list_letters_for_all_tenants(db, which, limit=limit)
        else:
            tenant_id = find_tenant_id(db, tenant)
            found = letters.list_letters(db, which, tenant_id=tenant_id, limit=limit)
    if as_json:
        print_json([_json(letter) for letter in found])
    else:
        print_table(COLUMNS, [_row(letter) for letter in found], empty="no dead letters")


@app.command()
def show(
    letter: Annotated[UUID, typer.Argument(metavar="ID", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """One dead letter: what was asked for, and every attempt's error."""
    with session() as opened, opened.catalog.begin() as db:
        (found,) = _found(db, [letter])
    if as_json:
        print_json(_json(found))
        return
    for name, value in _json(found).items():
        if value not in (None, {}):
            said = value if isinstance(value, str) else json.dumps(value, indent=2)
            print_line(f"{name}: {said}")


@app.command()
def redrive(
    ids: Annotated[list[UUID] | None, typer.Argument(metavar="[ID...]", show_default=False)] = None,
    all_of: Annotated[
        str | None, typer.Option("--all", metavar="TENANT", help="All open ones of a tenant.")
    ] = None,
    cause: OfCause = None,
    sync: OfSync = None,
    as_json: AsJson = False,
) -> None:
    """Try again: these letters, or all open ones of a tenant, a cause or a sync.

    Letters that ask for the same become one execution, which a running
    `sync-pipelines up` starts. Events are processed anew.
    """
    if bool(ids) == bool(all_of):
        raise typer.BadParameter("name letters, or a tenant with --all: one of the two")
    if not all_of and (cause or sync):
        raise typer.BadParameter("--cause and --sync choose among --all TENANT")
    which = Which(status=LetterStatus.OPEN, cause=cause, sync=sync)
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        if all_of:
            tenant_id = find_tenant_id(db, all_of)
            chosen = letters.list_letters(db, which, tenant_id=tenant_id, limit=None)
        else:
            chosen = _found(db, ids or ())
        done = [
            _redrive(db, tenant_id, of_tenant, now)
            for tenant_id, of_tenant in _by_tenant(chosen).items()
        ]
    redriven = {letter for one in done for letter in one.letters}
    started = [execution for one in done for execution in one.executions]
    events = sum(one.events for one in done)
    if as_json:
        print_json(
            {
                "letters": _texts(redriven),
                "executions": _texts(started),
                "events": events,
            }
        )
    else:
        print_line(f"{len(redriven)} letters redriven: {len(started)} executions, {events} events")
    _refuse_left(chosen, redriven)


@app.command()
def discard(
    ids: Ids,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; the audit keeps it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Close letters that nobody wants to try again."""
    now = system_clock()
    closed: list[UUID] = []
    with session() as opened, opened.catalog.begin() as db:
        chosen = _found(db, ids)
        for tenant_id, of_tenant in _by_tenant(chosen).items():
            closed += _discard(db, tenant_id, of_tenant, reason, now)
    if as_json:
        print_json({"letters": _texts(closed), "reason": reason})
    else:
        print_line(f"{len(closed)} letters discarded")
    _refuse_left(chosen, closed)


def _redrive(db: Db, tenant_id: UUID, chosen: Sequence[DeadLetter], now: datetime) -> Redriven:
    done = redrive_letters(db, [one.id for one in chosen], tenant_id=tenant_id, now=now)
    if done.letters:
        said: Mapping[str, Json] = {
            "executions": _texts(done.executions),
            "events": done.events,
        }
        _audit(db, "dead_letters.redriven", tenant_id, done.letters, said, now=now)
    return done


def _discard(
    db: Db, tenant_id: UUID, chosen: Sequence[DeadLetter], reason: str, now: datetime
) -> Sequence[UUID]:
    done = discard_letters(db, [one.id for one in chosen], tenant_id=tenant_id, now=now)
    if done:
        _audit(db, "dead_letters.discarded", tenant_id, done, {"reason": reason}, now=now)
    return done


def _audit(
    db: Db,
    action: str,
    tenant_id: UUID,
    changed: Sequence[UUID],
    said: Mapping[str, Json],
    *,
    now: datetime,
) -> None:
    audit.record(
        db,
        at=now,
        actor=actor(),
        action=action,
        subject="dead letters",
        tenant_id=tenant_id,
        after={"letters": _texts(changed), **said},
    )


def _found(db: Db, ids: Sequence[UUID]) -> list[DeadLetter]:
    """Letters by their ids, all of them."""
    found = letters.find_for_all_tenants(db, ids)
    for wanted in ids:
        if wanted not in {letter.id for letter in found}:
            raise NotFoundError(
                f"no dead letter {str(wanted)!r}; `sync-pipelines dead-letters list` shows them"
            )
    return found


def _by_tenant(chosen: Iterable[DeadLetter]) -> Mapping[UUID, Sequence[DeadLetter]]:
    grouped: dict[UUID, list[DeadLetter]] = {}
    for letter in chosen:
        grouped.setdefault(letter.tenant_id, []).append(letter)
    return grouped


def _refuse_left(chosen: Sequence[DeadLetter], done: Iterable[UUID]) -> None:
    """Say which letters were left as they are, and fail if there are any."""
    left = [letter for letter in chosen if letter.id not in set(done)]
    for letter in left:
        if letter.status is LetterStatus.OPEN:
            tell(f"letter {letter.id} was left: somebody else was first, or its event is gone")
        else:
            tell(f"letter {letter.id} is {letter.status}, and stays so")
    if left:
        raise typer.Exit(1)


def _texts(ids: Iterable[UUID]) -> list[str]:
    return sorted(str(one) for one in ids)


def _row(letter: DeadLetter) -> tuple[str, ...]:
    return (
        shown_time(letter.created_at),
        str(letter.id),
        str(letter.kind),
        letter.sync_key or "",
        letter.cause,
        str(letter.status),
        letter.reason,
    )


def _json(letter: DeadLetter) -> Mapping[str, Json]:
    return {
        "letter": str(letter.id),
        "kind": str(letter.kind),
        "sync": letter.sync_key,
        "status": str(letter.status),
        "cause": letter.cause,
        "reason": letter.reason,
        "created_at": json_time(letter.created_at),
        "closed_at": json_time(letter.closed_at),
        "execution": str(letter.execution_id) if letter.execution_id else None,
        "event": str(letter.event_id) if letter.event_id else None,
        "redriven_as": str(letter.redriven_as) if letter.redriven_as else None,
        "payload": dict(letter.payload),
    }
