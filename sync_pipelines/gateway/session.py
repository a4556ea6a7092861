"""``/api/v2/session``: signing in and out, for programs that run in a browser."""

from datetime import datetime
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from sync_pipelines.catalog.sessions import close_session
from sync_pipelines.gateway.cookies import drop_session, put_session, session_secret
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import SignedInOrToken, unauthenticated
from sync_pipelines.gateway.signing_in import check_same_site, sign_in

router = APIRouter(prefix="/api/v2/session", tags=["identity"])


class Credentials(BaseModel):
    """Who signs in."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=250, examples=["ana@example.com"])
    password: SecretStr = Field(max_length=1000)


class SessionTold(BaseModel):
    """A session. A change needs ``csrf_token`` in the header ``X-CSRF-Token``."""

    csrf_token: str
    expires_at: datetime | None = None


@router.post("", status_code=HTTPStatus.CREATED)
def open_(
    credentials: Credentials, request: Request, response: Response, doors: ItsDoors
) -> SessionTold:
    """Sign in: the session is in a cookie that no script can read."""
    check_same_site(request, doors)
    password = credentials.password.get_secret_value()
    opened = sign_in(request, doors, email=credentials.email, password=password)
    put_session(response, request, doors.settings, opened)
    response.headers["Cache-Control"] = "no-store"
    return SessionTold(csrf_token=opened.csrf, expires_at=opened.expires_at)


@router.get("")
def tell(response: Response, identity: SignedInOrToken) -> SessionTold:
    """The word that changes need, for a page that was loaded anew."""
    if identity.csrf is None:
        raise unauthenticated("a token has no session")
    response.headers["Cache-Control"] = "no-store"
    return SessionTold(csrf_token=identity.csrf)


@router.delete("", status_code=HTTPStatus.NO_CONTENT)
def close(request: Request, response: Response, doors: ItsDoors, identity: SignedInOrToken) -> None:
    """Sign out. Needs the CSRF token, as every change does."""
    secret = session_secret(request, doors.settings)
    if identity.csrf is None or secret is None:
        raise unauthenticated("a token has no session")
    with doors.catalog.begin() as db:
        close_session(db, secret)
    drop_session(response, request, doors.settings)
