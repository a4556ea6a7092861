"""Signing in with the organization's identity provider, if the settings name one.

::

    /sign-in/oidc ──▶ the provider ──▶ /sign-in/oidc/callback ──▶ where one wanted to be

What we made up for a sign-in is in a sealed cookie of the browser that began it: a code
that was brought to another browser signs nobody in.

Law: who comes in is a user, or gets to be one, without any role, if the address is of a
domain that the settings name.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from connectors.errors import ConfigError
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.credentials import is_same, new_secret
from sync_pipelines.catalog.syncs import NotFoundError
from sync_pipelines.catalog.users import User, find_user, make_user, read_email
from sync_pipelines.gateway.cookies import is_https, public_url, put_session
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.oidc_provider import Attempt, Provider, ProviderError
from sync_pipelines.gateway.pages import HOME, page, safe_place
from sync_pipelines.gateway.problems import not_found
from sync_pipelines.gateway.signing_in import open_for

router = APIRouter(include_in_schema=False)

BEGIN = "/sign-in/oidc"
CALLBACK = f"{BEGIN}/callback"
COOKIE = "sync_oidc"
LASTS = timedelta(minutes=10)

log = structlog.get_logger()


@router.get(BEGIN)
def begin(
    request: Request, doors: ItsDoors, next: Annotated[str, Query(max_length=500)] = HOME
) -> Response:
    """Lead to the provider."""
    provider, now = _provider(request), doors.clock()
    attempt = Attempt(state=new_secret(), nonce=new_secret(), verifier=new_secret())
    try:
        url = provider.leading_to(attempt, back_to=_back_to(request, doors), now=now)
    except ProviderError as error:
        return _failed(error, HTTPStatus.BAD_GATEWAY)
    response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
    kept = {
        "state": attempt.state,
        "nonce": attempt.nonce,
        "verifier": attempt.verifier,
        "next": safe_place(next),
        "until": (now + LASTS).isoformat(),
    }
    response.set_cookie(
        COOKIE,
        doors.catalog.secrets.seal(kept),
        max_age=int(LASTS.total_seconds()),
        path=BEGIN,
        secure=is_https(request, doors.settings),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(CALLBACK)
def callback(
    request: Request,
    doors: ItsDoors,
    code: Annotated[str, Query(max_length=4000)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Sign in whom the provider vouches for."""
    provider, now = _provider(request), doors.clock()
    try:
        attempt, next_place = _begun(request, doors, state, now)
        back_to = _back_to(request, doors)
        email = provider.email_of(code, attempt, back_to=back_to, now=now)
        user = _user(doors, email, now)
    except ProviderError as error:
        response = _failed(error, HTTPStatus.UNAUTHORIZED)
    else:
        response = RedirectResponse(next_place, HTTPStatus.SEE_OTHER)
        put_session(response, request, doors.settings, open_for(request, doors, user))
    response.delete_cookie(COOKIE, path=BEGIN)
    return response


def _begun(request: Request, doors: Doors, state: str, now: datetime) -> tuple[Attempt, str]:
    """What this browser began, if the answer is to that."""
    sealed = request.cookies.get(COOKIE)
    if sealed is None:
        raise ProviderError("this browser began no sign-in, or too long ago")
    try:
        kept = doors.catalog.secrets.open(sealed)
        until = datetime.fromisoformat(str(kept["until"]))
        attempt = Attempt(
            state=str(kept["state"]), nonce=str(kept["nonce"]), verifier=str(kept["verifier"])
        )
    except (ConfigError, ValueError, KeyError) as error:
        raise ProviderError("the cookie of the sign-in is not ours") from error
    if now > until or not is_same(state, attempt.state):
        raise ProviderError("the answer is not to the sign-in that this browser began")
    return attempt, safe_place(str(kept["next"]))


def _user(doors: Doors, email: str, now: datetime) -> User:
    domains = {one.strip().lower() for one in doors.settings.oidc_domains.split(",")} - {""}
    try:
        address = read_email(email)
    except ConfigError as error:
        raise ProviderError(str(error)) from error
    with doors.catalog.begin() as db:
        try:
            return find_user(db, address)
        except NotFoundError as error:
            if address.rpartition("@")[2] not in domains:
                raise ProviderError(f"{address!r} is no user, and of no known domain") from error
        made = make_user(db, address, password_hash=None, now=now)
        audit.record(
            db,
            at=now,
            actor="oidc",
            action="user.created",
            subject=made.email,
            tenant_id=None,
            after={"is_instance_admin": False},
        )
    return made


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.oidc
    if provider is None:
        raise not_found("page", request.url.path)
    return provider


def _back_to(request: Request, doors: Doors) -> str:
    return f"{str(public_url(request, doors.settings)).rstrip('/')}{CALLBACK}"


def _failed(error: ProviderError, status: HTTPStatus) -> Response:
    """The log has the reason; a stranger learns nothing."""
    log.warning("oidc.refused", reason=str(error))
    return page(
        "message.html",
        title="Signing in did not work",
        text="Your organization's sign-in was not accepted here. Try again; if it stays so, "
        "ask an admin whether you are a user.",
        status=status,
    )
