"""QuickBooks read: pages by query, what changed, what was deleted, and faults that pass."""

import json
from datetime import date, timedelta

import pytest

from connectors.contract import SyncMode
from connectors.errors import ConfigError, RateLimitedError
from connectors.providers.quickbooks.source import QuickBooksSource
from connectors.testing.fake_api import cut_off, html_page
from tests.connectors.quickbooks.reading import read
from tests.providers.quickbooks import QuickBooks, fault_with_200, throttled
from tests.world import FakeClock


def test_every_stream_is_read_with_its_columns(
    company: QuickBooks, source: QuickBooksSource
) -> None:
    company.put(
        "Customer", DisplayName="Ann", PrimaryEmailAddr={"Address": "ann@x.ca"}, Balance=9.5
    )
    company.put("Customer", DisplayName="Bob", Active=False)
    company.put("Invoice", DocNumber="7", TotalAmt=31.05, TxnDate="2026-03-01", Line=[])

    customers, _, _ = read(source, "customers", mode=SyncMode.FULL)
    invoices, _, _ = read(source, "invoices", mode=SyncMode.FULL)

    assert [(one["display_name"], one["active"]) for one in customers] == [
        ("Ann", True),
        ("Bob", False),
    ]
    assert (customers[0]["email"], customers[0]["balance"]) == ("ann@x.ca", "9.5")
    assert invoices[0]["number"] == "7"
    assert [stream.name for stream in source.discover()] == [
        "bills",
        "customers",
        "deleted_bills",
        "deleted_invoices",
        "deleted_payments",
        "invoices",
        "items",
        "payments",
    ]


def test_payments_are_read_with_what_they_settle(
    company: QuickBooks, source: QuickBooksSource
) -> None:
    customer = company.put("Customer", DisplayName="Ann")["Id"]
    invoice = company.put("Invoice", DocNumber="7", Balance=31.05)["Id"]
    line = {"Amount": 31.05, "LinkedTxn": [{"TxnId": invoice, "TxnType": "Invoice"}]}
    paid = {
        "CustomerRef": {"value": customer, "name": "Ann"},
        "TotalAmt": 40.5,
        "UnappliedAmt": 9.45,
        "TxnDate": "2026-03-01",
        "PaymentRefNum": "C-12",
        "CurrencyRef": {"value": "CAD"},
        "Line": [line],
    }
    first = company.put("Payment", **paid)["Id"]

    (found,), state, _ = read(source, "payments")
    company.put("Payment", Id=first, PrivateNote="by cheque")
    (again,), _, _ = read(source, "payments", state)

    assert (found["id"], found["total"], found["unapplied"]) == (first, "40.5", "9.45")
    assert (found["date"], found["reference"], found["currency"]) == (
        date(2026, 3, 1),
        "C-12",
        "CAD",
    )
    assert (found["customer_id"], found["customer_name"]) == (customer, "Ann")
    assert json.loads(found["lines"]) == [line]
    assert (found["note"], again["note"]) == (None, "by cheque")


def test_what_changed_is_asked_for_five_minutes_before_the_last_time(
    company: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    company.put("Item", Name="old")
    clock.advance(hours=1)
    company.put("Item", Name="edge")
    _, state, _ = read(source, "items")
    late = (clock.now - timedelta(minutes=4)).isoformat()
    company.put("Item", Name="late", MetaData={"LastUpdatedTime": late})

    rows, _, _ = read(source, "items", state)

    assert {row["name"] for row in rows} == {"edge", "late"}


def test_deletes_come_from_change_data_capture_and_voids_do_not(
    company: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    """R60: void is not delete."""
    kept, gone = (company.put("Invoice", DocNumber=n, TotalAmt=1) for n in ("1", "2"))
    _, state, _ = read(source, "deleted_invoices")
    clock.advance(minutes=1)
    company.remove("Invoice", gone["Id"])
    company.put("Invoice", Id=kept["Id"], TotalAmt=0, PrivateNote="Voided")

    rows, after, rejected = read(source, "deleted_invoices", state)
    invoices, _, _ = read(source, "invoices")

    assert rows == [{"id": gone["Id"], "deleted_at": clock.now}]
    assert after.watermark == clock.now.isoformat()
    assert not rejected
    assert [(one["id"], one["note"]) for one in invoices] == [(kept["Id"], "Voided")]


def test_deletes_that_cannot_be_known_are_named(
    company: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    """Change data capture looks back 30 days, and tells of 1,000 objects."""
    _, state, _ = read(source, "deleted_bills")
    clock.advance(days=40)
    company.largest = 1000
    for number in range(1000):
        company.put("Bill", DocNumber=str(number))

    _, after, rejected = read(source, "deleted_bills", state)

    too_long_ago, too_many = (one.reason for one in rejected)
    assert "it looks back 30 days" in too_long_ago
    assert "more than 1,000 objects" in too_many
    assert read(source, "deleted_bills", after)[1].watermark == clock.now.isoformat()


def test_a_list_of_more_than_one_page_is_read_whole_while_it_changes(
    company: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    for number in range(2300):
        clock.advance(seconds=1)
        company.put("Bill", DocNumber=str(number))
    first = company.all("Bill")[0]["Id"]

    def change(request, route):
        clock.advance(seconds=1)
        company.put("Bill", Id=first, DocNumber="changed")
        return route(request)

    company.api.at(3, change)
    rows, _, _ = read(source, "bills")

    assert len({row["id"] for row in rows}) == 2300
    assert rows[-1]["number"] == "changed"


def test_passing_faults_are_waited_out(company: QuickBooks, source: QuickBooksSource) -> None:
    company.put("Item", Name="nut")
    source.check()

    company.api.at(1, throttled_soon, cut_off(), html_page, fault_with_200)
    rows, _, _ = read(source, "items")

    assert [row["name"] for row in rows] == ["nut"]


def throttled_soon(request, route):
    reply = throttled(request, route)
    return type(reply)(status=429, body=reply.body, headers={"Retry-After": "1"})


def test_a_throttle_without_a_wait_asks_for_a_minute(
    company: QuickBooks, source: QuickBooksSource
) -> None:
    source.check()
    company.api.at(1, *[throttled] * 9)

    with pytest.raises(RateLimitedError) as slowed:
        read(source, "items")

    assert slowed.value.retry_after == timedelta(seconds=60)


def test_a_query_that_is_refused_names_the_reason(source: QuickBooksSource) -> None:
    with pytest.raises(ConfigError, match="which is no field"):
        read(source, "items", row_filter="Name OR 1=1")
