"""OAuth 2: calls carry a token that is fresh.

Laws:

* A refreshed token is durable before it is used: a provider that rotates refresh tokens
  takes the old one back, and whoever loses the new one has lost the connection.
* One refresh at a time for each connection, whoever asks; the others take what it brought.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from threading import RLock
from typing import Any

from connectors.errors import AuthError
from connectors.http.call import Call
from connectors.http.oauth import TokenEndpoint
from connectors.surroundings import Tokens, TokenStore

EARLY = timedelta(seconds=60)
"""A token this near to its end is not begun with."""


class MemoryTokens:
    """A token store of this process, for providers that do not rotate refresh tokens."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        """Begin with these."""
        self._tokens = tokens
        self._lock = RLock()

    def load(self) -> Tokens | None:
        """See `TokenStore.load`."""
        return self._tokens

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See `TokenStore.lock`."""
        with self._lock:
            yield

    def save(self, tokens: Tokens) -> None:
        """See `TokenStore.save`."""
        self._tokens = tokens


@dataclass(slots=True, kw_only=True)
class OAuth2Signer:
    """Puts a bearer token on calls, and gets another when it is used up.

    ``refresh_token`` is the configured one; without it, what was authorized into the
    store is used, or else the client's own credentials where ``as_client``.
    """

    endpoint: TokenEndpoint
    store: TokenStore
    refresh_token: str | None = field(default=None, repr=False)
    as_client: bool = False
    _tokens: Tokens | None = field(default=None, repr=False)
    _lock: Any = field(default_factory=RLock, repr=False)

    def sign(self, call: Call, url: str) -> Call:
        """See `Signer.sign`."""
        token = self.current().access_token
        return replace(call, headers=(*call.headers, ("Authorization", f"Bearer {token}")))

    def renew(self, refused: Call) -> bool:
        """See `Signer.renew`: another token than the one that was refused."""
        used = dict(refused.headers).get("Authorization", "").removeprefix("Bearer ")
        with self._lock:
            self._tokens = self._fresh(refused=used)
        return self._tokens.access_token != used

    def secrets(self) -> Sequence[str]:
        """See `Signer.secrets`."""
        app, held = self.endpoint.app, self._tokens
        known = (app.client_secret, self.refresh_token)
        granted = (held.access_token, held.refresh_token) if held else ()
        return [secret for secret in (*known, *granted) if secret]

    def current(self) -> Tokens:
        """Tokens that are good for a while."""
        with self._lock:
            if self._tokens is None or not self._lasts(self._tokens):
                self._tokens = self._fresh(refused=None)
            return self._tokens

    def _fresh(self, *, refused: str | None) -> Tokens:
        held = self._held()
        if held is not None and self._lasts(held) and held.access_token != refused:
            return held
        with self.store.lock():
            held = self._held()  # while we waited, another one may have refreshed them
            if held is not None and self._lasts(held) and held.access_token != refused:
                return held
            fresh = replace(self._asked(held), origin=self._origin)
            self.store.save(fresh)
        return fresh

    def _asked(self, held: Tokens | None) -> Tokens:
        if self.as_client:
            return self.endpoint.client_credentials()
        if held is not None:
            return self.endpoint.refresh(held)
        if self.refresh_token is None:
            raise AuthError(
                "this connection has not been authorized yet; run "
                "`sync-pipelines connections authorize TENANT/NAME`"
            )
        return self.endpoint.refresh(Tokens(access_token="", refresh_token=self.refresh_token))

    def _held(self) -> Tokens | None:
        held = self.store.load()
        return held if held is not None and held.origin in ("", self._origin) else None

    @property
    def _origin(self) -> str:
        return grant_origin(self.endpoint.app.client_id, self.refresh_token)

    def _lasts(self, tokens: Tokens) -> bool:
        if not tokens.access_token:
            return False
        return tokens.expires_at is None or tokens.expires_at - EARLY > self.endpoint.outside.now()


def grant_origin(client_id: str, refresh_token: str | None) -> str:
    """From which configuration tokens came; tells nothing about it."""
    return sha256(f"{client_id}\0{refresh_token or ''}".encode()).hexdigest()[:16]
