"""OAuth 2: the consent page, and the endpoint that gives out tokens.

Law: a code or a refresh token is sent once; whoever rotates them takes the old one back.

RFC 6749; PKCE is RFC 7636.
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

from connectors.errors import AuthError, ConfigError, TransientError
from connectors.http.call import Answer, Call
from connectors.http.client import HttpClient, Limits
from connectors.http.outside import Outside
from connectors.surroundings import Tokens


class Credentials(StrEnum):
    """Where the token endpoint wants the client's id and secret."""

    BASIC = "basic"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What is registered with a provider. Its repr shows no secret.

    ``asks`` are further parameters of the authorization page (``access_type=offline``),
    ``kept`` names the fields that come with the grant and are worth keeping (``realmId``).
    """

    token_url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    authorize_url: str | None = None
    scopes: Sequence[str] = ()
    credentials: Credentials = Credentials.BASIC
    asks: Mapping[str, str] = field(default_factory=dict)
    kept: Sequence[str] = ()
    allow_private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkce:
    """A secret of one authorization, and what may be shown of it. Its repr shows neither."""

    verifier: str = field(repr=False)

    @property
    def challenge(self) -> str:
        """The verifier's hash, as the authorization page is given it."""
        digest = sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    @classmethod
    def of(cls, random_bytes: bytes) -> Pkce:
        """From at least 32 random bytes."""
        if len(random_bytes) < 32:
            raise ValueError("a PKCE verifier needs 32 random bytes")
        return cls(verifier=urlsafe_b64encode(random_bytes).rstrip(b"=").decode()[:128])


def authorization_url(app: App, *, redirect_uri: str, state: str, pkce: Pkce) -> str:
    """Where to send the person who owns the account; ``state`` comes back with the code."""
    if app.authorize_url is None:
        raise ConfigError("authorize_url is missing: this connection has no page to consent on")
    if urlsplit(app.authorize_url).scheme not in ("https", "http"):
        raise ConfigError("authorize_url is no page on the web; it begins with https://")
    params = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": pkce.challenge,
        "code_challenge_method": "S256",
        **({"scope": " ".join(app.scopes)} if app.scopes else {}),
        **app.asks,
    }
    joined = "&" if urlsplit(app.authorize_url).query else "?"
    return f"{app.authorize_url}{joined}{urlencode(params)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Asks a provider for tokens."""

    app: App
    outside: Outside = field(default_factory=Outside)

    def exchange(
        self, code: str, *, redirect_uri: str, pkce: Pkce, extra: Mapping[str, str] | None = None
    ) -> Tokens:
        """The tokens for a code that came back; ``extra`` is what came with it."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": pkce.verifier,
        }
        return self._granted(form, extra=extra or {})

    def client_credentials(self) -> Tokens:
        """Tokens of the client itself."""
        scope = {"scope": " ".join(self.app.scopes)} if self.app.scopes else {}
        return self._granted({"grant_type": "client_credentials", **scope})

    def refresh(self, tokens: Tokens) -> Tokens:
        """Fresh tokens; the refresh token stays unless another came. `AuthError`: it is over."""
        if tokens.refresh_token is None:
            raise AuthError("the access expired and cannot be refreshed; authorize it again")
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        fresh = self._granted(form, extra=tokens.extra)
        return replace(
            fresh,
            refresh_token=fresh.refresh_token or tokens.refresh_token,
            origin=tokens.origin,
        )

    def _granted(self, form: Mapping[str, str], extra: Mapping[str, str] | None = None) -> Tokens:
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        app = self.app
        fields = dict(form)
        if app.credentials is Credentials.BASIC and app.client_secret is not None:
            headers.append(("Authorization", basic(app.client_id, app.client_secret)))
        else:
            fields["client_id"] = app.client_id
            if app.client_secret is not None:
                fields["client_secret"] = app.client_secret
        # A code or a rotating refresh token is good for one use: no second try.
        call = Call(
            path=app.token_url,
            method="POST",
            headers=tuple(headers),
            body=urlencode(fields).encode(),
            repeatable=form["grant_type"] == "client_credentials",
        )
        client = HttpClient(
            base_url=app.token_url,
            limits=Limits(concurrency=1),
            signer=_Hiding(tuple(fields.values())),
            allow_private=app.allow_private,
            judge=_judged,
            outside=self.outside,
        )
        try:
            body = client.send(call).json()
        finally:
            client.close()
        return self._tokens(body, extra or {})

    def _tokens(self, body: Any, extra: Mapping[str, str]) -> Tokens:
        access = body.get("access_token") if isinstance(body, Mapping) else None
        if not isinstance(access, str) or not access:
            raise AuthError("the token endpoint answered without an access_token")
        lasts = body.get("expires_in")
        try:
            seconds = None if lasts is None else float(lasts)
        except (TypeError, ValueError):
            seconds = None
        refresh = body.get("refresh_token")
        kept = {name: str(body[name]) for name in self.app.kept if name in body}
        return Tokens(
            access_token=access,
            refresh_token=refresh if isinstance(refresh, str) and refresh else None,
            expires_at=None if seconds is None else self.outside.now() + timedelta(seconds=seconds),
            extra={**extra, **kept},
        )


def basic(user: str, password: str) -> str:
    """The value of an ``Authorization`` header for HTTP Basic."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@dataclass(frozen=True, slots=True)
class _Hiding:
    """Signs nothing; what is in the form must not be shown."""

    hidden: tuple[str, ...] = field(repr=False)

    def sign(self, call: Call, url: str) -> Call:
        return call

    def renew(self, refused: Call) -> bool:
        return False

    def secrets(self) -> Sequence[str]:
        return self.hidden


def _judged(answer: Answer) -> AuthError | None:
    """RFC 6749, 5.2: the errors of a grant come with status 400."""
    if answer.status not in (400, 401):
        return None
    try:
        body = answer.json()
    except TransientError:
        body = {}
    code = body.get("error") if isinstance(body, Mapping) else None
    said = body.get("error_description") if isinstance(body, Mapping) else None
    if code == "invalid_grant":
        return AuthError(
            "the provider no longer accepts this connection's grant (invalid_grant): it was "
            "revoked or has expired; authorize the connection again"
        )
    reason = f": {said or code}" if said or code else ""
    return AuthError(f"the token endpoint refused the connection ({answer.status}){reason}")
