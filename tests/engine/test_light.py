"""What a process must carry in order to move data: a copy of raw bytes knows no Arrow."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from connectors.contract import SyncMode, WriteMode
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.sync import SyncStream
from tests.world import World, make_catalog

_RUN = """
import json, sys
from random import Random
from uuid import UUID

from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.engine.run import Engine

asked = json.loads(sys.argv[1])
catalog = open_catalog(asked["catalog"], SecretBox((asked["key"],)))
engine = Engine(catalog=catalog, rng=Random(7))
told = []
for execution in asked["executions"]:
    report = engine.run(UUID(execution), attempt=1, run_id=None)
    told += [
        [result.stream, str(result.encoding), result.counts.created,
         result.failure and result.failure.message]
        for result in report.results
    ]
catalog.close()
heavy = ("pyarrow", "pandas", "numpy", "duckdb", "adbc_driver_manager")
print(json.dumps({"told": told, "heavy": [name for name in heavy if name in sys.modules]}))
"""

_SOURCE = """
CREATE TABLE orders (id bigint PRIMARY KEY, total numeric(12,2) NOT NULL, note varchar(40),
                     meta jsonb, tags text[], updated_at timestamptz NOT NULL);
CREATE INDEX ON orders (updated_at);
INSERT INTO orders SELECT n, n / 3.0, 'note', '{"a": 1}', '{b}', now() - interval '1 day'
  FROM generate_series(1, 100) AS n;
"""


@pytest.fixture
def world(catalog_url: str) -> Iterator[World]:
    with psycopg.connect(catalog_url, autocommit=True) as connection:
        connection.execute(_SOURCE)
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


def test_a_sync_from_postgresql_to_postgresql_never_imports_arrow(
    world: World, catalog_url: str
) -> None:
    """The first load, which makes all tables, and the runs after it."""
    key = new_key()
    catalog = replace(world.catalog, secrets=SecretBox((key,)))
    ends = {"url": catalog_url}
    upserted = SyncStream(
        name="orders",
        sync_mode=SyncMode.INCREMENTAL,
        write_mode=WriteMode.UPSERT,
        cursor_field="updated_at",
    )
    replaced = SyncStream(name="orders", table="all_orders")
    sync = World(catalog, clock=world.clock).sync(
        streams=(upserted,), source=ends, destination=ends
    )
    whole = World(catalog, clock=world.clock).sync(
        "acme/whole", streams=(replaced,), source=ends, destination=ends
    )
    asked = {
        "catalog": catalog_url,
        "key": key,
        "executions": [
            str(trigger(catalog, one, now=system_clock(), queued=True))
            for one in (sync, sync, whole, whole)
        ],
    }

    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(asked)], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["told"] == [["orders", "pgcopy", created, None] for created in (100, 0, 100, 100)]
    assert found["heavy"] == []
