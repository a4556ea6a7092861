"""A shop's orders become QuickBooks' documents: from the manifest to the books."""

import json

import pytest

from tests.cli.bookkeeping import Flow
from tests.connectors.quickbooks_world import sold
from tests.providers.quickbooks import QuickBooks, done_but_unheard


def test_a_paid_order_becomes_a_sales_receipt_once(flow: Flow, company: QuickBooks) -> None:
    """R93: customer created, items matched or created, the sum exact."""
    flow.apply()
    nut = company.put("Item", Name="Nut M4", Sku="N1", IncomeAccountRef={"value": "1"})
    flow.order(1, 1)
    flow.order(2, 2, status="pending", date_paid_gmt=None)

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
    flow.order(1, 1, status="on-hold", date_paid_gmt=None)
    flow.run()
    waiting = company.all("SalesReceipt")

    flow.order(1, 5)
    flow.run()

    assert waiting == []
    assert [one["DocNumber"] for one in company.all("SalesReceipt")] == ["1"]


def test_as_invoices_an_order_is_an_invoice_and_its_payment_a_payment(
    flow: Flow, company: QuickBooks
) -> None:
    flow.apply(orders_as="invoices")
    flow.order(1, 1, status="pending", date_paid_gmt=None)
    flow.run()
    owed = company.all("Invoice")[0]["Balance"]

    flow.order(1, 5)
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
    flow.order(1, 1)
    flow.order(2, 2, status="cancelled")
    flow.run()

    flow.order(1, 5, status="cancelled")
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
    flow.order(1, 1, total="99.00")
    flow.order(2, 2)

    flow.run()

    report = flow.cli("history", "acme/orders", "--json").stdout
    assert [one["DocNumber"] for one in company.all("SalesReceipt")] == ["2"]
    assert "1: the lines and the tax add up to 17.33, and the total is 99.00" in report


def test_what_was_rejected_is_kept_and_sent_again_when_it_is_asked_for(
    flow: Flow, company: QuickBooks
) -> None:
    """R65."""
    flow.apply()
    flow.order(1, 1)
    other = company.put("SalesReceipt", DocNumber="1", Line=[])
    flow.run()
    (kept,) = json.loads(flow.cli("rejected", "list", "acme/orders", "--json").stdout)

    company.remove("SalesReceipt", other["Id"])
    flow.cli("rejected", "redrive", "acme/orders")

    left = json.loads(flow.cli("rejected", "list", "acme/orders", "--json").stdout)
    assert kept["key"] == "1"
    assert "belongs to another SalesReceipt" in kept["reason"]
    assert left == []
    assert [one["TotalAmt"] for one in company.all("SalesReceipt")] == [17.33]


def test_lost_answers_in_the_middle_post_nothing_twice(flow: Flow, company: QuickBooks) -> None:
    """R56."""
    flow.apply()
    for number in range(1, 20):
        flow.order(number, number)

    def unheard(request, route):
        lost = request.method == "POST" and "salesreceipt" in request.path
        return done_but_unheard(request, route) if lost else route(request)

    company.api.at(20, *[unheard] * 9)
    flow.run()
    flow.run()

    numbers = [one["DocNumber"] for one in company.all("SalesReceipt")]
    assert sorted(numbers, key=int) == [str(number) for number in range(1, 20)]
