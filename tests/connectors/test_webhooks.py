"""R41, R46, R135: what is genuine is taken, what is not is refused, whatever it is."""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from connectors.errors import ConfigError
from connectors.webhooks.contract import Verdict
from connectors.webhooks.schemes import SCHEMES, scheme_of
from tests.connectors.signing import (
    AT,
    GENUINE,
    GRAPH,
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
