"""Signing in with a password: counted, slowed down, and never telling who exists.

Laws:

* Whoever is signed in gets a session of a new name: one that was known before, or was
  laid under somebody, is worth nothing.
* The same answer for an unknown user, a wrong password, and a user who has none.
"""

from datetime import timedelta
from http import HTTPStatus

from fastapi import Request
from starlette.datastructures import URL

from sync_pipelines.catalog import audit
from sync_pipelines.catalog.credentials import is_password
from sync_pipelines.catalog.sessions import (
    OpenedSession,
    close_session,
    count_try,
    of_address,
    of_user,
    open_session,
    take_back,
)
from sync_pipelines.catalog.users import User, find_user, password_hash_for_all_tenants
from sync_pipelines.gateway.cookies import public_url, session_secret
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.identity import unauthenticated
from sync_pipelines.gateway.problems import ProblemError, too_many
from sync_pipelines.gateway.requests import client_of


def sign_in(request: Request, doors: Doors, *, email: str, password: str) -> OpenedSession:
    """Open a session, or end the request: 401 when it is wrong, 429 while it is locked."""
    email, now = email.strip().lower(), doors.clock()
    user, address = of_user(email), of_address(client_of(request.scope))
    with doors.catalog.begin() as db:
        locked_until = count_try(db, (address, user), now=now)
    if locked_until is not None:
        raise too_many(
            "signing in has failed too often; wait, or ask an admin", wait=locked_until - now
        )
    with doors.catalog.begin() as db:
        kept = password_hash_for_all_tenants(db, email)
    if not is_password(password, kept):
        raise unauthenticated("the email or the password is wrong")
    with doors.catalog.begin() as db:
        take_back(db, user=user, address=address, now=now)
        found = find_user(db, email)
    return open_for(request, doors, found)


def open_for(request: Request, doors: Doors, user: User) -> OpenedSession:
    """A new session for a user who has shown who they are, instead of the browser's old one."""
    now = doors.clock()
    old = session_secret(request, doors.settings)
    with doors.catalog.begin() as db:
        if old is not None:
            close_session(db, old)
        lasts = timedelta(hours=doors.settings.session_hours)
        opened = open_session(db, user.id, lasts=lasts, now=now)
        audit.record(
            db,
            at=now,
            actor=f"user:{user.email}",
            action="user.signed_in",
            subject=user.email,
            tenant_id=None,
        )
    return opened


def check_same_site(request: Request, doors: Doors) -> None:
    """End the request with 403 if another site's page has sent it: nobody is signed in unasked."""
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ProblemError(HTTPStatus.FORBIDDEN, "another site's page has sent this")
    origin = request.headers.get("origin")
    if origin is not None and URL(origin).netloc != public_url(request, doors.settings).netloc:
        raise ProblemError(HTTPStatus.FORBIDDEN, f"a page of {origin!r} has sent this")
