"""``/api/v2/connections/{id}/authorize``: a person lets a connection in at its provider.

::

    POST …/authorize ──▶ a link ──▶ the provider ──▶ /connections/callback ──▶ its tokens, kept

Laws:

* The answer counts for the tenant, the connection and the person that began, once, within
  ten minutes; whoever else brings it learns nothing and uses nothing up.
* Where the provider leads back to is the public address, not what a request says of it.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from secrets import token_bytes
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.http.oauth import Pkce
from sync_pipelines.catalog import authorizations, tokens_of_connections
from sync_pipelines.catalog.authorizations import Awaited
from sync_pipelines.catalog.credentials import new_secret
from sync_pipelines.catalog.sessions import find_session_for_all_tenants
from sync_pipelines.catalog.tenants import tenant_named_for_all_tenants
from sync_pipelines.engine.authorizing import Asked, app_of, granted
from sync_pipelines.gateway.api.connections import opened_connection
from sync_pipelines.gateway.cookies import public_url, session_secret
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Admin, Caller, Identity, Meant, Viewer
from sync_pipelines.gateway.pages import page, safe_place
from sync_pipelines.gateway.problems import ProblemError
from sync_pipelines.model.roles import Role

router = APIRouter(tags=["connections"])

AUTHORIZE = "/api/v2/connections/{connection_id}/authorize"
CALLBACK = "/connections/callback"
LASTS = timedelta(minutes=10)

log = structlog.get_logger()


class AuthorizationWanted(BaseModel):
    """Where the person comes to afterwards: a path of this gateway. Without, a page says it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}]})

    next: str | None = Field(default=None, max_length=500)


class AuthorizationBegun(BaseModel):
    """What is to be opened in the browser of the person who asked."""

    browser: str = Field(description="The provider's page; to be opened by who asked for it.")
    redirect_uri: str = Field(description="What must be registered with the provider.")
    expires_at: datetime


class AuthorizationTold(BaseModel):
    """Whether a person has let the connection in. `by_person`: it is done by this at all."""

    by_person: bool
    is_authorized: bool
    refreshed_at: datetime | None = Field(description="When tokens last came.")
    redirect_uri: str | None = Field(description="What must be registered with the provider.")


@router.get(AUTHORIZE)
def authorization(
    connection_id: UUID, caller: Viewer, request: Request, doors: ItsDoors
) -> AuthorizationTold:
    """Whether the connection has been authorized, and what to register with the provider."""
    connection = opened_connection(caller, connection_id)
    try:
        app_of(connection)
    except ConfigError:
        by_person = False
    else:
        by_person = True
    with caller.catalog.begin() as db:
        at = tokens_of_connections.kept_at(db, connection_id, tenant_id=caller.tenant.id)
    try:
        back_to = _back_to(request, doors) if by_person else None
    except ProblemError:
        back_to = None
    return AuthorizationTold(
        by_person=by_person,
        is_authorized=by_person and at is not None,
        refreshed_at=at,
        redirect_uri=back_to,
    )


@router.post(AUTHORIZE)
def authorize(
    connection_id: UUID,
    caller: Admin,
    request: Request,
    doors: ItsDoors,
    wanted: AuthorizationWanted | None = None,
) -> AuthorizationBegun:
    """Begin: whoever is signed in opens the link in this browser, within ten minutes, once."""
    connection = opened_connection(caller, connection_id)
    if caller.identity.user is None:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "a person consents, not a token: sign in and ask again, or run `sync-pipelines "
            f"connections authorize {caller.tenant.name}/{connection.name}`",
        )
    asked = Asked(
        app=app_of(connection),
        redirect_uri=_back_to(request, doors),
        state=new_secret(),
        pkce=Pkce.of(token_bytes(32)),
    )
    link, now = asked.page, doors.clock()
    kept = {
        "verifier": asked.pkce.verifier,
        "redirect_uri": asked.redirect_uri,
        "next": wanted and wanted.next and safe_place(wanted.next),
    }
    awaited = Awaited(tenant_id=caller.tenant.id, connection_id=connection_id, kept=kept)
    with caller.catalog.begin() as db:
        authorizations.expect(
            db,
            caller.catalog.secrets,
            asked.state,
            awaited,
            actor=caller.actor,
            expires_at=now + LASTS,
            now=now,
        )
    return AuthorizationBegun(browser=link, redirect_uri=asked.redirect_uri, expires_at=now + LASTS)


