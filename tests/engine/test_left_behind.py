"""What was left behind by processes that died: one that cannot be followed up stops no other."""

import pytest
from sqlalchemy import text

from sync_pipelines.catalog import breakers
from sync_pipelines.engine.aftermath import LEFT_BEHIND, follow_up_left_behind
from tests.engine.settling import run
from tests.world import World, make_catalog


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


def failures(world, sync):
    with world.catalog.begin() as db:
        return breakers.find(db, sync.id, tenant_id=sync.tenant_id).failures


def test_a_sync_whose_row_cannot_be_read_keeps_no_other_from_its_answers(world):
    """Law 8: neither those that ended before it nor those that ended after it."""
    syncs = [world.sync(f"{tenant}/orders") for tenant in ("acme", "broken", "zeta")]
    for sync in syncs:
        run(world, sync, followed=False)
    mend = text("UPDATE sync.syncs SET breaker = :breaker WHERE id = :id")
    with world.catalog.begin() as db:
        db.execute(mend, {"breaker": '{"failures": 0}', "id": syncs[1].id})
    world.clock.advance(seconds=2 * LEFT_BEHIND.total_seconds())

    follow_up_left_behind(world.catalog, world.clock())
    counted = [failures(world, sync) for sync in syncs]
    with world.catalog.begin() as db:
        db.execute(mend, {"breaker": "{}", "id": syncs[1].id})
    follow_up_left_behind(world.catalog, world.clock())

    assert counted == [1, 0, 1]
    assert failures(world, syncs[1]) == 1
