"""QuickBooks Online: base64 HMAC-SHA256 of the body with the app's verifier token.

Source: Intuit's "Webhooks best practices", and its announcement of CloudEvents
(2025-11-12): since then the body is an array of CloudEvents whose ids are unique; the old
form, with ``eventNotifications``, has no ids. One URL serves all companies (realms).
Values are never in the body; it is to be answered within 3 s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from connectors.webhooks.contract import MalformedError, Notice, Received, Scheme, Verdict
from connectors.webhooks.proof import Encoding, by_signature, signature
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


@dataclass(frozen=True, slots=True)
class QuickBooks(Scheme):
    """Changed entities of companies."""

    issues_secret: ClassVar[bool] = True

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By ``intuit-signature``."""
        return by_signature(
            request.headers.get("intuit-signature"),
            secrets,
            lambda secret: signature(secret, request.body, encoding=Encoding.BASE64),
        )

    def read(self, request: Received) -> Sequence[Notice]:
        """Every entity that is named, in the form of today or the old one."""
        value = read_json(request.body)
        if isinstance(value, list):
            return [_of_cloud_event(each) for each in value]
        if inside(value, "specversion") is not None:
            return [_of_cloud_event(value)]
        if inside(value, "eventNotifications") is None:
            raise MalformedError("the body has neither CloudEvents nor eventNotifications")
        return list(_of_old_form(value))


def _of_cloud_event(value: Any) -> Notice:
    event = as_object(value, "an event")
    kind = needed(event.get("type"), "an event's type")
    parts = kind.split(".")
    entity = parts[1] if len(parts) > 2 else None
    return Notice(
        event_id=needed(event.get("id"), "an event's id"),
        event_type=kind,
        entity_type=entity,
        entity_id=word(event.get("intuitentityid")),
        streams=plural(entity),
        data=event,
    )


def _of_old_form(value: Any) -> Iterator[Notice]:
    for each in as_list(inside(value, "eventNotifications"), "eventNotifications"):
        realm = word(inside(each, "realmId"))
        entities = inside(each, "dataChangeEvent", "entities")
        for one in as_list(entities, "dataChangeEvent.entities"):
            entity = as_object(one, "an entity")
            name = needed(entity.get("name"), "an entity's name").lower()
            operation = needed(entity.get("operation"), "an entity's operation").lower()
            identity = word(entity.get("id"))
            changed = word(entity.get("lastUpdated"))
            yield Notice(
                event_id=fingerprint(realm, name, identity, operation, changed),
                event_type=bounded(f"qbo.{name}.{operation}"),
                entity_type=name,
                entity_id=identity,
                streams=plural(name),
                data={**entity, "realmId": realm},
            )
