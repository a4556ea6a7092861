"""Records reach a company once each, whatever fails, and only what changed of them is sent."""

from contextlib import suppress
from random import Random

import pyarrow as pa
import pytest

from connectors.contract import Batch
from connectors.errors import ConnectorError, TransientError
from connectors.testing.fake_api import failing, unauthorized
from tests.connectors.quickbooks_world import Books, customer, invoice, target
from tests.providers.quickbooks import QuickBooks, done_but_unheard, fault_with_200, throttled


def test_a_record_is_created_changed_and_left_alone(company: QuickBooks, books: Books) -> None:
    made, _ = books.send("customers", customer(1, "Ann"))
    same, _ = books.send("customers", customer(1, "Ann"), execution="second")
    changed, _ = books.send("customers", customer(1, "Ann", phone="555"), execution="third")

    counts = [
        (done.counts.processed, done.counts.created, done.counts.updated)
        for done in (made, same, changed)
    ]
    assert counts == [(1, 1, 0), (1, 0, 0), (1, 0, 1)]
    (ann,) = company.all("Customer")
    assert ann["PrimaryPhone"] == {"FreeFormNumber": "555"}
    assert len(company.posted("Customer")) == 2


def test_fields_that_somebody_filled_in_quickbooks_stay(company: QuickBooks, books: Books) -> None:
    """An update is sparse, and a stale object is read again."""
    books.send("customers", customer(1, "Ann"))
    (ann,) = company.all("Customer")
    company.put("Customer", Id=ann["Id"], Notes="pays late", Title="Dr")

    done, refused = books.send("customers", customer(1, "Ann", phone="555"), execution="second")

    (ann,) = company.all("Customer")
    assert (ann["Notes"], ann["Title"]) == ("pays late", "Dr")
    assert ann["PrimaryPhone"] == {"FreeFormNumber": "555"}
    assert (done.counts.updated, refused) == (1, [])


def test_an_object_that_changes_all_the_time_is_tried_later(
    company: QuickBooks, books: Books
) -> None:
    books.send("customers", customer(1, "Ann"))
    (ann,) = company.all("Customer")

    def meddle(request, route):
        if request.method == "POST":
            company.put("Customer", Id=ann["Id"], Notes="again")
        return route(request)

    books.company.api.at(1, *[meddle] * 20)

    with pytest.raises(TransientError, match="all the time"):
        books.send("customers", customer(1, "Ann", phone="555"), execution="second")


def test_a_value_that_goes_back_is_sent_again(company: QuickBooks, books: Books) -> None:
    """The same content twice is not the same call: requestid would replay the first."""
    for number, phone in enumerate(("1", "2", "1")):
        books.send("customers", customer(1, "Ann", phone=phone), execution=str(number))

    (ann,) = company.all("Customer")
    assert ann["PrimaryPhone"] == {"FreeFormNumber": "1"}


@pytest.mark.parametrize("fault", [done_but_unheard, fault_with_200, unauthorized, failing(503)])
def test_a_call_whose_answer_was_lost_is_done_once(
    company: QuickBooks, books: Books, fault
) -> None:
    """R67: the same requestid is replayed."""

    def only_writes(request, route):
        return fault(request, route) if request.method == "POST" else route(request)

    books.send("items", {"id": "N1", "name": "Nut", "sku": "N1"})
    company.api.at(1, *[only_writes] * 12)
    for _ in range(4):
        with suppress(ConnectorError):
            books.send("sales_receipts", invoice(1))
    company.api.calm()
    done, refused = books.send("sales_receipts", invoice(1))

    assert len(company.all("SalesReceipt")) == 1
    assert (done.counts.created, refused) == (1, [])


@pytest.mark.parametrize("forgets", [False, True], ids=["replays", "has forgotten the requestid"])
@pytest.mark.parametrize("unique", [True, False], ids=["numbers unique", "numbers may repeat"])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_breaks_off_each_record_is_there_once(
    company: QuickBooks, books: Books, seed: int, unique: bool, forgets: bool
) -> None:
    """R56, R64: crashes between a call and its note; then a state after the last one."""
    rng = Random(seed)
    company.unique_numbers = unique
    records = [invoice(number, note=f"for {number}") for number in range(30)]

    def die(request, route):
        route(request)
        raise ConnectionResetError

    for attempt in range(6):
        crash = rng.choice([die, done_but_unheard, failing(400)])
        company.api.at(rng.randint(1, 60), *[crash] * 40)
        with suppress(ConnectorError):
            books.send("invoices", *records)
        company.api.calm()
        if forgets:
            company.replays.clear()
        if attempt == 2:
            records[7] = invoice(7, note="changed meanwhile")
    _, refused = books.send("invoices", *records, execution="last")

    there = company.all("Invoice")
    assert sorted(one["DocNumber"] for one in there) == sorted(f"W{n}" for n in range(30))
    assert {one["TotalAmt"] for one in there} == {9.99}
    assert refused == []
    (changed,) = [one for one in there if one["DocNumber"] == "W7"]
    assert changed["PrivateNote"].startswith("changed meanwhile")
    assert len(company.all("Customer")) == len(company.all("Item")) == 1


def test_a_commit_that_broke_off_is_counted_by_the_one_that_ends_it(
    company: QuickBooks, books: Books
) -> None:
    """R63: the same execution's counts go on."""
    records = [customer(number, f"C{number}") for number in range(50)]

    def late(request, route):
        return throttled(request, route) if b'"C41"' in request.body else route(request)

    company.api.at(1, *[late] * 200)
    with pytest.raises(TransientError):
        books.send("customers", *records)
    company.api.calm()
    done, _ = books.send("customers", *records)
    later, _ = books.send("customers", *records, execution="second")

    assert (done.counts.processed, done.counts.created) == (50, 50)
    assert (later.counts.processed, later.counts.created) == (50, 0)


def test_nothing_is_sent_before_a_commit(company: QuickBooks, books: Books) -> None:
    data = pa.Table.from_pylist([customer(1, "Ann")])

    with books.writing(target("customers", data.schema)) as writer:
        writer.write(Batch(data=data))

    assert not company.all("Customer")


def test_calls_stay_within_what_quickbooks_allows(company: QuickBooks, books: Books) -> None:
    books.send("customers", *[customer(number, f"C{number}") for number in range(60)])

    posted = company.posted("Customer")
    assert company.most_in_flight <= 4
    assert len({request.params["requestid"] for request in posted}) == len(posted) == 60
    assert {request.params["minorversion"] for request in posted} == {"75"}
