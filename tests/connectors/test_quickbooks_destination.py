"""QuickBooks written: once each, whatever fails; names and numbers that are taken; refusals."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from connectors.contract import Batch, Deletes, Encoding, State, WriteMode
from connectors.errors import ConfigError, ConnectorError, TransientError
from connectors.testing.fake_api import failing, unauthorized
from tests.connectors.quickbooks_world import Books, sold, target
from tests.providers.quickbooks import QuickBooks, done_but_unheard, fault_with_200, throttled
from tests.world import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def company(clock: FakeClock) -> Iterator[QuickBooks]:
    company = QuickBooks(clock)
    with company.api:
        yield company


@pytest.fixture
def books(company: QuickBooks, clock: FakeClock, tmp_path: Path) -> Books:
    return Books.at(company, clock, tmp_path)


def customer(identity: int, name: str, **more):
    return {"id": identity, "display_name": name, "email": f"{name.lower()}@x.ca", **more}


def invoice(identity: int, **more):
    lines = [{"sku": "N1", "name": "Nut", "quantity": 3, "amount": "9.99"}]
    return {
        "id": identity,
        "number": f"W{identity}",
        "customer_name": "Ann",
        "customer_email": "ann@x.ca",
        "date": "2026-03-01",
        "lines": json.dumps(lines),
        "total": "9.99",
        **more,
    }


# Once


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


def test_a_lost_ledger_costs_queries_and_doubles_nothing(
    company: QuickBooks, books: Books, tmp_path: Path
) -> None:
    books.send("customers", customer(1, "Ann"))
    books.send("invoices", invoice(1), invoice(2))
    (tmp_path / "ledger.db").unlink()
    company.replays.clear()

    books.send("customers", customer(1, "Ann"))
    _, refused = books.send("invoices", invoice(1), invoice(2, note="changed"))

    assert refused == []
    first, second = sorted(company.all("Invoice"), key=lambda one: one["DocNumber"])
    assert (first["DocNumber"], second["DocNumber"]) == ("W1", "W2")
    assert second["PrivateNote"].startswith("changed")
    assert len(company.all("Customer")) == 1


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


def test_a_ledger_of_an_earlier_version_is_completed(
    company: QuickBooks, books: Books, tmp_path: Path
) -> None:
    books.send("customers", customer(1, "Ann"))
    with closing(sqlite3.connect(books.ledger.removeprefix("sqlite:///"))) as ledger:
        ledger.execute("ALTER TABLE main___quickbooks_objects DROP COLUMN newest")

    books.send("customers", customer(1, "Ann", phone="555"), execution="second")

    (ann,) = company.all("Customer")
    assert ann["PrimaryPhone"] == {"FreeFormNumber": "555"}


# The contract


@pytest.mark.parametrize("kind", ["postgresql", "sqlite", "duckdb"])
def test_every_database_of_ours_keeps_a_ledger(
    company: QuickBooks, books: Books, postgres_url: str, tmp_path: Path, kind: str
) -> None:
    books.ledger = postgres_url if kind == "postgresql" else f"{kind}:///{tmp_path}/books.{kind}"

    first, _ = books.send("customers", customer(1, "O'Hara"), customer(2, "Bo"), mark="one")
    changed = customer(1, "O'Hara", notes="x")
    second, _ = books.send("customers", changed, execution="second", mark="two")
    again, _ = books.send("customers", customer(2, "Bo", notes="x"), execution="second")

    done = [first.counts, second.counts, again.counts]
    assert [(one.processed, one.created, one.updated) for one in done] == [
        (2, 2, 0),
        (1, 0, 1),
        (2, 0, 2),
    ]
    assert second.state.watermark == "two"
    assert len(company.all("Customer")) == 2


def test_the_state_is_known_to_the_next_execution_and_to_no_other_stream(books: Books) -> None:
    first, _ = books.send("customers", customer(1, "Ann"), mark="one")
    schema = pa.schema([("id", pa.int64())])

    with books.writing(target("customers", schema)) as again:
        same = again.committed
    with books.writing(target("customers", schema, "second")) as again:
        later = again.committed
    with books.writing(target("items", schema)) as other:
        foreign = other.committed

    assert same == first
    assert (later.state, later.finished, later.counts.created) == (first.state, False, 0)
    assert foreign.state is None


def test_of_two_writers_the_second_to_commit_is_refused(books: Books) -> None:
    """R74."""
    schema = pa.schema([("id", pa.int64())])
    with (
        books.writing(target("customers", schema, "slow")) as slow,
        books.writing(target("customers", schema, "fast")) as fast,
    ):
        fast.commit(State(version=1, value={"watermark": "fast"}), finished=True)

        with pytest.raises(TransientError):
            slow.commit(State(version=1, value={"watermark": "slow"}), finished=True)


def test_nothing_is_sent_before_a_commit(company: QuickBooks, books: Books) -> None:
    data = pa.Table.from_pylist([customer(1, "Ann")])

    with books.writing(target("customers", data.schema)) as writer:
        writer.write(Batch(data=data))

    assert not company.all("Customer")


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


def test_without_a_ledger_nothing_is_written(books: Books) -> None:
    schema = pa.schema([("id", pa.int64())])

    with closing(books.destination(ledger=None)) as destination:
        said = destination.check()
        with pytest.raises(ConfigError, match="ledger is missing"):
            destination.open(target("customers", schema), Encoding.ARROW)

    assert "set ledger" in said


# Names and numbers that are taken


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


# Documents


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


def test_items_are_never_created_without_an_account(company: QuickBooks, books: Books) -> None:
    _, refused = books.send("invoices", invoice(1), income_account=None)

    assert "set income_account" in refused[0]
    assert not company.all("Item")


def test_an_account_that_is_not_there_is_the_tenants_to_mend(books: Books) -> None:
    with pytest.raises(ConfigError, match="no account 'Slaes'"):
        books.send("invoices", invoice(1), income_account="Slaes")


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


def test_calls_stay_within_what_quickbooks_allows(company: QuickBooks, books: Books) -> None:
    books.send("customers", *[customer(number, f"C{number}") for number in range(60)])

    assert company.most_in_flight <= 4
    assert all(request.params.get("requestid") for request in company.posted("Customer"))
    assert all(request.params["minorversion"] == "75" for request in company.posted("Customer"))
