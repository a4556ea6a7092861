"""R41, R46, R135: what is genuine is taken, what is not is refused, whatever it is."""

import json
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from connectors.errors import ConfigError
from connectors.webhooks.contract import MalformedError, Notice, Received, Verdict
from connectors.webhooks.reading import DEEPEST, read_json
from connectors.webhooks.schemes import SCHEMES, scheme_of
from tests.connectors.signing import (
    AT,
    CLOUD_EVENT,
    GENUINE,
    GRAPH,
    ORDER,
    SECONDS,
    SECRET,
    STANDARD,
    STANDARD_SECRET,
    STRIPE,
    request,
    standard_request,
    stripe_header,
    with_header,
)

ALL = pytest.mark.parametrize("name", GENUINE)
SIGNED = [name for name, (_, _, _, headers) in GENUINE.items() if headers]
OVER_THE_BODY = (
    "woocommerce",
    "quickbooks",
    "quickbooks, old form",
    "stripe",
    "standard-webhooks",
    "hmac",
    "cloudevents, signed",
)


def test_every_scheme_of_the_table_is_tried_here():
    assert {name.partition(",")[0] for name in GENUINE} == set(SCHEMES)


@ALL
def test_a_genuine_request_is_taken_and_says_what_changed(name):
    scheme, received, secret, _ = GENUINE[name]

    verdict, notices = scheme.verify(received, [secret]), scheme.read(received)

    assert verdict is Verdict.GENUINE
    assert notices
    assert all(0 < len(one.event_id) <= 255 and one.event_type for one in notices)


@ALL
def test_while_a_secret_is_changed_both_are_good_and_no_third(name):
    scheme, received, secret, _ = GENUINE[name]
    other = "whsec_" + b64encode(b"o" * 32).decode()

    assert scheme.verify(received, [other, secret]) is Verdict.GENUINE
    assert scheme.verify(received, [secret, other]) is Verdict.GENUINE
    assert scheme.verify(received, [other]) is Verdict.FORGED


@ALL
def test_without_a_secret_nothing_is_genuine(name):
    scheme, received, _, _ = GENUINE[name]

    assert scheme.verify(received, []) is Verdict.FORGED
    assert scheme.verify(received, [""]) is Verdict.FORGED


@pytest.mark.parametrize("name", SIGNED)
def test_what_is_not_signed_is_refused_as_that(name):
    scheme, received, secret, headers = GENUINE[name]
    bare = replace(received, headers={})

    verdict = scheme.verify(bare, [secret])

    assert verdict in (Verdict.UNSIGNED, Verdict.MALFORMED)
    assert all(
        scheme.verify(with_header(received, header, ""), [secret]) is not Verdict.GENUINE
        for header in headers
    )


@given(st.sampled_from(OVER_THE_BODY), st.data())
def test_any_flipped_bit_of_a_signed_body_is_refused(name, data):
    scheme, received, secret, _ = GENUINE[name]
    spoiled = bytearray(received.body)
    at = data.draw(st.integers(0, len(spoiled) - 1))
    spoiled[at] ^= 1 << data.draw(st.integers(0, 7))

    verdict = scheme.verify(replace(received, body=bytes(spoiled)), [secret])

    assert verdict is Verdict.FORGED


@given(st.sampled_from(SIGNED), st.data())
def test_any_other_character_in_a_header_that_proves_is_refused(name, data):
    scheme, received, secret, headers = GENUINE[name]
    header = data.draw(st.sampled_from(headers))
    value = received.headers[header]
    at = data.draw(st.integers(0, len(value) - 1))
    other = chr(ord(value[at]) ^ (1 << data.draw(st.integers(0, 6))))
    if name == "cloudevents, signed" and other.lower() == value[at].lower():
        return  # hexadecimal digits are the same in capitals

    spoiled = with_header(received, header, value[:at] + other + value[at + 1 :])

    assert scheme.verify(spoiled, [secret]) is not Verdict.GENUINE


@given(st.sampled_from(list(GENUINE)), st.data())
def test_any_other_secret_is_refused(name, data):
    scheme, received, secret, _ = GENUINE[name]
    at = data.draw(st.integers(len("whsec_"), len(secret) - 1))
    wrong = secret[:at] + chr(ord(secret[at]) ^ 1) + secret[at + 1 :]

    assert scheme.verify(received, [wrong]) is Verdict.FORGED


