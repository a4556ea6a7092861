"""Everything at once: real database, code server, daemon and webserver, and every way in."""

import json
import os
import signal
import subprocess
import sys

import psycopg
import pytest

from sync_pipelines.runtime.waiting import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("installation"),
]

MANIFEST = """
tenant: acme
connections:
  shop: {connector: database, config: {url: "${env:SHOP_URL}"}}
  warehouse: {connector: database, config: {url: "${env:WAREHOUSE_URL}"}}
syncs:
  orders:
    source: shop
    destination: warehouse
    dataset: shop
    streams:
      - {name: public.orders, sync_mode: incremental, cursor_field: updated_at, write_mode: upsert}
    retry: {max_attempts: 3, initial: 1s, factor: 2, ceiling: 5s, jitter: 0}
"""

SCHEDULED = """
tenant: acme
connections:
  shop: {connector: database, config: {url: "${env:SHOP_URL}"}}
  warehouse: {connector: database, config: {url: "${env:WAREHOUSE_URL}"}}
syncs:
  customers:
    source: shop
    destination: warehouse
    dataset: shop
    streams: [public.customers]
    schedules:
      often: {type: every, minutes: 1}
"""

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""

LOCATION = """
{ workspaceOrError { ... on Workspace { locationEntries { name
  locationOrLoadError { ... on RepositoryLocation { repositories { name } } } } } } }
"""


@pytest.fixture(scope="module")
def orders(installation):
    """A shop with three orders, and a sync for them; the sensor has made its partition."""
    installation.sql(
        "shop",
        "CREATE TABLE orders (id int PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now());"
        "INSERT INTO orders SELECT generate_series(1, 3);"
        "CREATE TABLE customers (id int PRIMARY KEY); INSERT INTO customers VALUES (1)",
    )
    installation.apply(MANIFEST)
    wait_until(lambda: "acme/orders" in partitions(installation), seconds=60)
    return installation


def partitions(installation):
    rows = installation.sql(
        "sync_pipelines",
        "SELECT partition FROM dagster.dynamic_partitions "
        "WHERE partitions_def_name = 'database_syncs'",
    )
    return [row[0] for row in rows]


def add_order(installation):
    installation.sql("shop", "INSERT INTO orders SELECT max(id) + 1 FROM orders")


def assert_equal(installation):
    source = installation.sql("shop", "SELECT id, updated_at FROM orders ORDER BY id")
    arrived = installation.sql("warehouse", "SELECT id, updated_at FROM shop.orders ORDER BY id")
    assert arrived == source


def test_a_trigger_from_the_command_line_runs_in_dagster(orders):
    """R38."""
    done = orders.cli("trigger", "acme/orders", "--wait")

    newest = orders.history("acme/orders")[0]
    assert done.returncode == 0, done.stderr
    assert newest["trigger"] == "manual"
    assert newest["run_id"]
    assert_equal(orders)


def test_materialize_in_the_ui_or_launch_run_by_graphql_runs_a_sync(orders):
    """The UI's Materialize sends this very mutation."""
    add_order(orders)
    location = orders.graphql(LOCATION)["workspaceOrError"]["locationEntries"][0]
    repository = location["locationOrLoadError"]["repositories"][0]["name"]
    selector = {
        "repositoryLocationName": location["name"],
        "repositoryName": repository,
        "jobName": "sync_database",
        "assetSelection": [{"path": ["database", "tables"]}],
    }
    tags = [{"key": "dagster/partition", "value": "acme/orders"}]
    params = {"selector": selector, "executionMetadata": {"tags": tags}, "runConfigData": {}}

    answer = orders.graphql(LAUNCH, {"params": params})["launchRun"]

    assert answer["__typename"] == "LaunchRunSuccess", answer
    run_id = answer["run"]["runId"]
    entry = orders.wait_for_status("acme/orders", "completed", run_id=run_id)
    assert entry["records_created"] == 1
    assert_equal(orders)


def test_dagster_job_launch_runs_a_sync(orders):
    add_order(orders)
    before = len(orders.history("acme/orders"))
    command = [sys.executable, "-m", "dagster", "job", "launch", "-j", "sync_database"]
    command += ["-w", str(orders.home / "dagster" / "workspace.yaml")]
    command += ["--tags", json.dumps({"dagster/partition": "acme/orders"})]

    done = subprocess.run(
        command,
        env=orders.dagster_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(orders.history("acme/orders")) > before, seconds=60)
    orders.wait_for_status("acme/orders", "completed")
    assert_equal(orders)


def test_a_schedule_applied_while_everything_runs_fires_within_its_minute(orders):
    """R8, R29: no restart."""
    orders.apply(SCHEDULED)

    entry = orders.wait_for_status("acme/customers", "completed")

    assert entry["trigger"] == "scheduled"
    assert orders.sql("warehouse", "SELECT id FROM shop.customers") == [(1,)]


def blocked(installation):
    """Lock the shop's table, so that a run that reads it stands still until it is let go."""
    holder = psycopg.connect(installation.server.url("shop"))
    holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    return holder


def test_a_run_that_is_killed_is_settled_and_its_retry_goes_on(orders):
    """R92: kill -9 in the middle; nothing lost, nothing twice."""
    add_order(orders)
    with blocked(orders):
        orders.cli("trigger", "acme/orders")
        entry = orders.wait_for_status("acme/orders", "running")
        os.kill(worker_pid(orders, entry["run_id"]), signal.SIGKILL)

        wait_until(lambda: orders.history("acme/orders")[0]["attempt"] == 2, seconds=120)
    ended = orders.wait_for_status("acme/orders", "completed")

    assert ended["execution"] == entry["execution"]
    assert ended["attempt"] == 2
    assert_equal(orders)


def worker_pid(installation, run_id):
    """The process of a run, as Dagster's own event log names it."""
    rows = installation.sql(
        "sync_pipelines",
        "SELECT event::json -> 'dagster_event' ->> 'pid' FROM dagster.event_logs "
        f"WHERE run_id = '{run_id}' AND event::json -> 'dagster_event' ->> 'pid' IS NOT NULL "
        "AND step_key IS NOT NULL",
    )
    assert rows, f"no process is known for run {run_id}"
    return int(rows[-1][0])


TERMINATE = """
mutation Stop($id: String!) {
  terminateRun(runId: $id) { __typename ... on TerminateRunFailure { message } }
}
"""


def test_a_run_cancelled_in_dagster_is_a_cancelled_execution(orders):
    """R82."""
    with blocked(orders):
        orders.cli("trigger", "acme/orders")
        entry = orders.wait_for_status("acme/orders", "running")

        answer = orders.graphql(TERMINATE, {"id": entry["run_id"]})["terminateRun"]

        assert answer["__typename"] == "TerminateRunSuccess", answer
    ended = orders.wait_for_status("acme/orders", "cancelled", run_id=entry["run_id"])
    assert ended["execution"] == entry["execution"]


def test_the_dagster_pages_show_the_sync_as_a_partition_of_the_asset(orders):
    query = """
    { assetNodeOrError(assetKey: {path: ["database", "tables"]}) {
        ... on AssetNode { partitionKeys assetMaterializations(limit: 1) { partition
          metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }
    """

    node = orders.graphql(query)["assetNodeOrError"]

    assert "acme/orders" in node["partitionKeys"]
    (newest,) = node["assetMaterializations"]
    assert {"rows_read", "rows_created", "bytes"} <= {
        entry["label"] for entry in newest["metadataEntries"] if entry.get("intValue") is not None
    }
