"""Any sender that signs its body, or sends a token: what is where is configured.

Where a notice's id and names are found is written ``header.x-event-id`` or
``body.event.id``; what is not written is not known. GitHub, for one, is ``Signature`` with
header ``x-hub-signature-256``, prefix ``sha256=``, event_id ``header.x-github-delivery``
and event_type ``header.x-github-event``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.errors import ConfigError
from connectors.webhooks.contract import MalformedError, Notice, Received, Scheme, Verdict
from connectors.webhooks.proof import (
    Algorithm,
    Encoding,
    by_signature,
    by_token,
    is_stale,
    signature,
    signed_at,
)
from connectors.webhooks.reading import inside, plural, read_json, repeated_id, word


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Where a notice's id and names are found."""

    event_id: str | None = None
    event_type: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("event_id", "event_type", "entity_type", "entity_id"):
            place = getattr(self, name)
            kind, dot, rest = (place or "body.x").partition(".")
            if kind not in ("header", "body") or not dot or not all(rest.split(".")):
                raise ConfigError(f"{name} {place!r} is no place; write header.NAME or body.FIELD")

    def read(self, request: Received) -> Sequence[Notice]:
        """One notice; its data is the body, where that is a JSON object."""
        data = _data(request)
        entity = _found(self.entity_type, request, data)
        return [
            Notice(
                event_id=_found(self.event_id, request, data) or repeated_id(request),
                event_type=_found(self.event_type, request, data) or "changed",
                entity_type=entity,
                entity_id=_found(self.entity_id, request, data),
                streams=plural(entity),
                data=data,
            )
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature(Labels, Scheme):
    """An HMAC of the body in a header.

    ``timestamp_header``, where the sender signs a time, holds Unix seconds, which stand
    before the body with a dot between them; what is older than five minutes is refused.
    """

    header: str = "x-signature"
    algorithm: Algorithm = Algorithm.SHA256
    encoding: Encoding = Encoding.HEX
    prefix: str = ""
    timestamp_header: str | None = None

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By the header."""
        sent = _after(self.prefix, request.headers.get(self.header.lower()))
        message, when = request.body, request.at
        if self.timestamp_header is not None:
            written = request.headers.get(self.timestamp_header.lower(), "")
            signed = signed_at(written)
            if signed is None:
                return Verdict.MALFORMED
            message, when = f"{written}.".encode() + message, signed
        if sent is not None and self.encoding is Encoding.HEX:
            sent = sent.lower()
        verdict = by_signature(
            sent,
            secrets,
            lambda secret: signature(
                secret, message, algorithm=self.algorithm, encoding=self.encoding
            ),
        )
        stale = verdict is Verdict.GENUINE and is_stale(when, request.at)
        return Verdict.STALE if stale else verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Labels, Scheme):
    """A secret in a header, after a prefix such as ``Bearer``."""

    header: str = "x-webhook-token"
    prefix: str = ""

    @property
    def secret_headers(self) -> frozenset[str]:
        """The header itself."""
        return frozenset({self.header.lower()})

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By the header."""
        return by_token(_after(self.prefix, request.headers.get(self.header.lower())), secrets)


def _after(prefix: str, value: str | None) -> str | None:
    if value is None or not value.startswith(prefix):
        return None
    return value[len(prefix) :]


def _data(request: Received) -> Mapping[str, Any]:
    """The body; of one that is no JSON, nothing: a form tells of a change too."""
    try:
        value = read_json(request.body)
    except MalformedError:
        if "json" in request.headers.get("content-type", ""):
            raise
        return {}
    return value if isinstance(value, dict) else {"items": value}


def _found(place: str | None, request: Received, data: Mapping[str, Any]) -> str | None:
    if place is None:
        return None
    kind, _, rest = place.partition(".")
    if kind == "header":
        return word(request.headers.get(rest.lower()))
    return word(inside(data, *rest.split(".")))