# --- bytes of any kind ---------------------------------------------------------------

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
KEYS = [
    *("value", "type", "id", "data", "object", "table", "schema", "record", "resource"),
    *("specversion", "source", "eventNotifications", "dataChangeEvent", "entities", "name"),
    *("operation", "subscriptionId", "changeType", "resourceData", "lifecycleEvent"),
]
PLAUSIBLE = st.recursive(
    JSON,
    lambda inner: (
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=6) | st.lists(inner, max_size=3)
    ),
    max_leaves=30,
)
HOSTILE = (
    st.binary(max_size=200)
    | PLAUSIBLE.map(lambda value: json.dumps(value).encode())
    | st.sampled_from(
        [
            b"[" * 100_000,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b'{"id": 1e999}',
            b'{"id": NaN}',
            b'{"id": ' + b"9" * 5000 + b"}",
            b'\xff\xfe{\x00"\x00',
        ]
    )
)


@given(st.sampled_from(list(GENUINE)), HOSTILE, st.sampled_from(["", "application/json", "é\x00"]))
def test_hostile_bytes_are_read_or_refused_as_malformed_and_nothing_else(name, body, kind):
    scheme, genuine, secret, _ = GENUINE[name]
    received = replace(genuine, body=body, headers={**genuine.headers, "content-type": kind})

    scheme.verify(received, [secret])
    scheme.greet(received)
    try:
        notices = scheme.read(received)
    except MalformedError:
        return

    assert all(_can_be_kept(one) for one in notices)
    assert notices == scheme.read(received)


def _can_be_kept(notice: Notice) -> bool:
    texts = [notice.event_id, notice.event_type, notice.entity_type, notice.entity_id]
    for one in texts:
        if one is not None:
            one.encode()
            assert 1 <= len(one) <= 255
            assert "\x00" not in one
    return "\\u0000" not in json.dumps(dict(notice.data), allow_nan=False)


@given(st.sampled_from(list(GENUINE)), st.dictionaries(st.sampled_from(
    ["stripe-signature", "webhook-id", "webhook-timestamp", "webhook-signature", "x-time",
     "x-signature", "authorization", "x-goog-channel-id", "x-goog-resource-uri", "ce-id",
     "x-goog-message-number", "x-wc-webhook-topic", "x-wc-webhook-delivery-id"]),
    st.text(max_size=40)))  # fmt: skip
def test_hostile_headers_prove_nothing_and_break_nothing(name, headers):
    scheme, genuine, _, _ = GENUINE[name]
    received = replace(genuine, headers={**genuine.headers, **headers})

    assert scheme.verify(received, ["another secret"]) is not Verdict.GENUINE
    with suppress(MalformedError):
        assert all(_can_be_kept(one) for one in scheme.read(received))


def test_a_nul_in_a_customers_name_does_not_spoil_the_shops_webhook():
    body = b'{"id": 7, "name": "a\\u0000b\\ud83d"}'

    (notice,) = scheme_of("woocommerce", {}).read(request(body))

    assert notice.data == {"id": 7, "name": "a\ufffdb\ufffd"}


# --- against others' implementations --------------------------------------------------


@given(st.binary(max_size=300), st.text("abc_0", min_size=1, max_size=20))
def test_standard_webhooks_agrees_with_the_reference_library(body, identity):
    text = body.hex()
    signed = Webhook(STANDARD_SECRET).sign(identity, AT, text)
    received = request(
        text.encode(), webhook_id=identity, webhook_timestamp=SECONDS, webhook_signature=signed
    )

    assert GENUINE["standard-webhooks"][0].verify(received, [STANDARD_SECRET]) is Verdict.GENUINE


def test_what_openssl_signs_as_stripe_and_woocommerce_do_is_genuine():
    """Made by ``printf '1772452800.{…}' | openssl dgst -sha256 -hmac whsec_test_secret``."""
    stripe = request(
        STRIPE,
        stripe_signature="t=1772452800,v1=bab7561065ee0c0d9ef359aa3ead656065cadaaa8035b6135e519d79dcaf4cc5",
    )
    shop = request(
        b'{"id":7,"status":"paid"}',
        x_wc_webhook_signature="d7a1OQ0YC7oIATYpksKvO81ssVcZUp4fdGKcNnzWvAo=",
    )

    assert scheme_of("stripe", {}).verify(stripe, ["whsec_test_secret"]) is Verdict.GENUINE
    assert scheme_of("woocommerce", {}).verify(shop, ["shop secret"]) is Verdict.GENUINE


def test_githubs_published_example_is_genuine():
    """GitHub, "Validating webhook deliveries", its test values."""
    github = scheme_of("hmac", {"header": "X-Hub-Signature-256", "prefix": "sha256="})
    signed = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    received = request(b"Hello, World!", x_hub_signature_256=f"sha256={signed}")

    assert github.verify(received, ["It's a Secret to Everybody"]) is Verdict.GENUINE


