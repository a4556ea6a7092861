"""``rest_api`` keeps the contract of a source, in every way of paging, ordered or not."""

from collections.abc import Iterator

import pytest

from connectors.testing.fake_api import FakeApi
from connectors.testing.source_suite import SourceContract
from tests.connectors.rest_systems import (
    KEYSET,
    ORDERED,
    PAGES,
    UNORDERED,
    RestSystem,
    changed,
    orders,
)

INCREMENTAL = {
    "ordered": ORDERED,
    "unordered": UNORDERED,
    "exclusive": changed(exclusive=True, ordered=True, params={"sort": "cursor"}),
    "filtered here": {"field": "changed_at"},
}


class RestContract(SourceContract):
    def only_id(self, identity: int) -> str:
        return f"id={identity}"

    @pytest.fixture
    def api(self) -> Iterator[FakeApi]:
        with FakeApi() as api:
            yield api


@pytest.mark.parametrize("pages", PAGES)
class TestEveryWayOfPaging(RestContract):
    @pytest.fixture
    def system(self, api: FakeApi, pages: str) -> RestSystem:
        return RestSystem(api, orders(pages=PAGES[pages], incremental=ORDERED))


@pytest.mark.parametrize("asked", INCREMENTAL)
class TestEveryWayOfAskingForChanges(RestContract):
    @pytest.fixture
    def system(self, api: FakeApi, asked: str) -> RestSystem:
        spec = orders(pages=PAGES["cursor"], incremental=INCREMENTAL[asked])
        return RestSystem(api, spec, exclusive=asked == "exclusive")


class TestPagingByKey(RestContract):
    @pytest.fixture
    def system(self, api: FakeApi) -> RestSystem:
        return RestSystem(api, orders(pages=KEYSET, incremental=UNORDERED))
