"""What is not written to a company, and what is said of it."""

from contextlib import closing

import pyarrow as pa
import pytest

from connectors.contract import Deletes, Encoding, WriteMode
from connectors.errors import ConfigError
from tests.connectors.quickbooks_world import Books, invoice, target
from tests.providers.quickbooks import QuickBooks


@pytest.mark.parametrize(
    ("table", "columns", "more", "said"),
    [
        ("invoice", ["id"], {}, "did you mean 'invoices'"),
        ("customers", ["id", "nmae"], {}, "column 'nmae' has no place"),
        ("customers", ["id"], {"write_mode": WriteMode.REPLACE}, "write_mode upsert"),
        ("customers", ["id"], {"deletes": Deletes.HARD}, "deletes keep"),
        ("customers", ["id"], {"primary_key": ()}, "primary_key"),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_record_moves(
    books: Books, table: str, columns: list[str], more, said: str
) -> None:
    schema = pa.schema([(name, pa.string()) for name in columns])

    with closing(books.destination()) as destination, pytest.raises(ConfigError, match=said):
        destination.open(target(table, schema, **more), Encoding.ARROW)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"total": "20.00"}, "add up to 9.99"),
        ({"lines": "[]"}, "no lines"),
        ({"lines": "{"}, "lines is not JSON"),
        ({"total": "9.999"}, "whole cents"),
        ({"customer_name": None, "customer_email": None}, "needs a customer"),
        ({"number": "9" * 22}, "longer than 21"),
        ({"currency": "EUR", "date": "soon"}, "date is not a date"),
    ],
)
def test_a_record_that_cannot_be_sent_is_named_and_the_others_are_sent(
    company: QuickBooks, books: Books, more, said: str
) -> None:
    done, refused = books.send("invoices", invoice(1, **more), invoice(2))

    assert len(refused) == 1
    assert refused[0].startswith("1: ")
    assert said in refused[0]
    assert [one["DocNumber"] for one in company.all("Invoice")] == ["W2"]
    assert (done.counts.processed, done.counts.rejected) == (1, 1)


def test_what_quickbooks_refuses_is_told_in_its_own_words(
    company: QuickBooks, books: Books
) -> None:
    def refuse(request, route):
        if request.method != "POST" or b"W1" not in request.body:
            return route(request)
        return type(route(request)).json(
            {"Fault": {"Error": [{"Message": "Business", "Detail": "no", "code": "6000"}]}},
            status=400,
        )

    books.send("invoices", invoice(9))
    company.api.at(1, *[refuse] * 20)

    done, refused = books.send("invoices", invoice(1), invoice(2), execution="second")

    assert refused == ["1: QuickBooks refused it: Business: no (code 6000)"]
    assert done.counts.created == 1
