"""What the catalog's tests stand on."""

from uuid import uuid4

import pytest

from tests.world import World, make_catalog


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


@pytest.fixture(scope="module")
def shared(postgres_url):
    catalog = make_catalog(postgres_url)
    yield World(catalog)
    catalog.close()


@pytest.fixture
def sync(shared):
    return shared.sync(f"t{uuid4().hex[:12]}/orders")
