"""R46, R135: bytes of any kind are read or refused as malformed, and break nothing."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.webhooks.contract import MalformedError, Notice, Verdict
from connectors.webhooks.reading import DEEPEST, read_json
from connectors.webhooks.schemes import scheme_of
from tests.connectors.signing import (
    GENUINE,
    SECRET,
    STRIPE,
    request,
    stripe_header,
)

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
