"""The double of an account takes the filters that Stripe takes, and no others."""

from datetime import timedelta
from typing import Any

import httpx

from connectors.testing.fake_api import FakeApi
from connectors.testing.rows import at
from tests.providers.stripe import KEY as STRIPE_KEY
from tests.providers.stripe import StripeAccount


def test_an_account_whose_key_may_only_read_is_not_written_to(api: FakeApi) -> None:
    StripeAccount(api)
    headers = {"Authorization": f"Bearer {STRIPE_KEY}", "Stripe-Version": "2026-10-28.endive"}

    answer = httpx.post(f"{api.url}/v1/charges", headers=headers, data={"amount": 1})

    assert answer.status_code == 403


def test_an_account_s_lists_take_their_own_filters_only(api: FakeApi) -> None:
    api.clock = lambda: at(1000)
    account = StripeAccount(api)
    for number in range(4):
        account.put("charges", f"ch_{number}", at(number), customer=f"cus_{number % 2}")
    headers = {"Authorization": f"Bearer {STRIPE_KEY}", "Stripe-Version": "2026-10-28.endive"}

    def asked(**params: Any) -> Any:
        answer = httpx.get(f"{api.url}/v1/charges", params=params, headers=headers)
        data = answer.json().get("data", [])
        return [one["id"] for one in data] if answer.is_success else answer.status_code

    assert asked(customer="cus_1") == ["ch_3", "ch_1"]
    assert asked(limit=2, starting_after="ch_2") == ["ch_1", "ch_0"]
    assert asked(limit=1, ending_before="ch_0") == ["ch_1"]
    assert asked(starting_after="ch_2", ending_before="ch_0") == 400
    assert asked(**{"created[gte]": int(at(2).timestamp())}) == ["ch_3", "ch_2"]
    assert (asked(limit=101), asked(email="a@b.c")) == (400, 400)
    api.clock = lambda: at(0) + timedelta(days=31)
    events = httpx.get(f"{api.url}/v1/events", headers=headers).json()
    assert events["data"] == []
