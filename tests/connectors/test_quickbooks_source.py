"""QuickBooks read: pages by query, what changed, what was deleted, tokens that rotate."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from threading import Barrier, Thread

import pytest

from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode
from connectors.errors import AuthError, ConfigError, RateLimitedError
from connectors.http.bearer import MemoryTokens
from connectors.http.outside import Outside
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.source import QuickBooksSource
from connectors.providers.quickbooks.streams import query_stream
from connectors.rest.columns import Column, Kind
from connectors.surroundings import Surroundings
from connectors.testing.fake_api import cut_off, html_page, unauthorized
from connectors.testing.rows import Row
from connectors.testing.source_suite import SourceContract
from tests.connectors.quickbooks_world import passing
from tests.providers.laws import prove
from tests.providers.quickbooks import QuickBooks, fault_with_200, throttled
from tests.world import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def books(clock: FakeClock) -> Iterator[QuickBooks]:
    books = QuickBooks(clock)
    with books.api:
        yield books


class System:
    stream = "orders"

    def __init__(self, books: QuickBooks) -> None:
        self.books = books

    def open(self) -> QuickBooksSource:
        columns = [
            Column(name="id", kind=Kind.INTEGER, path="Id"),
            Column(name="changed_at", kind=Kind.TIMESTAMP, path="MetaData.LastUpdatedTime"),
            Column(name="note", path="PrivateNote"),
        ]
        spec = query_stream(
            "orders", "Bill", columns, cursor="changed_at", size=2, lag=timedelta(0)
        )
        self.books.refresh.add("refresh-0")
        return QuickBooksSource(config=QuickBooksConfig(**self.books.config()), specs=(spec,))

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            at = None if row.changed_at is None else row.changed_at.isoformat()
            self.books.put(
                "Bill", Id=str(row.id), PrivateNote=row.note, MetaData={"LastUpdatedTime": at}
            )


class Company(System):
    """Bills, as one property after the other has them, by the clock of a world."""

    def __init__(self, books: QuickBooks) -> None:
        super().__init__(books)
        books.clock = lambda: books.api.clock()
        books.objects["Bill"].clear()
        books.access.clear()
        books.calls.clear()

    def open(self, outside: Outside | None = None) -> QuickBooksSource:
        source = super().open()
        source.outside = outside or source.outside
        return source

    def store(self, row: Row) -> None:
        self.put([row])

    def drop(self, identity: int, moment: datetime) -> None:
        self.books.objects["Bill"].pop(str(identity), None)


@pytest.mark.parametrize("mode", list(SyncMode))
def test_changes_faults_and_crashes_lose_nothing(books: QuickBooks, mode: SyncMode) -> None:
    """R70, R152; a token ends within an hour, wherever the read then is."""
    prove(
        books.api,
        lambda: Company(books),
        mode=mode,
        examples=25,
        deletes=mode is SyncMode.FULL,
    )


class TestQuickBooksSource(SourceContract):
    @pytest.fixture
    def system(self, books: QuickBooks) -> System:
        return System(books)

    def only_id(self, identity: int) -> str:
        return f"Id={identity}"


@pytest.fixture
def tokens() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
def source(books: QuickBooks, clock: FakeClock, tokens: MemoryTokens) -> Iterator[QuickBooksSource]:
    with closing(opened(books, clock, tokens)) as source:
        yield source


def opened(books: QuickBooks, clock: FakeClock, tokens: MemoryTokens, **more) -> QuickBooksSource:
    outside = Outside(now=clock, chance=lambda: 0.0, sleep=passing(clock))
    config = QuickBooksConfig(**books.config(**more))
    source = QuickBooksSource(config=config, outside=outside)
    source.surround(Surroundings(tokens=tokens))
    return source


def read(source, name, state=None, mode=SyncMode.INCREMENTAL, **more):
    selection = Selection(stream=source.stream(name), mode=mode, **more)
    batches = list(source.read(selection, state, Encoding.ARROW))
    rows = [row for batch in batches for row in batch.data.to_pylist()]
    return rows, batches[-1].state, [one for batch in batches for one in batch.rejected]


def test_every_stream_is_read_with_its_columns(books: QuickBooks, source: QuickBooksSource) -> None:
    books.put("Customer", DisplayName="Ann", PrimaryEmailAddr={"Address": "ann@x.ca"}, Balance=9.5)
    books.put("Customer", DisplayName="Bob", Active=False)
    books.put("Invoice", DocNumber="7", TotalAmt=31.05, TxnDate="2026-03-01", Line=[])

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
    books: QuickBooks, source: QuickBooksSource
) -> None:
    customer = books.put("Customer", DisplayName="Ann")["Id"]
    invoice = books.put("Invoice", DocNumber="7", Balance=31.05)["Id"]
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
    first = books.put("Payment", **paid)["Id"]

    (found,), state, _ = read(source, "payments")
    books.put("Payment", Id=first, PrivateNote="by cheque")
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
    books: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    books.put("Item", Name="old")
    clock.advance(hours=1)
    books.put("Item", Name="edge")
    _, state, _ = read(source, "items")
    late = (clock.now - timedelta(minutes=4)).isoformat()
    books.put("Item", Name="late", MetaData={"LastUpdatedTime": late})

    rows, _, _ = read(source, "items", state)

    assert {row["name"] for row in rows} == {"edge", "late"}


def test_deletes_come_from_change_data_capture_and_voids_do_not(
    books: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    """R60: void is not delete."""
    kept, gone = (books.put("Invoice", DocNumber=n, TotalAmt=1) for n in ("1", "2"))
    _, state, _ = read(source, "deleted_invoices")
    clock.advance(minutes=1)
    books.remove("Invoice", gone["Id"])
    books.put("Invoice", Id=kept["Id"], TotalAmt=0, PrivateNote="Voided")

    rows, after, rejected = read(source, "deleted_invoices", state)
    invoices, _, _ = read(source, "invoices")

    assert rows == [{"id": gone["Id"], "deleted_at": clock.now}]
    assert after.watermark == clock.now.isoformat()
    assert not rejected
    assert [(one["id"], one["note"]) for one in invoices] == [(kept["Id"], "Voided")]


def test_deletes_that_cannot_be_known_are_named(
    books: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    """Change data capture looks back 30 days, and tells of 1,000 objects."""
    _, state, _ = read(source, "deleted_bills")
    clock.advance(days=40)
    books.largest = 1000
    for number in range(1000):
        books.put("Bill", DocNumber=str(number))

    _, after, rejected = read(source, "deleted_bills", state)

    assert [reason.reason.split(": ")[1][:20] for reason in rejected] == [
        "it looks back 30 day",
        "more than 1,000 obje",
    ]
    assert read(source, "deleted_bills", after)[1].watermark == clock.now.isoformat()


def test_a_list_of_more_than_one_page_is_read_whole_while_it_changes(
    books: QuickBooks, clock: FakeClock, source: QuickBooksSource
) -> None:
    for number in range(2300):
        clock.advance(seconds=1)
        books.put("Bill", DocNumber=str(number))
    first = books.all("Bill")[0]["Id"]

    def change(request, route):
        clock.advance(seconds=1)
        books.put("Bill", Id=first, DocNumber="changed")
        return route(request)

    books.api.at(3, change)
    rows, _, _ = read(source, "bills")

    assert len({row["id"] for row in rows}) == 2300
    assert rows[-1]["number"] == "changed"


# Faults


def test_passing_faults_are_waited_out(books: QuickBooks, source: QuickBooksSource) -> None:
    books.put("Item", Name="nut")
    source.check()

    books.api.at(1, throttled_soon, cut_off(), html_page, fault_with_200)
    rows, _, _ = read(source, "items")

    assert [row["name"] for row in rows] == ["nut"]


def throttled_soon(request, route):
    reply = throttled(request, route)
    return type(reply)(status=429, body=reply.body, headers={"Retry-After": "1"})


def test_a_throttle_without_a_wait_asks_for_a_minute(
    books: QuickBooks, source: QuickBooksSource
) -> None:
    source.check()
    books.api.at(1, *[throttled] * 9)

    with pytest.raises(RateLimitedError) as slowed:
        read(source, "items")

    assert slowed.value.retry_after == timedelta(seconds=60)


def test_a_query_that_is_refused_names_the_reason(source: QuickBooksSource) -> None:
    with pytest.raises(ConfigError, match="which is no field"):
        read(source, "items", row_filter="Name OR 1=1")


# Tokens


def test_tokens_are_renewed_when_they_end_and_each_refresh_token_is_used_once(
    books: QuickBooks, clock: FakeClock, tokens: MemoryTokens, source: QuickBooksSource
) -> None:
    source.check()
    clock.advance(minutes=61)
    books.api.at(2, unauthorized)

    source.check()

    assert books.granted >= 2
    assert tokens.load().refresh_token in books.refresh
    assert len(books.refresh) == 1


def test_two_sources_of_one_connection_refresh_once(
    books: QuickBooks, clock: FakeClock, tokens: MemoryTokens
) -> None:
    sources = [opened(books, clock, tokens) for _ in range(2)]
    barrier = Barrier(2)

    def check(source) -> None:
        barrier.wait()
        source.check()
        source.close()

    threads = [Thread(target=check, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert books.granted == 1


def test_a_grant_that_is_over_asks_to_authorize_again(
    books: QuickBooks, source: QuickBooksSource
) -> None:
    books.refresh.clear()

    with pytest.raises(AuthError, match="authorize the connection again"):
        source.check()


def test_the_company_comes_with_the_authorization(
    books: QuickBooks, clock: FakeClock, tokens: MemoryTokens
) -> None:
    with (
        closing(opened(books, clock, tokens, realm_id=None)) as source,
        pytest.raises(ConfigError, match="connections authorize"),
    ):
        source.check()


def test_the_connector_is_known_and_hides_its_secrets(books: QuickBooks) -> None:
    connector = registry.get("quickbooks")

    parsed = connector.parse(books.config(ledger="postgresql://u:hunter2@h/books"))

    assert connector.roles == ("source", "destination")
    assert "hunter2" not in repr(parsed)
    with pytest.raises(ConfigError, match="ledger"):
        connector.parse(books.config(ledger="nonsense"))
