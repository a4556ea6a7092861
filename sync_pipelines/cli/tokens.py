"""``tokens``: how programs come in."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from connectors.contract import Json
from connectors.errors import ConfigError
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.catalog.tokens import (
    Token,
    find_named_token_for_all_tenants,
    issue_token,
    list_tokens,
    list_tokens_for_all_tenants,
    revoke_token,
)
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
from sync_pipelines.model.roles import Role
from sync_pipelines.model.scopes import parse_scopes

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Tokens of the API.")

COLUMNS = ("token", "tenant", "name", "role", "scopes", "expires", "last used", "state")
INSTALLATION = "(all)"

Tenant = Annotated[
    str | None,
    typer.Argument(metavar="[TENANT]", show_default=False, help="Whose; with none, everybody's."),
]


@app.command()
def create(
    tenant: Tenant = None,
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "command line",
    role: Annotated[Role, typer.Option("--role", help="What it may do.")] = Role.VIEWER,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="RESOURCE[:read]", help="Only this; may be repeated."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3650, help="For how long. [default: ever]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and print it: it is shown this once. Without a tenant it reaches them all."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        tenant_id = None if tenant is None else find_tenant_id(db, tenant)
        issued = issue_token(
            db,
            tenant_id=tenant_id,
            name=name,
            role=role,
            scopes=parse_scopes(scope or ()),
            expires_at=None if days is None else now + timedelta(days=days),
            created_by=actor(),
            now=now,
        )
        audit.record(
            db,
            at=now,
            actor=actor(),
            action="token.created",
            subject=issued.token.prefix,
            tenant_id=tenant_id,
            after=issued.token.audited,
        )
    if as_json:
        print_json({**_json(issued.token, now), "token": issued.secret})
        return
    print_line(issued.secret)
    tell(f"the token {issued.token.prefix} is shown this once; say it as 'Authorization: Bearer …'")


@app.command("list")
def list_(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Tokens, newest first, also those that let nobody in any more."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        if tenant is None:
            found = list_tokens_for_all_tenants(db)
        else:
            found = list_tokens(db, tenant_id=find_tenant_id(db, tenant))
    if as_json:
        print_json([_json(one, now) for one in found])
        return
    empty = "there are no tokens; `sync-pipelines tokens create TENANT` makes one"
    print_table(COLUMNS, [_row(one, now) for one in found], empty=empty)


@app.command()
def revoke(
    token: Annotated[
        str, typer.Argument(metavar="PREFIX", show_default=False, help="As `tokens list` has it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Let a token in no more, from its next request on."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        found = find_named_token_for_all_tenants(db, token)
        if found is None:
            raise ConfigError(f"there is no token {token!r}; `sync-pipelines tokens list` has them")
        if revoke_token(db, found, now=now):
            audit.record(
                db,
                at=now,
                actor=actor(),
                action="token.revoked",
                subject=found.prefix,
                tenant_id=found.tenant_id,
                before=found.audited,
            )
    if as_json:
        print_json({"token": found.prefix, "revoked": True})
    else:
        print_line(f"the token {found.prefix} ({found.name}) lets nobody in any more")


def _state(token: Token, now: datetime) -> str:
    if token.is_good(now):
        return "good"
    return "revoked" if token.revoked_at else "expired"


def _row(token: Token, now: datetime) -> tuple[str, ...]:
    return (
        token.prefix,
        token.tenant or INSTALLATION,
        token.name,
        token.role,
        " ".join(token.scopes) or "any",
        shown_time(token.expires_at) or "never",
        shown_time(token.last_used_at) or "never",
        _state(token, now),
    )


def _json(token: Token, now: datetime) -> dict[str, Json]:
    return {
        "id": str(token.id),
        "prefix": token.prefix,
        "tenant": token.tenant,
        "name": token.name,
        "role": token.role.value,
        "scopes": list(token.scopes),
        "created_by": token.created_by,
        "created_at": json_time(token.created_at),
        "expires_at": json_time(token.expires_at),
        "last_used_at": json_time(token.last_used_at),
        "state": _state(token, now),
    }
