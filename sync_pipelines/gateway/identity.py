"""Who asks, and on behalf of which tenant.

A handler says what it needs, and gets a `Caller`, whose ``catalog`` is the tenant's view::

    @router.post("/api/v2/things")
    def make(caller: Operator, doors: ItsDoors) -> Thing: ...

Laws:

* A token's tenant is the token's. A person with several says which: in the path, or in
  the header ``X-Tenant``, by name or id.
* What is not the caller's is not there: 404, never 403.
* A suspended tenant is closed to its tokens and people; who runs the installation may look.
* A change that a cookie stands for needs the session's word in ``X-CSRF-Token`` too.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from sqlalchemy import Connection as Db
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from sync_pipelines.catalog.credentials import is_same
from sync_pipelines.catalog.sessions import find_session_for_all_tenants
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tenants import tenant_named_for_all_tenants
from sync_pipelines.catalog.tokens import Token, find_token_for_all_tenants, note_use
from sync_pipelines.catalog.users import User
from sync_pipelines.gateway.cookies import PLAIN_NAME, session_secret
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.limits import Limits, spend
from sync_pipelines.gateway.problems import ProblemError, not_found, too_many
from sync_pipelines.gateway.requests import client_of
from sync_pipelines.model.roles import Role
from sync_pipelines.model.scopes import permits, resource_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
TENANT_HEADER = "X-Tenant"
OPEN_TO_EVERY_SCOPE = "/api/v2/me"

# For the OpenAPI document only: what they stand for is read below.
_BEARER = Security(HTTPBearer(auto_error=False, description="An API token."))
_COOKIE = Security(APIKeyCookie(name=PLAIN_NAME, auto_error=False))
_TENANT = Header(alias=TENANT_HEADER, description="Which tenant is meant, by name or id.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """The tenant that a request is for."""

    id: UUID
    name: str
    is_active: bool

    def is_called(self, named: str) -> bool:
        """Whether that is its id, or else its name."""
        try:
            return self.id == UUID(named)
        except ValueError:
            return self.name == named


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks: a token or a user. ``actor`` is what the audit calls them.

    ``csrf`` is the word that pages of a user's session must say back.
    """

    actor: str
    token: Token | None = None
    user: User | None = None
    csrf: str | None = None

    @property
    def key(self) -> str:
        """Whom limits are counted for."""
        return f"token:{self.token.id}" if self.token else self.actor

    @property
    def is_instance_admin(self) -> bool:
        """Whether they may do everything for every tenant."""
        if self.token is not None:
            return self.token.tenant_id is None and self.token.role is Role.ADMIN
        return self.user is not None and self.user.is_instance_admin

    @property
    def scopes(self) -> Sequence[str]:
        """The resources that they are limited to; none limits nothing."""
        return self.token.scopes if self.token else ()

    @property
    def tenants(self) -> Sequence[Meant]:
        """The tenants that they belong to."""
        token = self.token
        if token is not None and token.tenant_id is not None:
            is_active = not token.is_suspended
            return (Meant(id=token.tenant_id, name=token.tenant or "", is_active=is_active),)
        return [
            Meant(id=one.tenant_id, name=one.tenant, is_active=not one.is_suspended)
            for one in (self.user.memberships if self.user else ())
        ]

    def role_for(self, tenant_id: UUID) -> Role | None:
        """What they may do for a tenant; None if it is none of theirs."""
        if self.is_instance_admin:
            return Role.ADMIN
        if self.token is not None:
            return self.token.role if self.token.tenant_id in (tenant_id, None) else None
        memberships = self.user.memberships if self.user else ()
        return next((one.role for one in memberships if one.tenant_id == tenant_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, for which tenant, in which role; ``catalog`` shows that tenant's rows only.

    ``launch`` is that of `Doors`, for what this caller has started.
    """

    identity: Identity
    tenant: Meant
    role: Role
    catalog: Catalog
    launch: Callable[[UUID], bool]

    @property
    def actor(self) -> str:
        """What the audit calls them."""
        return self.identity.actor


def identify(
    request: Request,
    doors: ItsDoors,
    _bearer: Annotated[object, _BEARER] = None,
    _cookie: Annotated[object, _COOKIE] = None,
) -> Identity:
    """Who asks, within what they may ask for; ends the request with 401, 403 or 429 otherwise."""
    limits: Limits = request.app.state.limits
    identity = _known(request, doors, limits)
    if identity.csrf is not None and request.method not in SAFE_METHODS:
        check_csrf(request, identity.csrf, request.headers.get(CSRF_HEADER))
    request.state.actor = identity.actor
    spend(limits.caller, identity.key, whose=identity.actor)
    path, is_read = request.url.path, request.method in SAFE_METHODS
    resource = resource_of(path)
    allowed = permits(identity.scopes, resource, is_read=is_read)
    if not allowed and path != OPEN_TO_EVERY_SCOPE:
        needed = f"{resource}:read" if is_read else f"{resource}"
        raise _forbidden(f"the token is limited to {', '.join(identity.scopes)}; needs {needed}")
    return identity


def identify_visitor(connection: HTTPConnection, doors: Doors) -> Identity:
    """Who asks for pages that are not ours, which load in bursts and cannot say a session's word.

    The caller looks at where a change comes from. Ends the request with 401 or 429.
    """
    identity = _known(connection, doors, connection.app.state.limits)
    connection.state.actor = identity.actor
    return identity


SignedInOrToken: TypeAlias = Annotated[Identity, Depends(identify)]
"""A handler's argument of this type is whoever asks, for no tenant in particular."""


def require(role: Role, *, tenant_in: str = "tenant") -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency: the caller, who has at least this role for the tenant that is meant.

    ``tenant_in`` names the parameter of the path that holds the tenant, if it has one.
    """

    async def caller(
        request: Request,
        doors: ItsDoors,
        identity: SignedInOrToken,
        by_header: Annotated[str | None, _TENANT] = None,
    ) -> Caller:
        named = request.path_params.get(tenant_in) or by_header
        meant, held = await _meant(doors, identity, named)
        request.state.tenant = meant.name
        if not held.allows(role):
            raise _forbidden(f"this needs the role {role} of tenant {meant.name!r}; yours: {held}")
        limits: Limits = request.app.state.limits
        spend(limits.tenant, str(meant.id), whose=f"tenant {meant.name!r}")
        view = doors.catalog.as_tenant(meant.id)
        return Caller(identity=identity, tenant=meant, role=held, catalog=view, launch=doors.launch)

    return caller


async def instance_admin(identity: SignedInOrToken) -> Identity:
    """A dependency: whoever runs the installation."""
    check_instance_admin(identity)
    return identity


def check_instance_admin(identity: Identity) -> None:
    """End the request with 403 unless they run the installation."""
    if not identity.is_instance_admin:
        raise _forbidden("this needs an instance admin")


Viewer: TypeAlias = Annotated[Caller, Depends(require(Role.VIEWER))]
Operator: TypeAlias = Annotated[Caller, Depends(require(Role.OPERATOR))]
Admin: TypeAlias = Annotated[Caller, Depends(require(Role.ADMIN))]
InstanceAdmin: TypeAlias = Annotated[Identity, Depends(instance_admin)]


def check_csrf(request: Request, csrf: str, said: str | None) -> None:
    """End the request with 403 unless it says the session's word."""
    if said is None or not is_same(said, csrf):
        raise _forbidden(f"a change needs the header {CSRF_HEADER}; GET /api/v2/session tells it")


def _known(request: HTTPConnection, doors: Doors, limits: Limits) -> Identity:
    address, now = client_of(request.scope), doors.clock()
    written = request.headers.get("authorization")
    secret = session_secret(request, doors.settings)
    if written is None and secret is None:
        raise unauthenticated("say who you are: by an API token, or sign in")
    wait = limits.refused.wait(address)
    if wait:
        raise too_many("too many wrong credentials came from this address", wait=wait)
    with doors.catalog.begin() as db:
        if written is not None:
            identity = _of_token(db, written, now)
        else:
            identity = _of_session(db, secret or "", now)
    if identity is None:
        limits.refused.take(address)
        raise unauthenticated("nobody is known by these credentials, or not any more")
    if identity.token is not None and identity.token.is_suspended:
        raise _suspended(identity.token.tenant)
    return identity


def _of_token(db: Db, written: str, now: datetime) -> Identity | None:
    scheme, _, secret = written.partition(" ")
    token = find_token_for_all_tenants(db, secret) if scheme.lower() == "bearer" else None
    if token is None or not token.is_good(now):
        return None
    note_use(db, token, now)
    return Identity(actor=f"token:{token.prefix}", token=token)


def _of_session(db: Db, secret: str, now: datetime) -> Identity | None:
    found = find_session_for_all_tenants(db, secret, now=now)
    if found is None:
        return None
    return Identity(actor=f"user:{found.user.email}", user=found.user, csrf=found.csrf)


async def _meant(doors: Doors, identity: Identity, named: str | None) -> tuple[Meant, Role]:
    """The tenant that is meant, and what the caller may do for it; ends the request otherwise.

    One of their own is known with them; only who belongs to none or to all has it looked up.
    """
    own = identity.tenants
    if named is None and len(own) == 1:
        named = str(own[0].id)
    if named is None:
        theirs = f"; yours are {', '.join(one.name for one in own)}" if own else ""
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"say in the header {TENANT_HEADER} which tenant{theirs}"
        )
    meant = next((one for one in own if one.is_called(named)), None)
    if meant is None and (not own or identity.is_instance_admin):
        meant = await run_in_threadpool(_looked_up, doors, named)
    role = None if meant is None else identity.role_for(meant.id)
    if meant is None or role is None:
        raise not_found("tenant", named)
    if not meant.is_active and not identity.is_instance_admin:
        raise _suspended(meant.name)
    return meant, role


def _looked_up(doors: Doors, named: str) -> Meant | None:
    with doors.catalog.begin() as db:
        found = tenant_named_for_all_tenants(db, named)
    if found is None:
        return None
    return Meant(id=found.id, name=found.name, is_active=found.is_active)


def unauthenticated(detail: str) -> ProblemError:
    """Nobody is known by what came with the request."""
    headers = {"WWW-Authenticate": "Bearer"}
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers=headers)


def _suspended(tenant: str | None) -> ProblemError:
    return _forbidden(
        f"tenant {tenant!r} is suspended: nothing of it starts, and nobody comes in for it; "
        "ask whoever runs this installation"
    )


def _forbidden(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.FORBIDDEN, detail)
