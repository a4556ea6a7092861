"""QuickBooks as a source and as a destination: the contract as far as it goes, whatever fails."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

from connectors.contract import Deletes, SyncMode
from connectors.http.outside import Outside
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.source import QuickBooksSource
from connectors.providers.quickbooks.streams import query_stream
from connectors.rest.columns import Column, Kind
from connectors.testing.features import Feature
from connectors.testing.rows import Row
from connectors.testing.source_suite import SourceContract
from tests.connectors.quickbooks.customers import CustomersSystem
from tests.connectors.quickbooks_world import Books
from tests.contract.upserts_only import UpsertsOnly
from tests.providers.laws import prove
from tests.providers.quickbooks import QuickBooks


class System:
    stream = "orders"

    def __init__(self, company: QuickBooks) -> None:
        self.company = company

    def open(self) -> QuickBooksSource:
        columns = [
            Column(name="id", kind=Kind.INTEGER, path="Id"),
            Column(name="changed_at", kind=Kind.TIMESTAMP, path="MetaData.LastUpdatedTime"),
            Column(name="note", path="PrivateNote"),
        ]
        spec = query_stream(
            "orders", "Bill", columns, cursor="changed_at", size=2, lag=timedelta(0)
        )
        self.company.refresh.add("refresh-0")
        return QuickBooksSource(config=QuickBooksConfig(**self.company.config()), specs=(spec,))

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            at = None if row.changed_at is None else row.changed_at.isoformat()
            self.company.put(
                "Bill", Id=str(row.id), PrivateNote=row.note, MetaData={"LastUpdatedTime": at}
            )


class Company(System):
    """Bills, as one property after the other has them, by the clock of a world."""

    def __init__(self, company: QuickBooks) -> None:
        super().__init__(company)
        company.clock = lambda: company.api.clock()
        company.objects["Bill"].clear()
        company.access.clear()
        company.calls.clear()

    def open(self, outside: Outside | None = None) -> QuickBooksSource:
        source = super().open()
        source.outside = outside or source.outside
        return source

    def store(self, row: Row) -> None:
        self.put([row])

    def drop(self, identity: int, moment: datetime) -> None:
        self.company.objects["Bill"].pop(str(identity), None)


class TestASource(SourceContract):
    @pytest.fixture
    def system(self, company: QuickBooks) -> System:
        return System(company)

    def only_id(self, identity: int) -> str:
        return f"Id={identity}"


@pytest.mark.parametrize("mode", list(SyncMode))
def test_changes_faults_and_crashes_lose_nothing(company: QuickBooks, mode: SyncMode) -> None:
    """R70, R152; a token ends within an hour, wherever the read then is."""
    prove(
        company.api,
        lambda: Company(company),
        mode=mode,
        examples=25,
        deletes=mode is SyncMode.FULL,
    )


STAYS = "what is in the books is not removed"
FIXED = "QuickBooks' objects have fields of their own, and no others"


class TestADestination(UpsertsOnly):
    one_mode = "books are written with upsert only"
    cannot: ClassVar = {
        "test_ten_records_are_deleted": STAYS,
        "test_a_source_that_may_be_empty": STAYS,
        "test_the_share_may_be_another": STAYS,
        "test_a_record_that_comes_back_is_alive": STAYS,
        "test_a_deleted_record_is_deleted_once": STAYS,
        "test_a_partial_read_deletes_nothing": STAYS,
        "test_a_new_column_is_added": FIXED,
        "test_a_column_that_appears_in_the_middle": FIXED,
        "test_a_column_is_widened": FIXED,
        "test_a_type_that_no_column_can_take": FIXED,
        "test_names_keep_their_spelling": FIXED,
        "test_a_column_may_be_called": FIXED,
        "test_values_arrive_exactly": FIXED,
        "test_upsert_sees_a_change_to_and_from_nothing": "nothing is not sent: it may be filled in",
    }
    lacks: ClassVar = {
        Feature.DROP: STAYS,
        Feature.TOLD_DELETES: STAYS,
        Feature.SCHEMA_POLICY: FIXED,
        Feature.VARIANT: FIXED,
    }

    def why_not(self, law: str, given: Mapping[str, Any]) -> str | None:
        deletes = given.get("deletes", Deletes.KEEP) is not Deletes.KEEP
        return super().why_not(law, given) or (STAYS if deletes else None)

    @pytest.fixture
    def system(self, books: Books) -> CustomersSystem:
        return CustomersSystem(books)
