"""The embedded PostgreSQL is killed under `up`: it comes back, and so does everything on it."""

import os
import signal

import pytest

from sync_pipelines.runtime.places import settle
from sync_pipelines.runtime.postmaster import find
from sync_pipelines.runtime.waiting import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("installation"),
]

MANIFEST = """
tenant: phoenix
connections:
  shop: {connector: database, config: {url: "${env:SHOP_URL}"}}
  warehouse: {connector: database, config: {url: "${env:WAREHOUSE_URL}"}}
syncs:
  eggs:
    source: shop
    destination: warehouse
    dataset: phoenix
    streams: [public.eggs]
"""


def test_a_sync_runs_after_the_embedded_postgres_was_killed(installation):
    """Nobody does anything: `up` says so in one line, and the next trigger is carried out."""
    installation.sql("shop", "CREATE TABLE eggs AS SELECT 1 AS id")
    installation.apply(MANIFEST)
    server = find(settle(installation.home.resolve()))
    assert server is not None

    os.kill(server.pid, signal.SIGKILL)
    told = wait_until(lambda: bool(revivals(installation)), seconds=60)
    made = installation.json("trigger", "phoenix/eggs")
    installation.wait_for_status("phoenix/eggs", "completed")

    assert told, "\n".join(installation.lines[-60:])
    assert len(revivals(installation)) == 1
    assert [entry["execution"] for entry in installation.history("phoenix/eggs")] == [
        made["execution"]
    ]
    assert installation.sql("warehouse", "SELECT id FROM phoenix.eggs") == [(1,)]


def revivals(installation):
    return [line for line in installation.lines if "PostgreSQL died" in line]
