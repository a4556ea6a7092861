"""A retry starts at its time, kept in the catalog: not before, whoever asks and whatever died."""

from datetime import timedelta
from random import Random

import pytest

from sync_pipelines.catalog import executions
from sync_pipelines.engine.dispatch import claim_due, ready, trigger
from sync_pipelines.engine.settle import settle_lost
from sync_pipelines.model.retry import RetryPolicy
from tests.world import World, make_catalog

TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


def test_a_retry_starts_at_its_time_and_not_before_also_after_a_restart(world, catalog_url):
    """R85, law 4: neither its connector's turn nor what else is ready takes it along."""
    sync = world.sync(retry=RetryPolicy(initial=TEN_MINUTES, jitter=0))
    execution_id = trigger(world.catalog, sync, now=world.clock(), queued=True)
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        executions.save(db, found, found.started(world.clock(), "run-1"))
    settle_lost(world.catalog, execution_id, attempt=1, now=world.clock(), rng=Random(1))
    trigger(world.catalog, world.sync("acme/other"), now=world.clock())

    world.clock.now += TEN_MINUTES - timedelta.resolution
    restarted = make_catalog(catalog_url)
    early = ready(restarted, world.clock())
    early += claim_due(restarted, "database", world.clock(), tick="early")
    world.clock.now += timedelta.resolution
    (retried,) = ready(restarted, world.clock())
    again = ready(restarted, world.clock())
    restarted.close()

    assert {launch.sync_key for launch in early} == {"acme/other"}
    assert (retried.execution_id, retried.attempt) == (execution_id, 2)
    assert again == []
