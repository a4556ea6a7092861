"""OAuth 1.0a without a user: the request itself is signed, with HMAC-SHA256 (RFC 5849).

For shops reached over plain HTTP, where a password must not go over the wire.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from hmac import new as hmac
from urllib.parse import parse_qsl, quote, urlsplit

from connectors.http.call import Call, Params


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth1Signer:
    """Puts the signature among the query parameters. Its repr shows no secret."""

    key: str
    secret: str = field(repr=False)
    now: Callable[[], datetime]
    nonce: Callable[[], str]

    def sign(self, call: Call, url: str) -> Call:
        """See `Signer.sign`."""
        said = {
            "oauth_consumer_key": self.key,
            "oauth_nonce": self.nonce(),
            "oauth_signature_method": "HMAC-SHA256",
            "oauth_timestamp": str(int(self.now().timestamp())),
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
        """A key is good or it is not."""
        return False

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
