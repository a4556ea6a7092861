"""Keeps secrets out of what people read.

Law: every text that leaves this room in an error or a log has been through here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, urlsplit

HIDDEN = "***"
SHORTEST = 4
"""Shorter secrets are not searched for: they would hide half of every sentence."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces these secrets, however they are spelled."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Redactor:
        """Hide each of them, plain, in a URL and in Base64; the longest first."""
        spelled = {
            form
            for secret in secrets
            if len(secret) >= SHORTEST
            for form in (
                secret,
                quote(secret, safe=""),
                quote_plus(secret),
                b64encode(secret.encode()).decode(),
            )
        }
        return cls(tuple(sorted(spelled, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        """The text without any of them."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def shown_url(url: str) -> str:
    """A URL as it may be shown: no user, no query, no fragment; both carry secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