@router.get(CALLBACK, include_in_schema=False)
def callback(
    request: Request, doors: ItsDoors, state: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Where the provider leads the person back to."""
    who = _signed_in(request, doors)
    if who is None:
        return _said(
            HTTPStatus.UNAUTHORIZED,
            "Who is there?",
            "Sign in as the person who asked for it, in this browser, and begin again.",
        )
    with doors.catalog.begin() as db:
        awaited = authorizations.take_for_all_tenants(
            db, doors.catalog.secrets, state, actor=who.actor, now=doors.clock()
        )
    role = None if awaited is None else who.role_for(awaited.tenant_id)
    if awaited is None or role is None or not role.allows(Role.ADMIN):
        return _said(
            HTTPStatus.BAD_REQUEST,
            "This is no answer that is waited for",
            "It was used already, came too late, or belongs to somebody else. Begin again.",
        )
    try:
        name = _finish(request, doors, who, awaited)
    except ConnectorError as error:
        return _not_authorized(error)
    if awaited.kept["next"]:
        return RedirectResponse(str(awaited.kept["next"]), HTTPStatus.SEE_OTHER)
    return _said(
        HTTPStatus.OK,
        "The connection is authorized",
        f"{name} may read and write from now on. This page can be closed.",
    )


def _finish(request: Request, doors: Doors, who: Identity, awaited: Awaited) -> str:
    """Keep what is granted; the connection's name."""
    view, kept = doors.catalog.as_tenant(awaited.tenant_id), awaited.kept
    with doors.catalog.begin() as db:
        tenant = tenant_named_for_all_tenants(db, str(awaited.tenant_id))
    if tenant is None or not (tenant.is_active or who.is_instance_admin):
        raise ConfigError("the tenant is suspended, or gone")
    meant = Meant(id=tenant.id, name=tenant.name, is_active=tenant.is_active)
    caller = Caller(identity=who, tenant=meant, role=Role.ADMIN, catalog=view, launch=doors.launch)
    try:
        connection = opened_connection(caller, awaited.connection_id)
    except ProblemError as error:
        raise ConfigError("the connection was removed meanwhile") from error
    asked = Asked(
        app=app_of(connection),
        redirect_uri=str(kept["redirect_uri"]),
        state="",
        pkce=Pkce(verifier=str(kept["verifier"])),
    )
    answer = dict(request.query_params)
    granted(view, connection, asked, answer, actor=who.actor, at=doors.clock())
    return f"{tenant.name}/{connection.name}"


def _signed_in(request: Request, doors: Doors) -> Identity | None:
    secret = session_secret(request, doors.settings)
    if secret is None:
        return None
    with doors.catalog.begin() as db:
        found = find_session_for_all_tenants(db, secret, now=doors.clock())
    return None if found is None else Identity(actor=f"user:{found.user.email}", user=found.user)


def _back_to(request: Request, doors: Doors) -> str:
    url = public_url(request, doors.settings)
    if doors.settings.public_url is None and not _is_this_machine(url.hostname or ""):
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "nobody knows where the provider should lead back to; set SYNC_PUBLIC_URL to where "
            f"people reach this gateway, and register it there with {CALLBACK} at its end",
        )
    return f"{str(url).rstrip('/')}{CALLBACK}"


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _not_authorized(error: ConnectorError) -> Response:
    log.warning("connection.not_authorized", error=type(error).__name__)
    status = HTTPStatus.BAD_REQUEST
    if isinstance(error, TransientError):
        status = HTTPStatus.BAD_GATEWAY
    elif not isinstance(error, AuthError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    text = f"{error}. Nothing was changed. Begin again."
    return _said(status, "The connection is not authorized", text)


def _said(status: HTTPStatus, title: str, text: str) -> Response:
    return page("message.html", title=title, text=text, status=status)
