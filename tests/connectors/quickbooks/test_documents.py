"""Invoices and payments: whom and what they name is found or created."""

import json

import pytest

from connectors.errors import ConfigError
from tests.connectors.quickbooks_world import Books, invoice, sold
from tests.providers.quickbooks import QuickBooks


def test_a_document_names_its_customer_and_lines_and_they_are_found_or_created(
    company: QuickBooks, books: Books
) -> None:
    ann = company.put(
        "Customer", DisplayName="Ann B.", PrimaryEmailAddr={"Address": "ann@x.ca"}, Notes="vip"
    )
    nut = company.put("Item", Name="Nut M4", Sku="N1", IncomeAccountRef={"value": "1"})
    lines = [
        {"sku": "N1", "name": "Nut", "quantity": 3, "amount": "10.00"},
        {"name": "Bolt: long", "quantity": 2, "unit_price": "1.50", "taxable": True},
    ]

    _, refused = books.send(
        "invoices",
        invoice(1, lines=json.dumps(lines), tax="0.15", total="13.16", customer_email="Ann@X.ca"),
    )

    assert refused == []
    (made,) = company.all("Invoice")
    bolt, rounding = company.all("Item")[1:]
    assert made["CustomerRef"]["value"] == ann["Id"]
    assert sold(made["Line"]) == [
        {"item": nut["Id"], "quantity": 1, "amount": 10.0},
        {"item": bolt["Id"], "quantity": 2, "amount": 3.0},
        {"item": rounding["Id"], "quantity": 1, "amount": 0.01},
    ]
    assert made["Line"][0]["Description"] == "3 x Nut"
    assert (bolt["Name"], rounding["Name"]) == ("Bolt long", "Rounding")
    assert made["TotalAmt"] == 13.16
    assert company.objects["Customer"][ann["Id"]]["Notes"] == "vip"
    assert len(company.posted("Customer")) == 0


def test_a_payment_settles_the_invoice_of_its_key(company: QuickBooks, books: Books) -> None:
    books.send("invoices", invoice(1))
    who = {"customer_name": "Ann", "customer_email": "ann@x.ca"}

    _, refused = books.send(
        "payments",
        {"id": 5, "amount": "9.99", "invoice_key": "1", "date": "2026-03-02", **who},
        {"id": 6, "amount": "1.00", "invoice_key": "404", "date": "2026-03-02", **who},
    )

    (payment,) = company.all("Payment")
    assert company.all("Invoice")[0]["Balance"] == 0
    assert payment["TotalAmt"] == 9.99
    assert refused == ["6: this sync has sent no invoice with key '404'"]


def test_items_are_never_created_without_an_account(company: QuickBooks, books: Books) -> None:
    _, refused = books.send("invoices", invoice(1), income_account=None)

    assert "set income_account" in refused[0]
    assert not company.all("Item")


def test_an_account_that_is_not_there_is_the_tenants_to_mend(books: Books) -> None:
    with pytest.raises(ConfigError, match="no account 'Slaes'"):
        books.send("invoices", invoice(1), income_account="Slaes")
