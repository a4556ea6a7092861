"""What is asked and what is answered: plain values.

Law: a page of JSON is decoded without losing anything; numbers with a point become
`Decimal`, whole ones integers of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

from connectors.errors import TransientError
from connectors.http.redact import shown_url

Params: TypeAlias = tuple[tuple[str, str], ...]

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``path`` is relative to the base URL, or a whole URL of the same origin.

    ``repeatable`` False: it may have been done although no answer came, so it is not
    tried again. ``bucket`` names the limit it counts against, where there are several.
    """

    path: str
    method: str = "GET"
    params: Params = ()
    headers: Params = ()
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = True
    bucket: str = "calls"

    def with_params(self, **params: object) -> Call:
        """The same, these parameters put in place of those of the same name; None removes."""
        return self.put(params)

    def put(self, params: Mapping[str, object]) -> Call:
        """As `with_params`, for names that Python does not take; a list repeats its name."""
        kept = [pair for pair in self.params if pair[0] not in params]
        for name, value in params.items():
            kept.extend((name, one) for one in _spelled(value))
        return replace(self, params=tuple(kept))

    def param(self, name: str) -> str | None:
        """The value of a parameter; None if it is not there."""
        return next((value for key, value in self.params if key == name), None)

    def with_json(self, value: Any) -> Call:
        """The same with a JSON body; a `Decimal` becomes a number with all its digits."""
        headers = tuple(pair for pair in self.headers if pair[0].lower() != "content-type")
        return replace(
            self,
            body=_ENCODER.encode(value),
            headers=(*headers, ("Content-Type", "application/json")),
        )


def _spelled(value: object) -> Sequence[str]:
    if value is None:
        return ()
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [text for one in value for text in _spelled(one)]
    return (str(value),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response, read to its end. Header names are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """The body; `TransientError` when it is no whole JSON: an error page, a cut answer."""
        try:
            return _DECODER.decode(self.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            where = shown_url(self.url)
            if self.content.lstrip()[:1] == b"<":
                raise TransientError(
                    f"{where} answered with a page of HTML where JSON was expected "
                    f"(status {self.status})"
                ) from error
            raise TransientError(
                f"{where} answered with JSON that breaks off or is damaged "
                f"({len(self.content)} bytes)"
            ) from error


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what must be equal for credentials to go along."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or {"https": 443}.get(scheme, 80)


def encoded(value: Any) -> str:
    """A value as JSON text; decimals keep their digits."""
    return _ENCODER.encode(value).decode()
