"""Syncs come back as they were put, and only to their own tenant."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from connectors.contract import SyncMode, WriteMode
from connectors.errors import ConfigError
from sync_pipelines.catalog import executions, schedules, syncs
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.tables import SyncRow
from sync_pipelines.model.execution import Trigger
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import SyncStream
from tests.world import START


def test_a_sync_comes_back_as_it_was_put(world):
    streams = (
        SyncStream(
            name="public.orders",
            sync_mode=SyncMode.INCREMENTAL,
            write_mode=WriteMode.UPSERT,
            cursor_field="updated_at",
            primary_key=("id",),
            columns=("id", "updated_at"),
            lag=timedelta(minutes=5),
        ),
        SyncStream(name="countries"),
    )
    retry = RetryPolicy(max_attempts=7, initial=timedelta(seconds=3), jitter=0.5)

    sync = world.sync("acme/orders", streams=streams, retry=retry)

    assert sync.streams == streams
    assert sync.retry == retry
    assert sync.key == "acme/orders"


def test_an_unknown_sync_is_refused_with_the_nearest_name(world):
    world.sync("acme/orders")

    with world.catalog.begin() as db, pytest.raises(ConfigError, match="'orders'"):
        syncs.find_sync(db, world.catalog.secrets, "acme/order")


def test_a_tenant_does_not_find_another_tenants_sync(world):
    """R127."""
    world.sync("acme/orders")
    world.sync("zeta/other")

    with world.catalog.begin() as db, pytest.raises(syncs.NotFoundError):
        syncs.find_sync(db, world.catalog.secrets, "zeta/orders")


def test_a_stranger_finds_cancels_and_lists_nothing_of_a_tenants(world):
    """R127: whatever ids a stranger knows."""
    sync, stranger = world.sync("acme/orders"), world.sync("zeta/orders").tenant_id
    world.schedule(sync, {"type": "daily", "at": "02:00"})
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        waiting = executions.lock_for_all_tenants(db, identity)
        executions.save(db, waiting, waiting.started(START, "run-1"))

        found = histories.find(db, identity, tenant_id=stranger)
        cancelled = executions.request_cancel(db, identity, tenant_id=stranger, now=START)
        running = executions.running(db, sync.id, tenant_id=stranger)
        active = executions.lock_active(db, sync.id, tenant_id=stranger)
        found_schedules = schedules.list_schedules(db, sync.id, tenant_id=stranger)

    assert (found, cancelled, running) == (None, False, None)
    assert (active, found_schedules) == ([], [])


def test_a_sync_cannot_use_another_tenants_connection(world):
    """R128: refused by a key of the database, whatever the code does."""
    mine, other = world.sync("acme/orders"), world.sync("zeta/orders")

    with pytest.raises(IntegrityError, match="source_id"), world.catalog.begin() as db:
        db.execute(update(SyncRow).where(SyncRow.id == mine.id).values(source_id=other.source.id))
