"""Supabase through its API as a source and as a destination: the contract, whatever fails."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from connectors.contract import SyncMode
from connectors.http.outside import Outside
from connectors.testing.fake_api import FakeApi
from connectors.testing.features import Feature
from connectors.testing.source_suite import SourceContract
from tests.connectors.woocommerce_shop import WooProvider
from tests.contract.upserts_only import UpsertsOnly
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


THEIRS = "tables and columns are made by who owns the project"
CASTS = {"bytes", "times of day", "short floats"}
"""Values whose type a list of rows in JSON no longer tells, although they are stored exactly."""


class TestADestination(UpsertsOnly):
    one_mode = "through the API a project takes upserts only"
    cannot: ClassVar = {
        "test_a_column_is_widened": THEIRS,
        "test_a_type_that_no_column_can_take": THEIRS,
    }
    lacks: ClassVar = {
        Feature.DROP: THEIRS,
        Feature.NOT_A_NUMBER: "JSON knows no number that is none, so it is rejected when read",
        Feature.JSON_BYTES: "JSON inside of JSON is spelled anew when it is read",
        Feature.LISTS: "lists are read back as JSON",
    }

    def why_not(self, law: str, given: Mapping[str, Any]) -> str | None:
        cast = "case" in given and given["case"].name in CASTS
        return super().why_not(law, given) or ("read back as text" if cast else None)

    @pytest.fixture
    def system(self, api: FakeApi, postgres_url: str) -> DestinationSystem:
        return DestinationSystem(api, postgres_url)


def test_a_shop_s_orders_arrive_in_a_project_whatever_fails_on_either_side(api, postgres_url):
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
        prove(
            api,
            lambda: WooProvider(api, "orders"),
            mode=SyncMode.INCREMENTAL,
            examples=12,
            deletes=False,
            to=to,
        )
