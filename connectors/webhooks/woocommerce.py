"""WooCommerce: base64 HMAC-SHA256 of the body.

Source: WooCommerce's ``includes/class-wc-webhook.php``. A webhook is tried out with a
form, ``webhook_id=<n>``, that carries no signature and must be answered 200. The delivery
id is made of the webhook and the present second, so two changes may share it: only with
the body's hash it names one. A deleted record's body is its id alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.webhooks.contract import Notice, Received, Reply, Scheme, Verdict
from connectors.webhooks.proof import Encoding, by_signature, signature
from connectors.webhooks.reading import bounded, fingerprint, inside, plural, read_object, word

_PING = re.compile(rb"webhook_id=[0-9]{1,20}")

BELOW = {"order": ("refunds",), "product": ("variations",)}


@dataclass(frozen=True, slots=True)
class WooCommerce(Scheme):
    """Orders, products, customers and coupons of a shop."""

    def greet(self, request: Received) -> Reply | None:
        """The form that tries the URL out."""
        return Reply() if _PING.fullmatch(request.body) else None

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By ``X-WC-Webhook-Signature``."""
        return by_signature(
            request.headers.get("x-wc-webhook-signature"),
            secrets,
            lambda secret: signature(secret, request.body, encoding=Encoding.BASE64),
        )

    def read(self, request: Received) -> Sequence[Notice]:
        """One record, by ``X-WC-Webhook-Topic``: ``order.updated``."""
        data = read_object(request.body)
        topic = word(request.headers.get("x-wc-webhook-topic")) or "changed"
        entity, dot, happened = topic.partition(".")
        delivery = request.headers.get("x-wc-webhook-delivery-id", "")
        return [
            Notice(
                event_id=bounded(f"{word(delivery) or 'none'}:{fingerprint(request.body)}"),
                event_type=topic,
                entity_type=(entity or None) if dot else None,
                entity_id=word(inside(data, "id")),
                streams=_streams(entity, happened) if dot else (),
                data=data,
            )
        ]


def _streams(entity: str, happened: str) -> tuple[str, ...]:
    """What of the shop is to be read: a refund or a variation says only that its parent was
    updated, and what is gone is found by the list of all ids.
    """
    if entity in ("", "action"):
        return ()
    (name,) = plural(entity)
    gone = (f"{name}_ids",) if happened == "deleted" else ()
    return (name, *BELOW.get(entity, ()), *gone)
