"""Microsoft Graph: ``clientState`` in every notification, and a handshake.

Source: Microsoft Graph's "Receive change notifications through webhooks" and its
``subscription`` resource. A new subscription's URL is asked with ``validationToken`` and
must answer 200, ``text/plain``, with the decoded token and nothing else, within 10 s;
notifications within 3 s. Lifecycle notifications say that a subscription itself needs care;
``missed`` means that notifications were lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.webhooks.contract import (
    MalformedError,
    Notice,
    Received,
    Reply,
    Scheme,
    Verdict,
)
from connectors.webhooks.proof import matches
from connectors.webhooks.reading import (
    as_list,
    as_object,
    bounded,
    fingerprint,
    inside,
    needed,
    read_object,
    repeated_id,
    word,
)

LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class MicrosoftGraph(Scheme):
    """Changes of what subscriptions watch."""

    def greet(self, request: Received) -> Reply | None:
        """The validation of a subscription's URL."""
        token = request.query.get("validationToken")
        if token is None or len(token) > LONGEST_TOKEN:
            return None
        return Reply(body=token)

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """Every notification must have the ``clientState``."""
        try:
            states = [one.get("clientState") for one in _notifications(request)]
        except MalformedError:
            return Verdict.MALFORMED
        if not states or not all(isinstance(state, str) for state in states):
            return Verdict.UNSIGNED
        genuine = [matches([state], secrets) for state in states]
        return Verdict.GENUINE if all(genuine) else Verdict.FORGED

    def read(self, request: Received) -> Sequence[Notice]:
        """Every notification of a change, and every one of a subscription's life."""
        return [_notice(one, at, request) for at, one in enumerate(_notifications(request))]


def _notifications(request: Received) -> Sequence[Any]:
    listed = as_list(read_object(request.body).get("value"), "value")
    return [as_object(one, "a notification") for one in listed]


def _notice(one: Any, at: int, request: Received) -> Notice:
    subscription = needed(one.get("subscriptionId"), "a notification's subscriptionId")
    data = {name: value for name, value in one.items() if name != "clientState"}
    life = word(one.get("lifecycleEvent"))
    if life is not None:
        return Notice(
            event_id=repeated_id(request, str(at)),
            event_type=bounded(f"lifecycle.{life}"),
            data=data,
        )
    change = needed(one.get("changeType"), "a notification's changeType")
    resource = needed(one.get("resource"), "a notification's resource")
    identity = word(inside(one, "resourceData", "id"))
    tag = word(inside(one, "resourceData", "@odata.etag"))
    entity = _collection(resource)
    known = identity is not None and tag is not None
    return Notice(
        event_id=fingerprint(subscription, identity, tag, change)
        if known
        else repeated_id(request, str(at)),
        event_type=bounded(f"{entity}.{change}"),
        entity_type=entity,
        entity_id=identity,
        streams=(entity,),
        data=data,
    )


def _collection(resource: str) -> str:
    """``Users/{id}/Events/{id}`` is of ``events``."""
    parts = [part for part in resource.split("?")[0].split("/") if part]
    at = -2 if len(parts) % 2 == 0 and len(parts) > 1 else -1
    return (parts[at] if parts else "resource").lower()
