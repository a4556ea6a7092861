import sqlite3
from random import Random

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.engine.interfaces import CacheStats

from connectors.contract import SyncMode, WriteMode
from sync_pipelines.catalog.store import Catalog, current_engine
from sync_pipelines.catalog.tables import Base
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.rehearsing import rehearse
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.execution import Status
from sync_pipelines.model.sync import SyncStream


@pytest.fixture
def sync(world, tmp_path):
    """A sync that has all there is."""
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT NOT NULL)")
        shop.execute("INSERT INTO orders VALUES (1, '2026-03-01T00:00:00Z')")
    shop.close()
    stream = SyncStream(
        name="orders",
        sync_mode=SyncMode.INCREMENTAL,
        write_mode=WriteMode.UPSERT,
        cursor_field="id",
    )
    sync = world.sync(
        streams=[stream],
        source={"url": f"sqlite:///{tmp_path}/shop.db"},
        destination={"url": f"sqlite:///{tmp_path}/warehouse.db"},
    )
    assert executed(world, sync) is Status.COMPLETED
    return sync


def executed(world, sync):
    engine = Engine(catalog=world.catalog, clock=world.clock, rng=Random(1))
    execution = trigger(world.catalog, sync, now=world.clock(), queued=True)
    return engine.run(execution, attempt=1, run_id=str(execution)).execution.status


def test_after_a_rehearsal_an_attempt_with_nothing_new_puts_no_statement_together(
    world, sync, catalog_url
):
    """Which is what a forked run saves; a statement that changes must be rehearsed anew."""
    fresh = Catalog(engine=current_engine(catalog_url), secrets=world.catalog.secrets)
    rehearse(fresh.engine)
    missed = []

    @event.listens_for(fresh.engine, "before_cursor_execute")
    def note(_, __, statement, ___, context, ____):
        if context.cache_hit is CacheStats.CACHE_MISS:
            missed.append(statement)

    execution = trigger(world.catalog, sync, now=world.clock(), queued=True)
    engine = Engine(catalog=fresh, clock=world.clock, rng=Random(1))
    report = engine.run(execution, attempt=1, run_id="r")
    fresh.close()

    assert report.execution.status is Status.COMPLETED
    assert missed == []


def test_nothing_of_a_rehearsal_stays(world, sync):
    def rows():
        with world.catalog.begin() as db:
            return {
                name: db.scalar(select(func.count()).select_from(table))
                for name, table in Base.metadata.tables.items()
            }

    before = rows()

    rehearse(world.catalog.engine)

    assert rows() == before
