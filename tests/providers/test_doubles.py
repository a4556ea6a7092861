"""The doubles keep the rules of what they stand for: they refuse what the real ones refuse."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from time import sleep
from typing import Any

import httpx
import pytest

from connectors.http.call import Call
from connectors.http.oauth1 import OAuth1Signer
from connectors.testing.fake_api import FakeApi
from connectors.testing.rows import at
from tests.providers.intuit import REALM
from tests.providers.postgrest import KEY as PROJECT_KEY
from tests.providers.postgrest import Project
from tests.providers.quickbooks import QuickBooks
from tests.providers.stripe import KEY as STRIPE_KEY
from tests.providers.stripe import StripeAccount
from tests.providers.woocommerce import KEY, ROOT, SECRET, WooShop

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi(clock=lambda: NOW) as api:
        yield api


# WooCommerce

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
    now = NOW + timedelta(seconds=ahead)
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
        shop.put(name, 1, NOW)
        shop.put(name, 2, NOW + timedelta(seconds=1))

    def asked(name: str, **params: str) -> list[int]:
        url = f"{api.url}{ROOT}/{name}"
        return ids(httpx.get(url, params={"orderby": "id", **params}, headers=OVER_TLS))

    bound = "2026-03-01T12:00:00"
    assert asked("orders", modified_after=bound, dates_are_gmt="true") == [2]
    assert asked("orders", modified_after=bound, order="asc") == [1, 2]
    assert asked("customers", modified_after=bound, dates_are_gmt="true") == [1, 2]


def test_a_shop_tells_totals_and_the_next_page(api: FakeApi) -> None:
    shop = WooShop(api)
    for number in range(5):
        shop.put("orders", number, NOW)

    answer = httpx.get(f"{api.url}{ROOT}/orders?per_page=2&page=2", headers=OVER_TLS)

    assert answer.headers["X-WP-Total"] == "5"
    assert answer.headers["X-WP-TotalPages"] == "3"
    assert {*answer.links} == {"prev", "next"}
    assert answer.links["next"]["url"].endswith("per_page=2&page=3")


def test_a_shop_s_trash_is_not_the_end_of_an_order_and_force_is(api: FakeApi) -> None:
    shop = WooShop(api)
    shop.put("orders", 1, NOW)
    url = f"{api.url}{ROOT}/orders"

    statuses = [httpx.delete(f"{url}/1", headers=OVER_TLS).status_code for _ in range(2)]
    trashed = ids(httpx.get(url, params={"status": "trash"}, headers=OVER_TLS))
    there = ids(httpx.get(url, headers=OVER_TLS))
    httpx.delete(f"{url}/1", params={"force": "true"}, headers=OVER_TLS)

    assert (statuses, trashed, there) == ([200, 410], [1], [])
    assert ids(httpx.get(url, params={"status": "trash"}, headers=OVER_TLS)) == []


# QuickBooks


class Caller:
    """Somebody with a token of an hour."""

    def __init__(self) -> None:
        self.now = NOW
        self.company = QuickBooks(lambda: self.now)
        self.company.access["token"] = NOW + timedelta(hours=1)

    def __call__(self, method: str, path: str, **how: Any) -> tuple[int, str | None, Any]:
        url = f"{self.company.api.url}/v3/company/{REALM}/{path}"
        answer = httpx.request(method, url, headers={"Authorization": "Bearer token"}, **how)
        said = answer.json()
        errors = said.get("Fault", {}).get("Error", [{}])
        return answer.status_code, errors[0].get("code"), said

    def query(self, text: str) -> tuple[int, str | None, Any]:
        return self("GET", "query", params={"query": text})


@pytest.fixture
def books() -> Iterator[Caller]:
    caller = Caller()
    with caller.company.api:
        yield caller


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM Item WHERE Name = 'a' OR Name = 'b'",
        "SELECT * FROM Item JOIN Customer",
        "SELECT Name FROM Item",
        "SELECT * FROM item",
        "SELECT * FROM Item STARTPOSITION 0",
        "SELECT * FROM Item MAXRESULTS 1001",
    ],
)
def test_a_company_refuses_queries_that_its_language_does_not_have(
    books: Caller, query: str
) -> None:
    status, code, _ = books.query(query)

    assert status == 400
    assert code in ("4000", "4002")


def test_a_company_s_tokens_last_an_hour(books: Caller) -> None:
    before = books.query("SELECT * FROM Item")[0]
    books.now += timedelta(minutes=61)

    assert (before, books.query("SELECT * FROM Item")[0]) == (200, 401)


def test_a_company_tells_of_changes_of_thirty_days_and_no_more_than_a_thousand(
    books: Caller,
) -> None:
    for number in range(1001):
        books.company.put("Bill", DocNumber=str(number))

    def changed(days: int) -> tuple[int, str | None, Any]:
        since = (NOW - timedelta(days=days)).isoformat()
        return books("GET", "cdc", params={"entities": "Bill", "changedSince": since})

    assert changed(31)[:2] == (400, "4001")
    [answer] = changed(29)[2]["CDCResponse"][0]["QueryResponse"]
    assert len(answer["Bill"]) == 1000


def test_a_company_refuses_stale_objects_and_names_and_numbers_that_are_taken(
    books: Caller,
) -> None:
    first = books("POST", "customer", json={"DisplayName": "Ann"})[2]["Customer"]
    again = {"Id": first["Id"], "SyncToken": first["SyncToken"], "DisplayName": "Ann Lee"}
    item = books.company.put("Item", Name="Nut", IncomeAccountRef={"value": "1"})
    detail = {"ItemRef": {"value": item["Id"]}, "Qty": 1, "UnitPrice": 2}
    line = {"Amount": 2, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}
    receipt = {"DocNumber": "7", "Line": [line]}

    codes = [
        books("POST", path, json=body)[1]
        for path, body in [
            ("customer", again),
            ("customer", again),
            ("customer", {"DisplayName": "ann lee"}),
            ("salesreceipt", receipt),
            ("salesreceipt", receipt),
        ]
    ]

    assert codes == [None, "5010", "6240", None, "6140"]


def test_a_company_answers_a_known_request_id_as_the_first_time(books: Caller) -> None:
    answers = [
        books("POST", "customer", params={"requestid": "r1"}, json={"DisplayName": name})[2]
        for name in ("Ann", "Bob")
    ]

    assert answers[0] == answers[1]
    assert [one["DisplayName"] for one in books.company.all("Customer")] == ["Ann"]


def test_a_company_takes_five_hundred_calls_a_minute(books: Caller) -> None:
    books.company.most_a_minute = 3

    statuses = [books.query("SELECT * FROM Item")[0] for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
    assert QuickBooks(lambda: NOW).most_a_minute == 500


def test_a_company_takes_ten_calls_at_a_time(books: Caller) -> None:
    met = Barrier(11)
    books.company.hold = lambda: met.wait(10)

    with ThreadPoolExecutor(10) as threads:
        taken = [threads.submit(books.query, "SELECT * FROM Item") for _ in range(10)]
        while books.company.in_flight < 10:
            sleep(0.001)
        crowded = books.query("SELECT * FROM Item")
        met.wait(10)

    assert crowded[:2] == (429, "3001")
    assert [one.result()[0] for one in taken] == [200] * 10


# Supabase


@pytest.fixture
def project(api: FakeApi, postgres_url: str) -> Project:
    project = Project(api, postgres_url, max_rows=4)
    project.run(
        "DROP TABLE IF EXISTS nuts; CREATE TABLE nuts AS SELECT n FROM generate_series(1, 6) n"
    )
    return project


@pytest.mark.parametrize(
    ("span", "params", "rows", "told"),
    [
        ("0-1", {}, [1, 2], "0-1/*"),
        ("2-", {}, [3, 4, 5, 6], "2-5/*"),
        ("0-99", {}, [1, 2, 3, 4], "0-3/*"),
        ("0-1", {"offset": "2"}, [3, 4], "2-3/*"),
        ("9-12", {}, [], "*/*"),
        (None, {"limit": "2", "offset": "1"}, [2, 3], "1-2/*"),
        (None, {"limit": "0"}, [], "*/*"),
    ],
)
def test_a_project_gives_the_rows_of_a_range_and_never_more_than_its_most(
    project: Project, span: str | None, params: dict[str, str], rows: list[int], told: str
) -> None:
    answer = table(project, params={"order": "n.asc", **params}, span=span)

    assert [one["n"] for one in answer.json()] == rows
    assert (answer.status_code, answer.headers["Content-Range"]) == (200, told)


def test_a_project_that_counts_says_that_there_is_more_or_that_a_page_is_behind_the_end(
    project: Project,
) -> None:
    def counted(span: str) -> tuple[int, str | None, str | None]:
        answer = table(project, params={"order": "n.asc"}, span=span, prefer="count=exact")
        code = answer.json().get("code") if answer.is_error else None
        return answer.status_code, answer.headers.get("Content-Range"), code

    assert counted("0-1") == (206, "0-1/6", None)
    assert counted("6-9") == (206, "*/6", None)
    assert counted("7-9") == (416, None, "PGRST103")
    assert counted("3-1") == (416, None, "PGRST103")


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"key": "other"}, 401, "PGRST301"),
        ({"prefer": "handling=strict, answer=fast"}, 400, "PGRST122"),
        ({"profile": "secret"}, 406, "PGRST106"),
        ({"name": "bolts"}, 404, "PGRST205"),
        ({"params": {"n": "around.3"}}, 400, "PGRST100"),
        ({"params": {"m": "eq.3"}}, 400, "42703"),
    ],
)
def test_a_project_refuses_in_its_own_codes(
    project: Project, how: dict[str, Any], status: int, code: str
) -> None:
    answer = table(project, **how)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def table(
    project: Project,
    name: str = "nuts",
    *,
    params: Mapping[str, str] | None = None,
    key: str = PROJECT_KEY,
    **said: str | None,
) -> httpx.Response:
    """Ask for a table's rows."""
    names = {"span": "Range", "prefer": "Prefer", "profile": "Accept-Profile"}
    headers = {names[one]: value for one, value in said.items() if value is not None}
    url = f"{project.api.url}/rest/v1/{name}"
    return httpx.get(url, params=params, headers={"apikey": key, **headers})


# Stripe


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
