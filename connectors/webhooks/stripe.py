"""Stripe: ``Stripe-Signature: t=<seconds>,v1=<hex>``, HMAC-SHA256 of ``t``, a dot and the body.

Source: stripe-python's ``stripe/_webhook.py``. The key is the whole secret as it is shown,
with its ``whsec_``; several ``v1`` may be there while it is rolled; more than 300 s away is
refused. A thin event (``v2.core.event``) names what changed without saying how.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from connectors.webhooks.contract import Notice, Received, Scheme, Verdict
from connectors.webhooks.proof import is_stale, matches, signature, signed_at
from connectors.webhooks.reading import inside, needed, plural, read_object, word


@dataclass(frozen=True, slots=True)
class Stripe(Scheme):
    """Events of an account."""

    issues_secret: ClassVar[bool] = True

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By ``Stripe-Signature``; the time it is signed with must be now."""
        header = request.headers.get("stripe-signature")
        if not header:
            return Verdict.UNSIGNED
        parts = [part.strip().partition("=") for part in header.split(",")]
        times = [value for name, _, value in parts if name == "t"]
        sent = [value for name, _, value in parts if name == "v1"]
        when = signed_at(times[0]) if len(times) == 1 else None
        if when is None:
            return Verdict.MALFORMED
        message = f"{times[0]}.".encode() + request.body
        if not matches(sent, [signature(one.encode(), message) for one in secrets if one]):
            return Verdict.FORGED
        return Verdict.STALE if is_stale(when, request.at) else Verdict.GENUINE

    def read(self, request: Received) -> Sequence[Notice]:
        """The event, by its own id."""
        event = read_object(request.body)
        thing = inside(event, "data", "object")
        related = inside(event, "related_object")
        entity = word(inside(thing, "object")) or word(inside(related, "type"))
        if entity is not None:
            entity = entity.rpartition(".")[2]
        return [
            Notice(
                event_id=needed(event.get("id"), "the event's id"),
                event_type=needed(event.get("type"), "the event's type"),
                entity_type=entity,
                entity_id=word(inside(thing, "id")) or word(inside(related, "id")),
                streams=plural(entity),
                data=event,
            )
        ]
