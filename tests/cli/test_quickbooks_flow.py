"""A shop's orders become QuickBooks' documents: from the manifest to the books."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.testing.fake_api import FakeApi, FakeList
from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import Cli
from tests.connectors.quickbooks_world import sold
from tests.providers.quickbooks import QuickBooks, done_but_unheard

COLUMNS = {
    "id": "integer",
    **dict.fromkeys(("number", "status", "currency"), "text"),
    **dict.fromkeys(("total", "total_tax"), "decimal"),
    **dict.fromkeys(("date_created_gmt", "date_modified_gmt", "date_paid_gmt"), "timestamp"),
    **dict.fromkeys(("billing", "line_items", "shipping_lines", "fee_lines"), "json"),
}
ANN = {
    "first_name": "Ann",
    "last_name": "Lee",
    "email": "ann@x.ca",
    "phone": "555",
    "address_1": "1 Main",
    "city": "Calgary",
    "country": "CA",
}


def order(number: int, minute: int, **more: Any) -> dict[str, Any]:
    """An order as WooCommerce gives it."""
    return {
        "id": number,
        "number": str(number),
        "status": "processing",
        "currency": "CAD",
        "total": "17.33",
        "total_tax": "0.75",
        "date_created_gmt": "2026-03-01T10:00:00",
        "date_modified_gmt": f"2026-03-01T10:{minute:02}:00Z",
        "date_paid_gmt": "2026-03-02T09:00:00",
        "billing": ANN,
        "line_items": [
            {"name": "Nut", "sku": "N1", "quantity": 3, "total": "10.00", "total_tax": "0.50"},
            {"name": "Gift: card", "sku": "", "quantity": 1, "total": "1.58", "total_tax": "0.00"},
        ],
        "shipping_lines": [{"method_title": "Post", "total": "5.00", "total_tax": "0.25"}],
        "fee_lines": [],
        **more,
    }


@pytest.fixture
def company() -> Iterator[QuickBooks]:
    company = QuickBooks(lambda: datetime.now(UTC))
    with company.api:
        yield company


@pytest.fixture
def shop() -> Iterator[FakeApi]:
    with FakeApi() as shop:
        yield shop


class Flow:
    def __init__(self, cli: Cli, api: FakeApi, company: QuickBooks) -> None:
        self.cli, self.api, self.company = cli, api, company
        self.shop = api.serve("/orders", FakeList(cursor="date_modified_gmt"))

    def apply(self, **books: Any) -> None:
        orders = {
            "name": "orders",
            "path": "orders",
            "records": "data",
            "primary_key": ["id"],
            "columns": COLUMNS,
            "incremental": {
                "field": "date_modified_gmt",
                "param": "since",
                "ordered": True,
                "params": {"sort": "cursor"},
            },
        }
        source = {"base_url": self.api.url, "streams": [orders], "allow_private_addresses": True}
        ledger = f"sqlite:///{self.cli.directory}/ledger.db"
        config = self.company.config(ledger=ledger, income_account="Sales", **books)
        stream = {"name": "orders", "sync_mode": "incremental", "write_mode": "upsert"}
        manifest = {
            "tenant": "acme",
            "connections": {
                "shop": {"connector": "rest_api", "config": source},
                "books": {"connector": "quickbooks", "config": config},
            },
            "syncs": {"orders": {"source": "shop", "destination": "books", "streams": [stream]}},
        }
        self.cli.apply(json.dumps(manifest))

    def run(self) -> None:
        self.cli("run", "acme/orders", "--json")


@pytest.fixture
def flow(cli: Cli, catalog: Catalog, shop: FakeApi, company: QuickBooks) -> Flow:
    return Flow(cli, shop, company)


def test_a_paid_order_becomes_a_sales_receipt_once(flow: Flow, company: QuickBooks) -> None:
    """R93: customer created, items matched or created, the sum exact."""
    flow.apply()
    nut = company.put("Item", Name="Nut M4", Sku="N1", IncomeAccountRef={"value": "1"})
    flow.shop.put(order(1, 1), order(2, 2, status="pending", date_paid_gmt=None))

    flow.run()
    flow.run()

    (receipt,) = company.all("SalesReceipt")
    (ann,) = company.all("Customer")
    items = {one["Name"]: one["Id"] for one in company.all("Item")}
    assert (ann["DisplayName"], ann["BillAddr"]["City"]) == ("Ann Lee", "Calgary")
    assert set(items) == {"Nut M4", "Gift card", "Shipping"}
    assert (receipt["DocNumber"], receipt["TotalAmt"]) == ("1", 17.33)
    assert (receipt["CustomerRef"]["value"], receipt["TxnDate"]) == (ann["Id"], "2026-03-01")
    assert sold(receipt["Line"]) == [
        {"item": nut["Id"], "quantity": 1, "amount": 10.0},
        {"item": items["Gift card"], "quantity": 1, "amount": 1.58},
        {"item": items["Shipping"], "quantity": 1, "amount": 5.0},
    ]


def test_an_order_that_is_paid_later_is_posted_then(flow: Flow, company: QuickBooks) -> None:
    flow.apply()
    flow.shop.put(order(1, 1, status="on-hold", date_paid_gmt=None))
    flow.run()
    waiting = company.all("SalesReceipt")

    flow.shop.put(order(1, 5))
    flow.run()

    assert waiting == []
    assert [one["DocNumber"] for one in company.all("SalesReceipt")] == ["1"]


def test_as_invoices_an_order_is_an_invoice_and_its_payment_a_payment(
    flow: Flow, company: QuickBooks
) -> None:
    flow.apply(orders_as="invoices")
    flow.shop.put(order(1, 1, status="pending", date_paid_gmt=None))
    flow.run()
    owed = company.all("Invoice")[0]["Balance"]

    flow.shop.put(order(1, 5))
    flow.run()
    flow.run()

    (invoice,) = company.all("Invoice")
    (payment,) = company.all("Payment")
    assert (owed, invoice["Balance"], payment["TotalAmt"]) == (17.33, 0, 17.33)
    assert (payment["PaymentRefNum"], payment["TxnDate"]) == ("Order 1", "2026-03-02")


@pytest.mark.parametrize("orders_as", ["invoices", "sales_receipts"])
def test_an_order_that_is_cancelled_is_voided_once(
    flow: Flow, company: QuickBooks, orders_as: str
) -> None:
    flow.apply(orders_as=orders_as)
    flow.shop.put(order(1, 1), order(2, 2, status="cancelled"))
    flow.run()

    flow.shop.put(order(1, 5, status="cancelled"))
    flow.run()
    flow.run()

    (document,) = company.all("Invoice" if orders_as == "invoices" else "SalesReceipt")
    assert document["TotalAmt"] == 0
    assert document["PrivateNote"].startswith("Voided [sync ")
    assert document["SyncToken"] in ("1", "2")


def test_an_order_that_does_not_add_up_is_named_and_the_others_are_posted(
    flow: Flow, company: QuickBooks
) -> None:
    """R65: the execution completes, with a warning that names the record."""
    flow.apply()
    flow.shop.put(order(1, 1, total="99.00"), order(2, 2))

    flow.run()

    report = flow.cli("history", "acme/orders", "--json").stdout
    assert [one["DocNumber"] for one in company.all("SalesReceipt")] == ["2"]
    assert "1: the lines and the tax add up to 17.33, and the total is 99.00" in report


def test_lost_answers_in_the_middle_post_nothing_twice(flow: Flow, company: QuickBooks) -> None:
    """R56."""
    flow.apply()
    flow.shop.put(*[order(number, number) for number in range(1, 20)])

    def unheard(request, route):
        lost = request.method == "POST" and "salesreceipt" in request.path
        return done_but_unheard(request, route) if lost else route(request)

    company.api.at(20, *[unheard] * 9)
    flow.run()
    flow.run()

    numbers = [one["DocNumber"] for one in company.all("SalesReceipt")]
    assert sorted(numbers, key=int) == [str(number) for number in range(1, 20)]
