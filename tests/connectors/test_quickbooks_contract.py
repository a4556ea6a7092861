"""QuickBooks as a destination: the contract as far as it goes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from connectors.contract import Deletes, WriteMode
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.features import Feature
from tests.connectors.quickbooks_customers import CustomersSystem
from tests.connectors.quickbooks_world import Books
from tests.providers.quickbooks import QuickBooks
from tests.world import FakeClock

ONE_MODE = "books are written with upsert only"
STAYS = "what is in the books is not removed"
FIXED = "QuickBooks' objects have fields of their own, and no others"
CANNOT: dict[str, str] = {
    "test_append": ONE_MODE,
    "test_replace": ONE_MODE,
    "test_one_writer_commits_many_times": ONE_MODE,
    "test_an_empty_source_does_not_empty": ONE_MODE,
    "test_what_is_written_as_a_whole": ONE_MODE,
    "test_types_that_change_in_the_middle": ONE_MODE,
    "test_a_whole_read_replaces_what_earlier": ONE_MODE,
    "test_another_sync_of_the_dataset_keeps": ONE_MODE,
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
    "test_upsert_sees_a_change_to_and_from_nothing": "nothing is not sent: a person may fill it in",
}


class TestADestination(DestinationContract):
    lacks: ClassVar = {
        Feature.DROP: STAYS,
        Feature.TOLD_DELETES: STAYS,
        Feature.SCHEMA_POLICY: FIXED,
        Feature.VARIANT: FIXED,
    }

    @pytest.fixture(autouse=True)
    def only_what_it_can(self, request: pytest.FixtureRequest) -> None:
        """Visible reasons for what is skipped."""
        name, params = request.node.originalname, getattr(request.node, "callspec", None)
        for begins, reason in CANNOT.items():
            if name.startswith(begins):
                pytest.skip(reason)
        said = params.params if params else {}
        usual = said.get("usual")
        mode = said.get("mode") if usual is None else usual.write_mode
        if mode is not None and mode is not WriteMode.UPSERT:
            pytest.skip(ONE_MODE)
        if said.get("deletes", Deletes.KEEP) is not Deletes.KEEP:
            pytest.skip(STAYS)

    @pytest.fixture
    def system(self, tmp_path: Path) -> Iterator[CustomersSystem]:
        clock = FakeClock(datetime.now(UTC).replace(microsecond=0))
        company = QuickBooks(clock)
        with company.api:
            yield CustomersSystem(Books.at(company, clock, tmp_path))
