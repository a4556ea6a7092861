"""Whatever changes, fails and dies in between, the next good run brings everything.

Many records share a time; pages end among them; records change while pages are read.
"""

import tempfile
from pathlib import Path

import pytest

from connectors.contract import SyncMode
from connectors.rest.config import RestApiConfig
from connectors.rest.connector import api_of
from connectors.rest.source import RestSource
from connectors.testing.fake_api import FakeApi, FakeList
from tests.connectors.rest_systems import (
    KEYSET,
    ORDERED,
    PAGES,
    UNORDERED,
    changed,
    config,
    orders,
    record,
)
from tests.contract.systems import Sqlite
from tests.providers.laws import Place, prove


class Shop:
    """Any JSON API, of one list."""

    stream = "orders"

    def __init__(self, api, spec, **served):
        self.api, self.spec = api, spec
        self.orders = api.serve("/orders", FakeList(**served))

    def open(self, outside):
        parsed = RestApiConfig.model_validate(config(self.api.url, self.spec))
        return RestSource(api=api_of(parsed), outside=outside)

    def store(self, row):
        self.orders.put(record(row))

    def drop(self, identity, moment):
        self.orders.remove(identity)


@pytest.fixture(scope="module")
def api():
    with FakeApi() as api:
        yield api


ASKED = {"ordered": ORDERED, "unordered": UNORDERED, "exclusive": changed(exclusive=True)}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("pages", PAGES)
def test_changes_faults_and_crashes_lose_nothing_in_memory(api, pages, asked):
    """R70, R152."""
    spec = orders(pages=PAGES[pages], incremental=ASKED[asked])

    prove(
        api,
        lambda: Shop(api, spec, exclusive=asked == "exclusive"),
        mode=SyncMode.INCREMENTAL,
        examples=60,
        deletes=False,
    )


@pytest.mark.parametrize("mode", list(SyncMode))
def test_changes_faults_and_crashes_lose_nothing_of_a_list_paged_by_its_key(api, mode):
    spec = orders(pages=KEYSET, incremental=UNORDERED)
    full = mode is SyncMode.FULL

    prove(api, lambda: Shop(api, spec), mode=mode, examples=25, deletes=full)


@pytest.mark.parametrize("pages", ["number, counted", "cursor"])
def test_changes_faults_and_crashes_lose_nothing_in_sqlite(api, pages, tmp_path):
    spec = orders(pages=PAGES[pages], incremental=ORDERED)

    def in_sqlite(world):
        system = Sqlite(Path(tempfile.mkdtemp(dir=tmp_path)))
        return Place(
            destination=system.destination(),
            found=lambda: system.records("shop", "orders") or (),
        )

    prove(
        api,
        lambda: Shop(api, spec),
        mode=SyncMode.INCREMENTAL,
        examples=10,
        deletes=False,
        to=in_sqlite,
    )


@pytest.mark.parametrize("pages", PAGES)
def test_a_full_read_after_changes_deletes_faults_and_crashes_is_the_source(api, pages):
    spec = orders(pages=PAGES[pages])

    prove(api, lambda: Shop(api, spec), mode=SyncMode.FULL, examples=25, deletes=True)
