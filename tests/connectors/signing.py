"""Genuine requests of every scheme, signed here by hand, and how to spoil them."""

import hmac
import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from connectors.webhooks.contract import Received, Scheme
from connectors.webhooks.schemes import scheme_of

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECONDS = str(int(AT.timestamp()))
SECRET = "a secret of sixteen or more bytes"
STANDARD_SECRET = "whsec_" + b64encode(b"k" * 32).decode()


def mac(message: bytes, secret: bytes = SECRET.encode()) -> bytes:
    return hmac.new(secret, message, sha256).digest()


def base64_mac(message: bytes, secret: bytes = SECRET.encode()) -> str:
    return b64encode(mac(message, secret)).decode()


ORDER = json.dumps({"id": 7, "status": "paid", "total": "29.35"}).encode()
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop",
    "type": "com.shop.order.paid",
    "subject": "7",
    "data": {"object": "order"},
}
QBO = json.dumps(
    [
        {
            "specversion": "1.0",
            "id": "88cd52aa",
            "source": "intuit.dsnBgbseACLLRZNxo2dfc4evmEJdxde58xeeYcZliOU=",
            "type": "qbo.invoice.created.v1",
            "datacontenttype": "application/json",
            "time": "2026-03-02T12:00:00Z",
            "intuitentityid": "95",
            "intuitaccountid": "310687",
            "data": {},
        },
        {
            "specversion": "1.0",
            "id": "99cd52aa",
            "source": "intuit.x",
            "type": "qbo.customer.updated.v1",
            "intuitentityid": "4",
            "intuitaccountid": "310687",
            "data": {},
        },
    ]
).encode()
QBO_OLD = json.dumps(
    {
        "eventNotifications": [
            {
                "realmId": "310687",
                "dataChangeEvent": {
                    "entities": [
                        {
                            "id": "1",
                            "operation": "Update",
                            "name": "Customer",
                            "lastUpdated": "2026-03-02T12:00:00.000Z",
                        }
                    ]
                },
            }
        ]
    }
).encode()
STRIPE = (
    b'{"id":"evt_1","object":"event","type":"invoice.paid",'
    b'"data":{"object":{"id":"in_1","object":"invoice"}}}'
)
SUPABASE = json.dumps(
    {
        "type": "UPDATE",
        "table": "orders",
        "schema": "public",
        "record": {"id": 7, "status": "paid"},
        "old_record": {"id": 7, "status": "new"},
    }
).encode()
GRAPH = json.dumps(
    {
        "value": [
            {
                "subscriptionId": "sub-1",
                "clientState": SECRET,
                "changeType": "updated",
                "resource": "Users/u-1/Events/ev-1",
                "resourceData": {"@odata.etag": 'W/"1"', "id": "ev-1"},
            }
        ]
    }
).encode()
STANDARD = json.dumps({"type": "invoice.paid", "data": {"id": "in_1"}}).encode()


def request(body: bytes, **headers: str) -> Received:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Received(at=AT, body=body, headers=named)


def stripe_header(body: bytes, secret: str = SECRET, seconds: str = SECONDS) -> str:
    signed = mac(f"{seconds}.".encode() + body, secret.encode()).hex()
    return f"t={seconds},v1={signed}"


def standard_request(body: bytes, identity: str = "msg_1", seconds: str = SECONDS) -> Received:
    message = f"{identity}.{seconds}.".encode() + body
    return request(
        body,
        webhook_id=identity,
        webhook_timestamp=seconds,
        webhook_signature="v1," + base64_mac(message, b"k" * 32),
    )


# Each: the scheme, a genuine request, its secret, and the headers that the proof covers.
GENUINE: dict[str, tuple[Scheme, Received, str, tuple[str, ...]]] = {
    "woocommerce": (
        scheme_of("woocommerce", {}),
        request(
            ORDER,
            x_wc_webhook_signature=base64_mac(ORDER),
            x_wc_webhook_topic="order.updated",
            x_wc_webhook_delivery_id="d-1",
        ),
        SECRET,
        ("x-wc-webhook-signature",),
    ),
    "quickbooks": (
        scheme_of("quickbooks", {}),
        request(QBO, intuit_signature=base64_mac(QBO)),
        SECRET,
        ("intuit-signature",),
    ),
    "quickbooks, old form": (
        scheme_of("quickbooks", {}),
        request(QBO_OLD, intuit_signature=base64_mac(QBO_OLD)),
        SECRET,
        ("intuit-signature",),
    ),
    "stripe": (
        scheme_of("stripe", {}),
        request(STRIPE, stripe_signature=stripe_header(STRIPE)),
        SECRET,
        ("stripe-signature",),
    ),
    "supabase": (
        scheme_of("supabase", {}),
        request(SUPABASE, x_webhook_token=SECRET),
        SECRET,
        ("x-webhook-token",),
    ),
    "google": (
        scheme_of("google", {}),
        request(
            b"",
            x_goog_channel_token=SECRET,
            x_goog_channel_id="ch-1",
            x_goog_message_number="12",
            x_goog_resource_state="exists",
            x_goog_resource_id="r-1",
            x_goog_resource_uri="https://www.googleapis.com/calendar/v3/calendars/me%40x.org/events?alt=json",
        ),
        SECRET,
        ("x-goog-channel-token",),
    ),
    "microsoft-graph": (scheme_of("microsoft-graph", {}), request(GRAPH), SECRET, ()),
    "standard-webhooks": (
        scheme_of("standard-webhooks", {}),
        standard_request(STANDARD),
        STANDARD_SECRET,
        ("webhook-id", "webhook-timestamp", "webhook-signature"),
    ),
    "hmac": (
        scheme_of(
            "hmac",
            {
                "header": "X-Signature",
                "encoding": "base64",
                "prefix": "sha256=",
                "timestamp_header": "X-Time",
                "event_id": "header.x-event",
                "event_type": "body.status",
            },
        ),
        request(
            ORDER,
            x_signature="sha256=" + base64_mac(f"{SECONDS}.".encode() + ORDER),
            x_time=SECONDS,
            x_event="e-1",
        ),
        SECRET,
        ("x-signature", "x-time"),
    ),
    "token": (
        scheme_of("token", {"header": "authorization", "prefix": "Bearer "}),
        request(ORDER, authorization=f"Bearer {SECRET}"),
        SECRET,
        ("authorization",),
    ),
    "cloudevents": (
        scheme_of("cloudevents", {}),
        request(
            json.dumps(CLOUD_EVENT).encode(),
            authorization=f"Bearer {SECRET}",
            content_type="application/cloudevents+json; charset=utf-8",
        ),
        SECRET,
        ("authorization",),
    ),
    "cloudevents, signed": (
        scheme_of("cloudevents", {"header": "x-signature", "prefix": "", "algorithm": "sha256"}),
        request(
            json.dumps([CLOUD_EVENT]).encode(),
            x_signature=mac(json.dumps([CLOUD_EVENT]).encode()).hex(),
            content_type="application/cloudevents-batch+json",
        ),
        SECRET,
        ("x-signature",),
    ),
}


def with_header(received: Received, name: str, value: str | None) -> Received:
    kept = {key: held for key, held in received.headers.items() if key != name}
    return replace(received, headers=kept if value is None else {**kept, name: value})
