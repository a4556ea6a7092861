"""Supabase through its API as a source and as a destination: the contract, whatever fails."""

from typing import ClassVar

import pytest

from connectors.contract import SyncMode, WriteMode
from connectors.http.outside import Outside
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.fake_api import FakeApi
from connectors.testing.features import Feature
from connectors.testing.source_suite import SourceContract
from tests.connectors.woocommerce_shop import WooProvider
from tests.providers.laws import Place, World, prove
from tests.providers.postgrest import FAULTS
from tests.providers.supabase import Base, DestinationSystem


class TestASource(SourceContract):
    def only_id(self, identity: int) -> str:
        return f"id=eq.{identity}"

    @pytest.fixture
    def system(self, api: FakeApi, postgres_url: str) -> Base:
        return Base(api, postgres_url, max_rows=2)


@pytest.mark.parametrize("mode", list(SyncMode))
def test_changes_faults_and_crashes_lose_nothing_of_a_table(api, postgres_url, mode):
    """R70, R152."""
    prove(
        api,
        lambda: Base(api, postgres_url, max_rows=2),
        mode=mode,
        examples=12,
        deletes=mode is SyncMode.FULL,
    )


ONE_MODE = "through the API a project takes upserts only"


THEIRS = "tables and columns are made by who owns the project"


CANNOT = {
    "test_append": ONE_MODE,
    "test_replace": ONE_MODE,
    "test_one_writer_commits_many_times": ONE_MODE,
    "test_an_empty_source_does_not_empty": ONE_MODE,
    "test_what_is_written_as_a_whole": ONE_MODE,
    "test_types_that_change_in_the_middle": ONE_MODE,
    "test_a_whole_read_replaces_what_earlier": ONE_MODE,
    "test_another_sync_of_the_dataset_keeps": ONE_MODE,
    "test_a_column_is_widened": THEIRS,
    "test_a_type_that_no_column_can_take": THEIRS,
}


CASTS = {"bytes", "times of day", "short floats"}
"""Values whose type a list of rows in JSON no longer tells, although they are stored exactly."""


class TestADestination(DestinationContract):
    lacks: ClassVar = {
        Feature.DROP: THEIRS,
        Feature.NOT_A_NUMBER: "JSON knows no number that is none, so it is rejected when read",
        Feature.JSON_BYTES: "JSON inside of JSON is spelled anew when it is read",
        Feature.LISTS: "lists are read back as JSON",
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
        if "case" in said and said["case"].name in CASTS:
            pytest.skip("read back as text")

    @pytest.fixture
    def system(self, api: FakeApi, postgres_url: str) -> DestinationSystem:
        return DestinationSystem(api, postgres_url)


@pytest.mark.parametrize("mode", [SyncMode.INCREMENTAL])
def test_a_shop_s_orders_arrive_in_a_project_whatever_fails_on_either_side(api, postgres_url, mode):
    """R152: WooCommerce to Supabase, with faults and deaths in both."""

    def to(world: World) -> Place:
        system = DestinationSystem(theirs, postgres_url)
        outside = Outside(now=lambda: world.now, chance=lambda: 0.5, sleep=world.sleep)
        theirs.clock = lambda: world.now
        return Place(
            destination=system.open(outside),
            found=lambda: system.records("shop", "orders") or (),
            api=theirs,
            faults=FAULTS,
        )

    with FakeApi() as theirs:
        prove(api, lambda: WooProvider(api, "orders"), mode=mode, examples=12, deletes=False, to=to)
