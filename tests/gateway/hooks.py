"""Endpoints for tests, genuine requests to them, and what became of those."""

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from hmac import new
from uuid import UUID

from sqlalchemy import select

from sync_pipelines.catalog import endpoints, events
from sync_pipelines.catalog.tables import DeliveryRow
from sync_pipelines.engine import webhooks
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.event import Event
from sync_pipelines.runtime.waiting import wait_until
from tests.world import World

SECRET = "a secret of sixteen or more bytes"


def endpoint(world: World, name: str = "shop", **fields: object) -> Endpoint:
    values = {
        "tenant": "acme",
        "name": name,
        "scheme": "woocommerce",
        "options": {},
        "connection": None,
        "secret": SECRET,
        "silence_after": None,
        "actor": "test",
        "now": world.clock(),
        **fields,
    }
    return webhooks.create(world.catalog, **values).endpoint  # type: ignore[arg-type]


def order(number: int = 7, **fields: object) -> bytes:
    return json.dumps({"id": number, "status": "paid", **fields}).encode()


def signed(body: bytes, delivery: str = "d-1", secret: str = SECRET) -> dict[str, str]:
    """The headers of WooCommerce."""
    signature = b64encode(new(secret.encode(), body, sha256).digest()).decode()
    return {
        "X-WC-Webhook-Signature": signature,
        "X-WC-Webhook-Topic": "order.updated",
        "X-WC-Webhook-Delivery-ID": delivery,
        "Content-Type": "application/json",
    }


def events_of(world: World, tenant_id: UUID) -> list[Event]:
    """Oldest first."""
    with world.catalog.begin() as db:
        found = events.list_events(db, tenant_id=tenant_id, limit=20_000)
    return sorted(found, key=lambda event: (event.received_at, event.event_id))


def soon(is_so: Callable[[], object]) -> None:
    """Wait for what goes on in the background."""
    assert wait_until(lambda: bool(is_so()), seconds=10, every=0.01), "it does not happen"


def stored(world):
    with world.catalog.begin() as db:
        query = select(DeliveryRow.__table__).order_by(DeliveryRow.received_at)
        return db.execute(query).all()


def found(world, name="shop", tenant="acme"):
    with world.catalog.begin() as db:
        return endpoints.find(db, world.catalog.secrets, name, tenant=tenant)
