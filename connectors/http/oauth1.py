"""OAuth 1.0a without a user: the request itself is signed, with HMAC-SHA256 (RFC 5849).

For shops reached over plain HTTP, where a password must not go over the wire.

Law: who refuses a signature whose time is far from their own clock's is given one of their
time, once; which clock is wrong does not matter.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import new as hmac
from urllib.parse import parse_qsl, quote, urlsplit

from connectors.http.call import Call, Params

APART = timedelta(minutes=5)
"""So far a signature's time may be from theirs; shops refuse one from a quarter of an hour."""


@dataclass(slots=True, kw_only=True)
class OAuth1Signer:
    """Puts the signature among the query parameters. Its repr shows no secret."""

    key: str
    secret: str = field(repr=False)
    now: Callable[[], datetime]
    nonce: Callable[[], str]
    _told: timedelta = field(default=timedelta(0), init=False)
    _ahead: timedelta = field(default=timedelta(0), init=False)

    def sign(self, call: Call, url: str) -> Call:
        """See `Signer.sign`."""
        said = {
            "oauth_consumer_key": self.key,
            "oauth_nonce": self.nonce(),
            "oauth_signature_method": "HMAC-SHA256",
            "oauth_timestamp": str(int((self.now() + self._ahead).timestamp())),
            "oauth_version": "1.0",
        }
        # A link from the provider carries its parameters in itself.
        query = tuple(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        params = (*query, *call.params, *said.items())
        text = base_string(call.method, url, params)
        digest = hmac(f"{_escaped(self.secret)}&".encode(), text.encode(), sha256).digest()
        signature = ("oauth_signature", b64encode(digest).decode())
        return replace(call, params=(*params, signature))

    def renew(self, refused: Call) -> bool:
        """Whether it was signed at a time that is not theirs: then it is signed at theirs."""
        said = datetime.fromtimestamp(int(refused.param("oauth_timestamp") or 0), UTC)
        if abs(self.now() + self._told - said) <= APART:
            return False
        self._ahead = self._told
        return True

    def told(self, apart: timedelta) -> None:
        """See `Dated.told`."""
        self._told = apart

    def secrets(self) -> Sequence[str]:
        """See `Signer.secrets`."""
        return (self.secret,)


def base_string(method: str, url: str, params: Params) -> str:
    """What is signed: method, address and sorted parameters (RFC 5849, 3.4.1)."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme.lower())
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    port = "" if parts.port in (None, default) else f":{parts.port}"
    address = f"{parts.scheme.lower()}://{host}{port}{parts.path or '/'}"
    pairs = sorted((_escaped(name), _escaped(value)) for name, value in params)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join(_escaped(part) for part in (method.upper(), address, joined))


def _escaped(text: str) -> str:
    return quote(text, safe="-._~")
