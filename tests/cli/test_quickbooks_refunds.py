"""A shop's refunds become QuickBooks' refund receipts and credit memos."""

import json
import sqlite3
from typing import Any

import pytest

from tests.cli.bookkeeping import Flow
from tests.connectors.quickbooks_world import sold
from tests.providers.quickbooks import QuickBooks, done_but_unheard

ONE_NUT = {
    "line_items": [
        {"name": "Nut", "sku": "N1", "quantity": -1, "total": "-3.33", "total_tax": "-0.17"},
        {"name": "Gift: card", "sku": "", "quantity": 0, "total": "0.00", "total_tax": "0.00"},
    ],
    "shipping_lines": [{"method_title": "Post", "total": "-1.00", "total_tax": "0"}],
}
"""A part of an order, as the shop lists what was given back of it."""


@pytest.fixture
def till(company: QuickBooks) -> str:
    """The account that refunds are paid from."""
    return str(company.put("Account", Name="Till", AccountType="Bank")["Id"])


def test_a_part_that_is_refunded_becomes_a_refund_receipt_once(
    flow: Flow, company: QuickBooks, till: str
) -> None:
    flow.apply(refunds=True, refund_account="Till")
    flow.order(1, 1)
    flow.run()

    flow.refund(1, 77, 5, "4.50", **ONE_NUT, reason="too small")
    flow.run()
    flow.order(1, 9)
    flow.run()

    (receipt,) = company.all("RefundReceipt")
    (sale,) = company.all("SalesReceipt")
    items = {one["Name"]: one["Id"] for one in company.all("Item")}
    assert (receipt["DocNumber"], receipt["TotalAmt"]) == ("R77", 4.5)
    assert receipt["DepositToAccountRef"] == {"value": till}
    assert receipt["CustomerRef"] == sale["CustomerRef"]
    assert receipt["TxnDate"] == "2026-03-01"
    assert receipt["PrivateNote"].startswith("Refund of order 1. too small")
    assert sold(receipt["Line"]) == [
        {"item": items["Nut"], "quantity": 1, "amount": 3.33},
        {"item": items["Shipping"], "quantity": 1, "amount": 1.0},
    ]
    assert receipt["TxnTaxDetail"] == {"TotalTax": 0.17}
    assert len(company.posted("RefundReceipt")) == 1


@pytest.mark.parametrize(
    ("lines", "amounts"),
    [({}, [5.0]), (ONE_NUT, [3.33, 1.0, 0.5]), ({**ONE_NUT, "amount": "2.00"}, [2.0])],
    ids=["no lines", "more than its lines", "less than its lines"],
)
def test_an_amount_that_no_line_explains_is_given_back_as_such(
    flow: Flow, company: QuickBooks, till: str, lines: dict[str, Any], amounts: list[float]
) -> None:
    """A shop takes any amount, whatever the lines say."""
    flow.apply(refunds=True, refund_account="Till")
    flow.order(1, 1)
    flow.refund(1, 77, 5, **{"amount": "5.00", **lines})
    flow.run()

    (receipt,) = company.all("RefundReceipt")
    assert [line["amount"] for line in sold(receipt["Line"])] == amounts
    assert receipt["TotalAmt"] == float(lines.get("amount", "5.00"))


def test_a_refund_of_an_unpaid_invoice_is_a_credit_memo_and_stays_one(
    flow: Flow, company: QuickBooks, till: str
) -> None:
    flow.apply(refunds=True, refund_account="Till", orders_as="invoices")
    flow.order(1, 1, status="on-hold", date_paid_gmt=None)
    flow.refund(1, 77, 5, "4.50", **ONE_NUT)
    flow.order(2, 6)
    flow.refund(2, 78, 7, "4.50", **ONE_NUT)
    flow.run()

    flow.order(1, 9)
    flow.run()

    (memo,) = company.all("CreditMemo")
    (receipt,) = company.all("RefundReceipt")
    assert (memo["DocNumber"], memo["TotalAmt"]) == ("R77", 4.5)
    assert "DepositToAccountRef" not in memo
    assert receipt["DocNumber"] == "R78"
    assert len(company.all("Payment")) == 2


