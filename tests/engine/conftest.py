"""What the engine's tests stand on: a small world in a catalog of its own, and an engine."""

from random import Random

import pytest

from connectors import registry
from sync_pipelines.engine.run import Engine
from tests.engine.moving import Systems
from tests.world import World, make_catalog


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


@pytest.fixture
def engine(world):
    return Engine(catalog=world.catalog, clock=world.clock, rng=Random(7))


@pytest.fixture
def systems(monkeypatch):
    made = Systems()
    monkeypatch.setattr(registry, "get", made.connector)
    return made
