"""Conditions on an event's fields: what holds, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_pipelines.model.cadence import CadenceError, Condition, Event, parse_cadence
from sync_pipelines.model.condition import Operator, holds, parse_condition, unmet
from tests.timing import strategies

ORDER = {
    "status": "paid",
    "total": "29.90",
    "items": [{"sku": "A-1"}, {"sku": "B[2]"}],
    "customer": {"country": "CA", "vip": True, "note": None},
    "visits": 3,
    "paid_at": "2026-01-31T09:00:00+01:00",
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"field": "status", "equals": "paid"}, True),
        ({"field": "status", "equals": "PAID"}, False),
        ({"field": "status", "not_equals": "draft"}, True),
        ({"field": "status", "not_equals": "paid"}, False),
        ({"field": "status", "in": ["sent", "paid"]}, True),
        ({"field": "status", "in": ["sent"]}, False),
        ({"field": "customer.country", "equals": "CA"}, True),
        ({"field": "items.1.sku", "matches": "B[2]"}, True),
        ({"field": "items.0.sku", "matches": "?-*"}, True),
        ({"field": "items.0.sku", "matches": "[AB]-1"}, False),
        ({"field": "items.2.sku", "exists": True}, False),
        ({"field": "customer.note", "exists": True}, True),
        ({"field": "customer.note", "equals": None}, True),
        ({"field": "customer.name", "exists": False}, True),
        ({"field": "customer", "exists": True}, True),
        ({"field": "customer", "not_equals": "x"}, False),
        ({"field": "total", "greater": 29.89}, True),
        ({"field": "total", "greater": 29.9}, False),
        ({"field": "total", "equals": 29.9}, True),
        ({"field": "total", "less": 100}, True),
        ({"field": "visits", "equals": "3"}, True),
        ({"field": "visits", "equals": 3.0}, True),
        ({"field": "visits", "greater": 10}, False),
        ({"field": "status", "less": 10}, False),
        ({"field": "status", "greater": 10}, False),
        ({"field": "customer.vip", "equals": True}, True),
        ({"field": "customer.vip", "equals": 1}, False),
        ({"field": "customer.vip", "greater": 0}, False),
        ({"field": "customer.vip", "equals": "true"}, False),
        ({"field": "paid_at", "greater": "2026-01-31T07:59:59Z"}, True),
        ({"field": "paid_at", "greater": "2026-01-31T08:00:00Z"}, False),
        ({"field": "paid_at", "less": "2026-02-01"}, True),
    ],
)
def test_a_condition_compares_things_as_what_they_are(written: dict[str, Any], expected: bool):
    """R5, R18, R42."""
    assert parse_condition(written, number=1).holds(ORDER) is expected


@pytest.mark.parametrize("key", ["equals", "not_equals", "greater", "less", "matches"])
def test_a_field_that_is_missing_holds_nothing(key: str):
    value = "2026-01-31" if key in {"greater", "less"} else "x"

    assert not parse_condition({"field": "customer.age.years", key: value}, number=1).holds(ORDER)


def test_all_conditions_must_hold_and_the_first_that_does_not_is_named():
    paid = Condition(field="status", operator=Operator.EQUALS, value="paid")
    abroad = Condition(field="customer.country", operator=Operator.NOT_EQUALS, value="CA")

    assert holds([], ORDER)
    assert holds([paid], ORDER)
    assert not holds([paid, abroad], ORDER)
    assert unmet([paid, abroad], ORDER) == abroad
    assert unmet([paid], ORDER) is None


def test_one_and_true_are_different_conditions():
    """Python calls them equal: a sentence kept for one would be shown for the other."""
    one, true = (Condition(field="x", operator=Operator.EQUALS, value=value) for value in (1, True))

    assert one != true
    assert str(one) == "x is 1"
    assert str(true) == "x is true"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("status", "condition 1: 'status' is not a condition"),
        ({"equals": "paid"}, "field None is not the name"),
        ({"field": "a..b", "equals": 1}, "field 'a..b' is not the name"),
        ({"field": "status"}, "field 'status' needs exactly one of equals"),
        ({"field": "status", "equals": 1, "less": 2}, "it has 2"),
        ({"field": "status", "is": 1}, "'is' of field 'status' is not known"),
        ({"field": "status", "in": "paid"}, "in 'paid' of field 'status' is wrong; write a list"),
        ({"field": "status", "in": []}, "write a list of 1 to 100"),
        ({"field": "status", "exists": "yes"}, "exists 'yes' of field 'status'"),
        ({"field": "total", "greater": "many"}, "write a number, or a time"),
        ({"field": "total", "greater": float("nan")}, "write a number"),
        ({"field": "sku", "matches": 5}, "write text in which * stands for any"),
        ({"field": "status", "equals": ["a"]}, "for several write in"),
        ({"field": "status", "equals": {"a": 1}}, "cannot be compared"),
    ],
)
def test_a_refusal_names_the_condition_its_field_and_what_would_be_right(
    written: object, says: str
):
    """R11, R32."""
    with pytest.raises(CadenceError) as caught:
        parse_cadence({"type": "event", "trigger": "webhook", "conditions": [written]})

    assert caught.value.field == "conditions"
    assert says in str(caught.value)


payloads = st.recursive(
    strategies.scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["status", "customer", "country", "items", "sku"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(strategies.events, payloads)
def test_no_payload_breaks_a_condition(event: Event, payload: object):
    for condition in event.conditions:
        assert condition.holds(payload) in {True, False}


def test_a_pattern_of_many_stars_is_held_against_long_text_at_once():
    condition = Condition(field="x", operator=Operator.MATCHES, value="*a" * 200 + "b")

    assert not condition.holds({"x": "a" * 1000})
