"""What an inbound request comes to: genuine or not, and the delivery with its events.

Pure: what is stored, and when, is up to the caller.
"""

from collections.abc import Mapping
from uuid import UUID, uuid4

from connectors.webhooks.contract import MalformedError, Received, Scheme, Verdict
from sync_pipelines import tracing
from sync_pipelines.catalog.deliveries import Delivery
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.event import Event
from sync_pipelines.model.kinds import EventTrigger

NEVER_KEPT = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""Headers that hold what is secret, whatever the scheme."""


def judge(endpoint: Endpoint, scheme: Scheme, request: Received) -> Delivery | Verdict:
    """The delivery that a genuine request makes, or why it is refused."""
    verdict = scheme.verify(request, endpoint.secrets_at(request.at))
    if verdict is not Verdict.GENUINE:
        return verdict
    try:
        return delivery_of(endpoint, scheme, request, uuid4())
    except MalformedError:
        return Verdict.MALFORMED


def delivery_of(
    endpoint: Endpoint, scheme: Scheme, request: Received, delivery_id: UUID
) -> Delivery:
    """A request with the events that it tells of; `MalformedError` if it does not say so."""
    secret = NEVER_KEPT | scheme.secret_headers
    kept = {name: value for name, value in request.headers.items() if name not in secret}
    events = tuple(
        Event(
            id=uuid4(),
            tenant_id=endpoint.tenant_id,
            source=EventTrigger.WEBHOOK,
            platform=endpoint.platform,
            event_id=notice.event_id,
            event_type=notice.event_type,
            entity_type=notice.entity_type,
            entity_id=notice.entity_id,
            streams=notice.streams,
            delivery_id=delivery_id,
            traceparent=tracing.carried().get(tracing.CARRIED),
            payload=notice.data,
            received_at=request.at,
        )
        for notice in scheme.read(request)
    )
    return Delivery(
        id=delivery_id,
        tenant_id=endpoint.tenant_id,
        endpoint_id=endpoint.id,
        received_at=request.at,
        body=request.body,
        headers=_storable(kept),
        query=_storable(request.query),
        events=events,
    )


def events_again(endpoint: Endpoint, scheme: Scheme, held: Delivery) -> tuple[Event, ...]:
    """The events that a stored delivery tells of; the same as when it came.

    `MalformedError` if the scheme's options were changed so that it no longer says so.
    """
    request = Received(at=held.received_at, body=held.body, headers=held.headers, query=held.query)
    return delivery_of(endpoint, scheme, request, held.id).events


def _storable(texts: Mapping[str, str]) -> dict[str, str]:
    return {_clean(name): _clean(value) for name, value in texts.items()}


def _clean(text: str) -> str:
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
