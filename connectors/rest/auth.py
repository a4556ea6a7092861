"""How a connection proves who it is: one small class for each way.

Each is frozen data without a printed secret; ``signer`` makes of it what signs the calls
of one client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import uuid4

from connectors.http.bearer import MemoryTokens, OAuth2Signer
from connectors.http.call import Call
from connectors.http.client import Signer, Unsigned
from connectors.http.oauth import App, TokenEndpoint, basic
from connectors.http.oauth1 import OAuth1Signer
from connectors.http.outside import Outside
from connectors.surroundings import TokenStore


class Auth(Protocol):
    """A way of proving who calls."""

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """What signs calls; ``tokens`` is where tokens are kept, if somebody lends a store."""
        ...


@dataclass(frozen=True, slots=True)
class NoAuth:
    """Everybody may call."""

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `Auth.signer`."""
        return Unsigned()


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeaderSigner:
    header: str
    value: str = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False)

    def sign(self, call: Call, url: str) -> Call:
        return replace(call, headers=(*call.headers, (self.header, self.value)))

    def renew(self, refused: Call) -> bool:
        return False

    def secrets(self) -> Sequence[str]:
        return self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """HTTP Basic: a user and a password, or a key and its secret."""

    user: str
    password: str = field(repr=False)

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `Auth.signer`."""
        value = basic(self.user, self.password)
        return _HeaderSigner(
            header="Authorization",
            value=value,
            hidden=(self.password, value.removeprefix("Basic ")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerAuth:
    """A token in the ``Authorization`` header."""

    token: str = field(repr=False)

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `Auth.signer`."""
        return _HeaderSigner(
            header="Authorization", value=f"Bearer {self.token}", hidden=(self.token,)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderKeyAuth:
    """A key in a header of the provider's choice."""

    header: str
    key: str = field(repr=False)

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `Auth.signer`."""
        return _HeaderSigner(header=self.header, value=self.key, hidden=(self.key,))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryKeyAuth:
    """A key among the query parameters."""

    param: str
    key: str = field(repr=False)

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `Auth.signer`."""
        return _QuerySigner(param=self.param, key=self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _QuerySigner:
    param: str
    key: str = field(repr=False)

    def sign(self, call: Call, url: str) -> Call:
        return call.put({self.param: self.key})

    def renew(self, refused: Call) -> bool:
        return False

    def secrets(self) -> Sequence[str]:
        return (self.key,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """Bearer tokens by OAuth 2: with a refresh token, or, ``as_client``, without a person."""

    app: App
    refresh_token: str | None = field(default=None, repr=False)
    as_client: bool = False

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `Auth.signer`."""
        return OAuth2Signer(
            endpoint=TokenEndpoint(app=self.app, outside=outside),
            store=tokens or MemoryTokens(),
            refresh_token=self.refresh_token,
            as_client=self.as_client,
        )


def _nonce() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth1:
    """One-legged OAuth 1.0a, signed with HMAC-SHA256, in the query."""

    key: str
    secret: str = field(repr=False)
    nonce: Callable[[], str] = _nonce

    def signer(self, tokens: TokenStore | None, outside: Outside) -> Signer:
        """See `Auth.signer`."""
        return OAuth1Signer(key=self.key, secret=self.secret, now=outside.now, nonce=self.nonce)
