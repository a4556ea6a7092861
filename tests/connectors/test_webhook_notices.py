"""R41: what changed is read from every provider's own form, once for each change."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.webhooks.contract import Received, Verdict
from connectors.webhooks.schemes import scheme_of
from tests.connectors.signing import (
    AT,
    CLOUD_EVENT,
    GENUINE,
    GRAPH,
    ORDER,
    SECRET,
    request,
    with_header,
)


def told(name: str) -> list[tuple[str, str | None, str | None, tuple[str, ...]]]:
    scheme, received, _, _ = GENUINE[name]
    return [
        (one.event_type, one.entity_type, one.entity_id, one.streams)
        for one in scheme.read(received)
    ]


def test_what_changed_is_read_from_every_providers_own_form():
    """R42."""
    assert told("woocommerce") == [("order.updated", "order", "7", ("orders", "refunds"))]
    assert told("quickbooks") == [
        ("qbo.invoice.created.v1", "invoice", "95", ("invoices",)),
        ("qbo.customer.updated.v1", "customer", "4", ("customers",)),
    ]
    assert told("quickbooks, old form") == [
        ("qbo.customer.update", "customer", "1", ("customers",))
    ]
    assert told("stripe") == [("invoice.paid", "invoice", "in_1", ("invoices",))]
    assert told("supabase") == [("orders.update", "orders", "7", ("public.orders", "orders"))]
    assert told("google") == [("events.exists", "events", "me@x.org", ("events",))]
    assert told("microsoft-graph") == [("events.updated", "events", "ev-1", ("events",))]
    assert told("standard-webhooks") == [("invoice.paid", "invoice", "in_1", ())]
    assert told("hmac") == [("paid", None, None, ())]
    assert told("cloudevents") == [("com.shop.order.paid", "order", "7", ("orders",))]


@pytest.mark.parametrize(
    ("topic", "streams"),
    [
        ("order.updated", ("orders", "refunds")),
        ("order.deleted", ("orders", "refunds", "orders_ids")),
        ("product.updated", ("products", "variations")),
        ("customer.created", ("customers",)),
        ("action.woocommerce_new_order", ()),
        ("changed", ()),
    ],
)
def test_a_shops_topic_names_the_streams_in_which_the_change_is_found(topic, streams):
    """R42: a refund says only that its order was updated; what is gone is missing from the ids."""
    scheme, received, _, _ = GENUINE["woocommerce"]

    (one,) = scheme.read(with_header(received, "x-wc-webhook-topic", topic))

    assert one.streams == streams


def test_two_changes_that_share_woocommerces_delivery_id_are_two():
    scheme, received, _, _ = GENUINE["woocommerce"]
    other = replace(received, body=ORDER.replace(b"paid", b"sent"))

    (first,), (second,), (again,) = map(scheme.read, (received, other, received))

    assert first.event_id != second.event_id
    assert first.event_id == again.event_id


def test_a_binary_cloudevent_is_the_structured_one():
    scheme, structured, _, _ = GENUINE["cloudevents"]
    binary = Received(
        at=AT,
        body=json.dumps(CLOUD_EVENT["data"]).encode(),
        headers={
            "content-type": "application/json",
            **{f"ce-{name}": str(CLOUD_EVENT[name]) for name in CLOUD_EVENT if name != "data"},
        },
    )

    assert scheme.read(binary) == scheme.read(structured)


def test_what_has_no_id_is_the_same_within_ten_minutes_and_news_after():
    """A row that changes there and back, and there again, sends the same bytes."""
    scheme, received, _, _ = GENUINE["supabase"]
    ids = [
        scheme.read(replace(received, at=AT + timedelta(seconds=after)))[0].event_id
        for after in (0, 599, 600)
    ]

    assert ids[0] == ids[1] != ids[2]


def test_the_first_message_of_a_google_channel_is_no_change():
    """T12: a watch channel by HTTPS."""
    scheme, received, secret, _ = GENUINE["google"]
    hello = with_header(received, "x-goog-resource-state", "sync")

    assert scheme.verify(hello, [secret]) is Verdict.GENUINE
    assert scheme.read(hello) == []


def test_a_client_state_is_kept_in_no_event():
    scheme, received, _, _ = GENUINE["microsoft-graph"]

    assert SECRET not in json.dumps([dict(one.data) for one in scheme.read(received)])


def test_a_subscription_that_missed_something_says_so():
    (one,) = json.loads(GRAPH)["value"]
    life = {"subscriptionId": "s", "clientState": SECRET, "lifecycleEvent": "missed"}
    body = json.dumps({"value": [life, one]}).encode()

    missed, changed = scheme_of("microsoft-graph", {}).read(request(body))

    assert (missed.event_type, changed.event_type) == ("lifecycle.missed", "events.updated")
    assert missed.streams == ()


def test_handshakes_are_answered_as_each_provider_wants():
    graph, shop = scheme_of("microsoft-graph", {}), scheme_of("woocommerce", {})
    events = scheme_of("cloudevents", {})
    asked = Received(at=AT, body=b"", query={"validationToken": "Validation: <a> & b"})
    leave = Received(
        at=AT, body=b"", method="OPTIONS", headers={"webhook-request-origin": "eventemitter.org"}
    )

    assert graph.greet(asked).body == "Validation: <a> & b"
    assert graph.greet(replace(asked, query={})) is None
    assert shop.greet(request(b"webhook_id=12")).body == ""
    assert shop.greet(request(b"webhook_id=12&x=1")) is None
    assert events.greet(leave).headers["WebHook-Allowed-Origin"] == "eventemitter.org"
    assert events.greet(replace(leave, method="POST")) is None