def test_a_credit_memo_whose_note_was_lost_is_not_given_back_again_once_it_is_paid(
    flow: Flow, company: QuickBooks, till: str
) -> None:
    """The process died between the call and its note; then the invoice was paid."""
    flow.apply(refunds=True, refund_account="Till", orders_as="invoices")
    flow.order(1, 1, status="on-hold", date_paid_gmt=None)
    flow.refund(1, 77, 5, "4.50", **ONE_NUT)
    flow.run()
    with sqlite3.connect(flow.cli.directory / "ledger.db") as ledger:
        ledger.execute("DELETE FROM main___quickbooks_objects WHERE entity = 'CreditMemo'")
    company.replays.clear()

    flow.order(1, 9)
    flow.run()

    assert len(company.all("CreditMemo")) == 1
    assert company.all("RefundReceipt") == []


def test_an_order_that_was_refunded_before_anybody_looked_is_in_the_books_with_its_refund(
    flow: Flow, company: QuickBooks, till: str
) -> None:
    flow.apply(refunds=True, refund_account="Till")
    flow.order(1, 1, status="refunded")
    flow.refund(1, 77, 5, "17.33")
    flow.run()

    assert [one["TotalAmt"] for one in company.all("SalesReceipt")] == [17.33]
    assert [one["TotalAmt"] for one in company.all("RefundReceipt")] == [17.33]


def test_a_refund_of_an_order_that_is_not_in_the_books_is_kept_until_it_is(
    flow: Flow, company: QuickBooks, till: str
) -> None:
    """R65."""
    flow.apply(refunds=True, refund_account="Till")
    flow.order(1, 1)
    flow.refund(1, 77, 5, "5.00")
    other = company.put("SalesReceipt", DocNumber="1", Line=[])
    flow.run()
    kept = json.loads(flow.cli("rejected", "list", "acme/orders", "--json").stdout)

    company.remove("SalesReceipt", other["Id"])
    flow.cli("rejected", "redrive", "acme/orders")

    reasons = {one["stream"]: one["reason"] for one in kept}
    assert "its order 1 is not in the books" in reasons["refunds"]
    assert json.loads(flow.cli("rejected", "list", "acme/orders", "--json").stdout) == []
    assert [one["TotalAmt"] for one in company.all("RefundReceipt")] == [5.0]


def test_refunds_whose_answers_are_lost_are_given_back_once(
    flow: Flow, company: QuickBooks, till: str
) -> None:
    """R56, R70: QuickBooks does a requestid once, and a mark tells what is ours."""
    flow.apply(refunds=True, refund_account="Till")
    for number in range(1, 6):
        flow.order(number, number)
        flow.refund(number, 70 + number, number, "5.00")

    def unheard(request, route):
        lost = request.method == "POST" and "refundreceipt" in request.path
        return done_but_unheard(request, route) if lost else route(request)

    company.api.at(1, *[unheard] * 60)
    flow.run()
    company.replays.clear()
    company.api.calm()
    flow.run()

    numbers = sorted(one["DocNumber"] for one in company.all("RefundReceipt"))
    assert numbers == ["R71", "R72", "R73", "R74", "R75"]


def test_refunds_are_not_sent_without_an_account_to_pay_them_from(
    flow: Flow, company: QuickBooks
) -> None:
    flow.apply(refunds=True)
    flow.order(1, 1)
    flow.refund(1, 77, 5, "5.00")
    flow.cli("run", "acme/orders", "--json", fails=1)

    said = flow.cli("history", "acme/orders", "--json").stdout
    assert "refund_account is missing" in said
    assert company.all("RefundReceipt") == []
