"""CloudEvents 1.0 over HTTP: structured, batched or binary; by bearer token or HMAC.

Source: the CloudEvents HTTP protocol binding (3.1 to 3.3) and its "HTTP 1.1 Web Hooks for
Event Delivery": a sender may ask leave first, by OPTIONS with ``WebHook-Request-Origin``,
and proves itself by a bearer token (3.1 there). An event is known by ``source`` and ``id``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.webhooks.contract import MalformedError, Notice, Received, Reply, Scheme, Verdict
from connectors.webhooks.generic import Signature, Token
from connectors.webhooks.proof import Algorithm, Encoding
from connectors.webhooks.reading import (
    as_list,
    as_object,
    bounded,
    fingerprint,
    inside,
    needed,
    plural,
    read_json,
    word,
)

BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvents(Scheme):
    """Events of any sender that follows the specification.

    With ``algorithm`` the header holds an HMAC of the body, which covers a binary event's
    data but not its names; without, the token itself.
    """

    header: str = "authorization"
    prefix: str = "Bearer "
    algorithm: Algorithm | None = None
    encoding: Encoding = Encoding.HEX

    @property
    def secret_headers(self) -> frozenset[str]:
        """The header, where it holds the token."""
        return frozenset() if self.algorithm else frozenset({self.header.lower()})

    def greet(self, request: Received) -> Reply | None:
        """A sender who asks leave."""
        origin = request.headers.get("webhook-request-origin")
        if request.method != "OPTIONS" or not origin or not origin.isprintable():
            return None
        return Reply(headers={"WebHook-Allowed-Origin": origin, "Allow": "POST"})

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By the header."""
        if self.algorithm is None:
            return Token(header=self.header, prefix=self.prefix).verify(request, secrets)
        signed = Signature(
            header=self.header,
            prefix=self.prefix,
            algorithm=self.algorithm,
            encoding=self.encoding,
        )
        return signed.verify(request, secrets)

    def read(self, request: Received) -> Sequence[Notice]:
        """The event, or all of a batch."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == BATCH:
            return [_notice(one) for one in as_list(read_json(request.body), "the batch")]
        if kind == STRUCTURED:
            return [_notice(read_json(request.body))]
        return [_notice(_binary(request, kind))]


def _notice(value: Any) -> Notice:
    event = as_object(value, "an event")
    needed(event.get("specversion"), "an event's specversion")
    source = needed(event.get("source"), "an event's source")
    identity = needed(event.get("id"), "an event's id")
    entity = word(inside(event, "data", "object"))
    return Notice(
        event_id=f"{identity[:200]}@{fingerprint(source, identity)}",
        event_type=needed(event.get("type"), "an event's type"),
        entity_type=entity,
        entity_id=word(event.get("subject")),
        streams=plural(entity),
        data=event,
    )


def _binary(request: Received, kind: str) -> Mapping[str, Any]:
    names = {
        name.removeprefix("ce-"): value
        for name, value in request.headers.items()
        if name.startswith("ce-")
    }
    if not names:
        raise MalformedError("neither a CloudEvents content type nor ce- headers")
    event: dict[str, Any] = {name: bounded(word(value) or "") for name, value in names.items()}
    if request.body and (kind.endswith("json") or not kind):
        event["data"] = read_json(request.body)
    return event
