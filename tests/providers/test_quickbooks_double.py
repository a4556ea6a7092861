"""The double of a company refuses what QuickBooks refuses."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from time import sleep
from typing import Any

import httpx
import pytest

from tests.providers.intuit import REALM
from tests.providers.quickbooks import QuickBooks
from tests.world import START


class Caller:
    """Somebody with a token of an hour."""

    def __init__(self) -> None:
        self.now = START
        self.company = QuickBooks(lambda: self.now)
        self.company.access["token"] = START + timedelta(hours=1)

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
        since = (START - timedelta(days=days)).isoformat()
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
    assert QuickBooks(lambda: START).most_a_minute == 500


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
