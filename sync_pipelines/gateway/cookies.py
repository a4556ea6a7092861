"""The cookie of a browser that is signed in."""

from fastapi import Request, Response
from starlette.datastructures import URL
from starlette.requests import HTTPConnection

from sync_pipelines.catalog.sessions import OpenedSession
from sync_pipelines.settings import Settings

PLAIN_NAME = "sync_session"
SECURE_NAME = "__Host-sync_session"
"""A browser takes a cookie of such a name from this host alone, over TLS (RFC 6265bis, 4.1.3.2)."""


def is_https(request: HTTPConnection, settings: Settings) -> bool:
    """Whether people reach the gateway by TLS, here or at a proxy before it."""
    if settings.public_url is not None:
        return settings.public_url.scheme == "https"
    return request.url.scheme in ("https", "wss")


def public_url(request: HTTPConnection, settings: Settings) -> URL:
    """Where people reach the gateway."""
    if settings.public_url is not None:
        return URL(str(settings.public_url).rstrip("/"))
    return URL(f"{request.url.scheme}://{request.url.netloc}")


def session_secret(request: HTTPConnection, settings: Settings) -> str | None:
    """What the cookie holds, if there is one."""
    return request.cookies.get(_name(request, settings))


def put_session(
    response: Response, request: Request, settings: Settings, opened: OpenedSession
) -> None:
    """Give the browser its session."""
    response.set_cookie(
        _name(request, settings),
        opened.secret,
        max_age=settings.session_hours * 3600,
        path="/",
        secure=is_https(request, settings),
        httponly=True,
        samesite="lax",
    )


def drop_session(response: Response, request: Request, settings: Settings) -> None:
    """Take it back."""
    response.delete_cookie(
        _name(request, settings),
        path="/",
        secure=is_https(request, settings),
        httponly=True,
        samesite="lax",
    )


def _name(request: HTTPConnection, settings: Settings) -> str:
    return SECURE_NAME if is_https(request, settings) else PLAIN_NAME
