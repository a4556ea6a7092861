"""``users``: the people who may come in."""

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import Connection as Db

from connectors.contract import Json
from connectors.errors import ConfigError
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.credentials import hash_password
from sync_pipelines.catalog.sessions import close_sessions_of
from sync_pipelines.catalog.syncs import NotFoundError, find_tenant_id
from sync_pipelines.catalog.users import (
    User,
    find_user,
    list_users_for_all_tenants,
    make_user,
    put_membership,
    remove_membership,
    remove_user,
    set_password,
)
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import print_json, print_line, print_table
from sync_pipelines.clock import system_clock
from sync_pipelines.model.roles import Role

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="People who may sign in.")

COLUMNS = ("user", "tenants", "instance admin", "password")

Email = Annotated[str, typer.Argument(metavar="EMAIL", show_default=False)]
OneTenant = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", help="A tenant that they belong to.")
]
WithPassword = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input, not a terminal."),
]


@app.command()
def create(
    email: Email,
    tenant: OneTenant = None,
    role: Annotated[Role, typer.Option("--role", help="What they may do for it.")] = Role.VIEWER,
    instance_admin: Annotated[
        bool, typer.Option("--instance-admin", help="They may do everything for every tenant.")
    ] = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="They sign in with their organization.")
    ] = False,
    password_stdin: WithPassword = False,
    as_json: AsJson = False,
) -> None:
    """Make a user; for one that there is, set what they may do for the tenant."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        user = _known(db, email)
        if user is None:
            kept = None if no_password else hash_password(_password(password_stdin))
            user = make_user(
                db, email, password_hash=kept, is_instance_admin=instance_admin, now=now
            )
            _audit(db, user, "user.created", now, after={"is_instance_admin": instance_admin})
        elif tenant is None:
            raise ConfigError(f"there is a user {user.email!r} already; name a --tenant to add")
        if tenant is not None:
            _join(db, user, tenant, role, now)
        user = find_user(db, email)
    _print(user, as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All users, and what they may do."""
    with session() as opened, opened.catalog.begin() as db:
        found = list_users_for_all_tenants(db)
    if as_json:
        print_json([_json(one) for one in found])
        return
    empty = "there are no users; `sync-pipelines users create EMAIL --instance-admin` makes one"
    print_table(COLUMNS, [_row(one) for one in found], empty=empty)


@app.command()
def remove(email: Email, tenant: OneTenant = None, as_json: AsJson = False) -> None:
    """Remove a user, or with --tenant only what they may do for that one."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        user = find_user(db, email)
        if tenant is None:
            remove_user(db, user)
            _audit(db, user, "user.removed", now)
            said = f"{user.email} is no user any more"
        else:
            tenant_id = find_tenant_id(db, tenant)
            remove_membership(db, user, tenant_id=tenant_id)
            held = next(one.role for one in user.memberships if one.tenant == tenant)
            _audit(db, user, "role.removed", now, tenant=tenant, before={"role": held})
            said = f"{user.email} may do nothing more for {tenant}"
    if as_json:
        print_json({"user": user.email, "tenant": tenant, "removed": True})
    else:
        print_line(said)


@app.command("set-password")
def set_password_(email: Email, password_stdin: WithPassword = False) -> None:
    """Give a user another password, and sign them out everywhere."""
    now = system_clock()
    with session() as opened:
        with opened.catalog.begin() as db:
            user = find_user(db, email)
        kept = hash_password(_password(password_stdin))
        with opened.catalog.begin() as db:
            set_password(db, user, kept, now=now)
            close_sessions_of(db, user)
            _audit(db, user, "user.password_set", now)
    print_line(f"{user.email} has another password, and is signed out everywhere")


def _known(db: Db, email: str) -> User | None:
    try:
        return find_user(db, email)
    except NotFoundError:
        return None


def _join(db: Db, user: User, tenant: str, role: Role, now: datetime) -> None:
    held = next((one.role for one in user.memberships if one.tenant == tenant), None)
    if held is not role:
        put_membership(db, user, tenant_id=find_tenant_id(db, tenant), role=role)
        before = None if held is None else {"role": held}
        _audit(db, user, "role.given", now, tenant=tenant, before=before, after={"role": role})


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for a password; use --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _audit(
    db: Db,
    user: User,
    action: str,
    now: datetime,
    *,
    tenant: str | None = None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    audit.record(
        db,
        at=now,
        actor=actor(),
        action=action,
        subject=user.email,
        tenant_id=None if tenant is None else find_tenant_id(db, tenant),
        before=before,
        after=after,
    )


def _print(user: User, as_json: bool) -> None:
    if as_json:
        print_json(_json(user))
    else:
        print_table(COLUMNS, [_row(user)], empty="")


def _row(user: User) -> tuple[str, ...]:
    tenants = ", ".join(f"{one.tenant} ({one.role})" for one in user.memberships)
    admin, password = user.is_instance_admin, user.has_password
    return user.email, tenants or "none", "yes" if admin else "no", "yes" if password else "no"


def _json(user: User) -> dict[str, Json]:
    return {
        "email": user.email,
        "is_instance_admin": user.is_instance_admin,
        "has_password": user.has_password,
        "tenants": {one.tenant: one.role.value for one in user.memberships},
    }