def test_a_public_key_proves_a_standard_webhook_too():
    private = Ed25519PrivateKey.generate()
    public = "whpk_" + b64encode(private.public_key().public_bytes_raw()).decode()
    signed = private.sign(f"msg_1.{SECONDS}.".encode() + STANDARD)
    received = with_header(
        standard_request(STANDARD), "webhook-signature", f"v1a,{b64encode(signed).decode()}"
    )
    scheme = scheme_of("standard-webhooks", {})

    assert scheme.verify(received, [public]) is Verdict.GENUINE
    assert scheme.verify(replace(received, body=b"{}"), [public]) is Verdict.FORGED


# --- replay -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stripe", "standard-webhooks", "hmac"])
@pytest.mark.parametrize(
    ("away", "verdict"),
    [(-301, Verdict.STALE), (301, Verdict.STALE), (-300, Verdict.GENUINE), (300, Verdict.GENUINE)],
)
def test_a_signed_time_must_be_within_five_minutes_of_now(name, away, verdict):
    scheme, received, secret, _ = GENUINE[name]
    later = replace(received, at=AT + timedelta(seconds=away))

    assert scheme.verify(later, [secret]) is verdict


def test_of_stripes_signatures_any_may_match_and_only_v1_counts():
    scheme = scheme_of("stripe", {})
    good = stripe_header(STRIPE)
    rolled = good.replace(",v1=", ",v1=00ff,v1=")
    old = good.replace(",v1=", ",v0=")

    assert scheme.verify(request(STRIPE, stripe_signature=rolled), [SECRET]) is Verdict.GENUINE
    assert scheme.verify(request(STRIPE, stripe_signature=old), [SECRET]) is Verdict.FORGED


# --- what each provider says ------------------------------------------------------------


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


def test_one_wrong_client_state_among_several_refuses_all():
    scheme = scheme_of("microsoft-graph", {})
    (good,) = json.loads(GRAPH)["value"]
    mixed = [good, {**good, "clientState": "guess"}]

    def judged(value: object) -> Verdict:
        return scheme.verify(request(json.dumps({"value": value}).encode()), [SECRET])

    assert judged(mixed) is Verdict.FORGED
    assert judged([]) is Verdict.UNSIGNED
    assert judged([{**good, "clientState": None}]) is Verdict.UNSIGNED
    assert judged("x") is Verdict.MALFORMED


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


def test_which_headers_hold_the_secret_itself_is_known():
    kept_out = {name: scheme.secret_headers for name, (scheme, _, _, _) in GENUINE.items()}

    for name, (_, received, secret, _) in GENUINE.items():
        holding = {key for key, value in received.headers.items() if secret in value}
        assert holding <= kept_out[name], name


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("stipe", {}, "no webhook scheme 'stipe'; did you mean 'stripe'?"),
        ("stripe", {"header": "x"}, "scheme stripe has no option 'header'; it takes no options"),
        ("hmac", {"algorithm": "md5"}, "algorithm of scheme hmac: Input should be 'sha1'"),
        ("hmac", {"header": "x y"}, "header 'x y' is not the name of an HTTP header"),
        ("hmac", {"event_id": "id"}, "event_id 'id' is no place; write header.NAME or body.FIELD"),
    ],
)
def test_a_wrong_option_is_named(scheme, options, message):
    with pytest.raises(ConfigError) as failed:
        scheme_of(scheme, options)

    assert str(failed.value).startswith(message)


def test_a_time_far_beyond_all_calendars_is_malformed():
    scheme = scheme_of("stripe", {})

    verdict = scheme.verify(
        request(STRIPE, stripe_signature=stripe_header(STRIPE, seconds="9" * 12)), [SECRET]
    )

    assert verdict is Verdict.MALFORMED
    assert datetime.max.replace(tzinfo=UTC).timestamp() < 999_999_999_999


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("written", ['{"id": "a\\u0000b"}', '{"id": "a\\ud800b"}'])
def test_what_cannot_be_kept_is_replaced_however_the_body_spells_it(encoding, written):
    """Plain bodies are not looked through: none of these may be taken for one."""
    assert read_json(written.encode(encoding)) == {"id": "a\ufffdb"}


@pytest.mark.parametrize("inmost", ['"plain"', '"\\u0041"'])
def test_a_body_may_be_nested_to_a_bound_whether_it_is_plain_or_not(inmost):
    read_json(f"{'[' * DEEPEST}{inmost}{']' * DEEPEST}".encode())

    with pytest.raises(MalformedError, match="nested"):
        read_json(f"{'[' * (DEEPEST + 1)}{inmost}{']' * (DEEPEST + 1)}".encode())
