"""The double of a shop refuses what a WooCommerce shop refuses."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.http.call import Call
from connectors.http.oauth1 import OAuth1Signer
from connectors.testing.fake_api import FakeApi
from tests.providers.woocommerce import KEY, ROOT, SECRET, WooShop
from tests.world import START

BASIC = {"Authorization": "Basic " + b64encode(f"{KEY}:{SECRET}".encode()).decode()}
OVER_TLS = {**BASIC, "X-Forwarded-Proto": "https"}


def ids(answer: httpx.Response) -> list[int]:
    return [one["id"] for one in answer.json()]


def test_a_shop_takes_a_password_over_tls_only(api: FakeApi) -> None:
    WooShop(api)

    statuses = [
        httpx.get(f"{api.url}{ROOT}/orders", headers=headers).status_code
        for headers in (OVER_TLS, BASIC, {})
    ]

    assert statuses == [200, 401, 401]


@pytest.mark.parametrize(("ahead", "status"), [(0, 200), (800, 200), (1000, 401), (-1000, 401)])
def test_a_shop_takes_a_signature_of_these_minutes_once(
    api: FakeApi, ahead: int, status: int
) -> None:
    WooShop(api)
    url = f"{api.url}{ROOT}/orders"
    now = START + timedelta(seconds=ahead)
    signer = OAuth1Signer(key=KEY, secret=SECRET, now=lambda: now, nonce=lambda: "once")
    params = dict(signer.sign(Call(path="orders"), url).params)

    first, again = (httpx.get(url, params=params).status_code for _ in range(2))

    assert (first, again) == (status, 401)


@pytest.mark.parametrize(
    "asked", [{"per_page": 101}, {"page": 0}, {"orderby": "total"}, {"modified_after": "today"}]
)
def test_a_shop_refuses_what_it_cannot_do(api: FakeApi, asked: Mapping[str, Any]) -> None:
    WooShop(api)

    answer = httpx.get(f"{api.url}{ROOT}/orders", params=asked, headers=OVER_TLS)

    assert (answer.status_code, answer.json()["code"]) == (400, "rest_invalid_param")


def test_a_shop_compares_times_of_its_own_zone_and_leaves_the_bound_out(api: FakeApi) -> None:
    shop = WooShop(api, offset=timedelta(hours=2))
    for name in ("orders", "customers"):
        shop.put(name, 1, START)
        shop.put(name, 2, START + timedelta(seconds=1))

    def asked(name: str, **params: str) -> list[int]:
        url = f"{api.url}{ROOT}/{name}"
        return ids(httpx.get(url, params={"orderby": "id", **params}, headers=OVER_TLS))

    bound = "2026-03-02T12:00:00"
    assert asked("orders", modified_after=bound, dates_are_gmt="true") == [2]
    assert asked("orders", modified_after=bound, order="asc") == [1, 2]
    assert asked("customers", modified_after=bound, dates_are_gmt="true") == [1, 2]


def test_a_shop_tells_totals_and_the_next_page(api: FakeApi) -> None:
    shop = WooShop(api)
    for number in range(5):
        shop.put("orders", number, START)

    answer = httpx.get(f"{api.url}{ROOT}/orders?per_page=2&page=2", headers=OVER_TLS)

    assert answer.headers["X-WP-Total"] == "5"
    assert answer.headers["X-WP-TotalPages"] == "3"
    assert {*answer.links} == {"prev", "next"}
    assert answer.links["next"]["url"].endswith("per_page=2&page=3")


def test_a_shop_s_trash_is_not_the_end_of_an_order_and_force_is(api: FakeApi) -> None:
    shop = WooShop(api)
    shop.put("orders", 1, START)
    url = f"{api.url}{ROOT}/orders"

    statuses = [httpx.delete(f"{url}/1", headers=OVER_TLS).status_code for _ in range(2)]
    trashed = ids(httpx.get(url, params={"status": "trash"}, headers=OVER_TLS))
    there = ids(httpx.get(url, headers=OVER_TLS))
    httpx.delete(f"{url}/1", params={"force": "true"}, headers=OVER_TLS)

    assert (statuses, trashed, there) == ([200, 410], [1], [])
    assert ids(httpx.get(url, params={"status": "trash"}, headers=OVER_TLS)) == []
