"""A tenant's dead letters, as a person finds and redrives them."""

from sync_pipelines.catalog import dead_letters
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.engine.dead_letters import redrive

EVERY = Which()


def letters(world, sync, which=EVERY):
    """A tenant's letters, oldest first."""
    with world.catalog.begin() as db:
        found = dead_letters.list_letters(db, which, tenant_id=sync.tenant_id)
    return list(reversed(found))


def again(world, sync, chosen=None):
    """Redrive some letters of a sync's tenant, or all of them."""
    chosen = letters(world, sync) if chosen is None else chosen
    with world.catalog.begin() as db:
        ids = [letter.id for letter in chosen]
        return redrive(db, ids, tenant_id=sync.tenant_id, now=world.clock())
