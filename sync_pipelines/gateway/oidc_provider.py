"""The organization's identity provider: where it is, and what its word is worth.

OpenID Connect Core 1.0, discovery, and PKCE (RFC 7636).

Laws:

* An identity token counts if its issuer signed it for us, now, for this very sign-in.
* Only public-key signatures: who holds our client secret can sign nothing.
* Only an address that the provider has verified is somebody's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]
    prepare_grant_uri,
)
from authlib.oauth2.rfc7636 import (  # type: ignore[import-untyped]
    create_s256_code_challenge,
)
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from sync_pipelines.settings import Settings

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
PATIENCE_SECONDS = 10.0
REMEMBERED = timedelta(hours=1)
LEEWAY = timedelta(minutes=1)
"""By how much the provider's clock may differ from ours."""

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


class ProviderError(Exception):
    """The provider cannot be asked, or what it says does not count. Not for the person's eyes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the provider says of itself, and its keys; as of ``at``."""

    at: datetime
    authorize: str
    token: str
    methods: tuple[str, ...]
    keys: KeySet


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One sign-in: what we made up for it, and must hear back."""

    state: str
    nonce: str
    verifier: str


class Provider:
    """The provider of the settings; ``issuer`` and client must be set there."""

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_issuer is not None
        self._issuer = str(settings.oidc_issuer).rstrip("/")
        self._client_id = settings.oidc_client_id or ""
        secret = settings.oidc_client_secret
        self._secret = None if secret is None else secret.get_secret_value()
        self._lock = Lock()
        self._known: Known | None = None

    def leading_to(self, attempt: Attempt, *, back_to: str, now: datetime) -> str:
        """Where the person goes to sign in."""
        known = self._of(now)
        url = prepare_grant_uri(
            known.authorize,
            client_id=self._client_id,
            response_type="code",
            redirect_uri=back_to,
            scope="openid email",
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return str(url)

    def email_of(self, code: str, attempt: Attempt, *, back_to: str, now: datetime) -> str:
        """Whose code this is: their verified address. `ProviderError` if that cannot be known."""
        known = self._of(now)
        told = self._exchanged(known, code, attempt.verifier, back_to)
        claims = self._claims(str(told.get("id_token", "")), known, now)
        return self._judged(claims, attempt, now)

    def _judged(self, claims: Mapping[str, Any], attempt: Attempt, now: datetime) -> str:
        audience = claims.get("aud")
        meant = [audience] if isinstance(audience, str) else audience
        wrong = {
            "iss": str(claims.get("iss", "")).rstrip("/") != self._issuer,
            "aud": not isinstance(meant, list) or self._client_id not in meant,
            "azp": claims.get("azp", self._client_id) != self._client_id,
            "nonce": claims.get("nonce") != attempt.nonce,
            "exp": not _is_number(claims.get("exp")) or claims["exp"] < (now - LEEWAY).timestamp(),
            "iat": not _is_number(claims.get("iat")) or claims["iat"] > (now + LEEWAY).timestamp(),
            "email_verified": claims.get("email_verified") is not True,
            "email": not isinstance(claims.get("email"), str),
        }
        if found := [name for name, is_wrong in wrong.items() if is_wrong]:
            raise ProviderError(f"the identity token is not good in: {', '.join(found)}")
        return str(claims["email"])

    def _claims(self, token: str, known: Known, now: datetime) -> Mapping[str, Any]:
        try:
            return jwt.decode(token, known.keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError):
            fresh = self._of(now, anew=True)  # it may have changed its keys meanwhile
        try:
            return jwt.decode(token, fresh.keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError) as error:
            raise ProviderError(f"the identity token is not signed well: {error}") from error

    def _of(self, now: datetime, *, anew: bool = False) -> Known:
        with self._lock:
            if anew or self._known is None or now - self._known.at > REMEMBERED:
                self._known = self._discovered(now)
            return self._known

    def _discovered(self, now: datetime) -> Known:
        try:
            with httpx.Client(timeout=PATIENCE_SECONDS) as client:
                told = _json(client, f"{self._issuer}/.well-known/openid-configuration")
                if str(told["issuer"]).rstrip("/") != self._issuer:
                    raise ProviderError(f"{self._issuer} says that it is {told['issuer']!r}")
                places = [str(told[f"{one}_endpoint"]) for one in ("authorization", "token")]
                for place in (*places, str(told["jwks_uri"])):
                    _check_place(place)
                keys = KeySet.import_key_set(_json(client, str(told["jwks_uri"])))  # type: ignore[arg-type]
        except (httpx.HTTPError, JoseError, ValueError, LookupError, TypeError) as error:
            raise ProviderError(f"{self._issuer} cannot be asked: {error!r}") from error
        methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Known(
            at=now, authorize=places[0], token=places[1], methods=tuple(methods), keys=keys
        )

    def _exchanged(self, known: Known, code: str, verifier: str, back_to: str) -> Mapping[str, Any]:
        """What the provider gives for a code (RFC 6749, 4.1.3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": back_to,
            "client_id": self._client_id,
        }
        auth = None
        if self._secret is not None and "client_secret_basic" in known.methods:
            auth = httpx.BasicAuth(quote(self._client_id, ""), quote(self._secret, ""))
        elif self._secret is not None:
            form["client_secret"] = self._secret
        try:
            with httpx.Client(timeout=PATIENCE_SECONDS, auth=auth) as client:
                answer = client.post(known.token, data=form)
                return _object(answer, known.token)
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderError(f"the code was not taken: {error}") from error


def _json(client: httpx.Client, url: str) -> Mapping[str, Any]:
    return _object(client.get(url), url)


def _object(answer: httpx.Response, url: str) -> Mapping[str, Any]:
    told = answer.raise_for_status().json()
    if not isinstance(told, dict):
        raise ValueError(f"{url} answers no object")
    return told


def _check_place(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOCAL:
        raise ProviderError(f"{url!r} is not reached by https")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
