"""Names, numbers and objects that a company already has, or has no longer."""

from tests.connectors.quickbooks_world import Books, customer, invoice
from tests.providers.quickbooks import QuickBooks


def test_a_customer_of_the_same_name_and_mail_is_taken_for_the_same(
    company: QuickBooks, books: Books
) -> None:
    there = company.put(
        "Customer", DisplayName="ann", PrimaryEmailAddr={"Address": "Ann@x.ca"}, Active=False
    )

    _, refused = books.send("customers", customer(1, "Ann", active=True))

    assert refused == []
    assert [one["Id"] for one in company.all("Customer")] == [there["Id"]]


def test_another_customer_of_the_same_name_gets_a_name_with_the_key(
    company: QuickBooks, books: Books
) -> None:
    """6240: never by names alone."""
    company.put("Customer", DisplayName="Ann", PrimaryEmailAddr={"Address": "other@y.ca"})

    books.send("customers", customer(7, "Ann"))
    books.send("customers", customer(7, "Ann", phone="555"), execution="second")

    names = [one["DisplayName"] for one in company.all("Customer")]
    assert names == ["Ann", "Ann (7)"]
    assert company.all("Customer")[1]["PrimaryPhone"] == {"FreeFormNumber": "555"}


def test_a_number_that_somebody_else_uses_is_refused(company: QuickBooks, books: Books) -> None:
    """6140."""
    ann = company.put("Customer", DisplayName="Ann")
    company.put("Invoice", DocNumber="W1", CustomerRef={"value": ann["Id"]}, Line=[])

    done, refused = books.send("invoices", invoice(1), invoice(2))

    (said,) = refused
    assert said.startswith("1: DocNumber 'W1' belongs to another Invoice")
    assert (done.counts.rejected, done.counts.created) == (1, 1)


def test_an_object_that_somebody_deleted_is_not_created_again(
    company: QuickBooks, books: Books
) -> None:
    books.send("invoices", invoice(1))
    company.remove("Invoice", company.all("Invoice")[0]["Id"])

    _, refused = books.send("invoices", invoice(1, note="changed"), execution="second")

    assert "no longer in QuickBooks" in refused[0]
    assert not company.all("Invoice")
