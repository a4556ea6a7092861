"""What the commands that run syncs and look back on them print, and how they fail."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("catalog")


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(statement)


def test_run_moves_the_data_and_reports_every_stream(cli: Cli, shop: Path) -> None:
    """R55, R62, R107."""
    report = json.loads(cli("run", "acme/orders", "--json").stdout)

    assert report["status"] == "completed"
    orders, countries = report["streams"]
    assert orders["stream"] == "orders"
    assert orders["encoding"] == "arrow"
    assert orders["bytes"] > 0
    assert orders["watermark"].startswith("2026-01-02")
    assert (orders["records_processed"], orders["records_created"]) == (3, 3)
    assert (countries["records_created"], countries["watermark"]) == (2, None)
    with closing(sqlite3.connect(cli.directory / "house.db")) as house:
        copied = house.execute('SELECT id, note FROM "main__orders" ORDER BY id').fetchall()
    assert copied == [(1, "a"), (2, "b"), (3, "c")]


def test_a_second_run_moves_what_changed_since(cli: Cli, shop: Path) -> None:
    """R55."""
    cli("run", "acme/orders")
    change(shop, "UPDATE orders SET note = 'C', updated_at = '2026-01-03 00:00:00' WHERE id = 3")

    report = json.loads(cli("run", "acme/orders", "--json").stdout)

    orders = report["streams"][0]
    assert (orders["records_created"], orders["records_updated"]) == (0, 1)
    assert orders["watermark"].startswith("2026-01-03")


def test_run_takes_one_stream_from_the_beginning(cli: Cli, shop: Path) -> None:
    cli("run", "acme/orders")

    report = json.loads(cli("run", "acme/orders", "--stream", "orders", "--full", "--json").stdout)

    (orders,) = report["streams"]
    assert (orders["records_processed"], orders["records_updated"]) == (3, 0)


def test_a_table_of_streams_is_plain_when_piped(cli: Cli, shop: Path) -> None:
    result = cli("run", "acme/orders")

    header, orders, _, verdict = result.stdout.splitlines()
    assert header.split()[:4] == ["stream", "result", "read", "created"]
    assert orders.split()[:4] == ["orders", "completed", "3", "3"]
    assert verdict.startswith("acme/orders: completed in ")
    assert "orders (1/2)" in result.stderr


def test_a_run_that_fails_is_exit_code_1_and_tells_why_by_stream(cli: Cli, shop: Path) -> None:
    """R65, R91."""
    change(shop, "DROP TABLE countries")

    failed = cli("run", "acme/orders", "--json", fails=1)

    report = json.loads(failed.stdout)
    orders, countries = report["streams"]
    assert report["status"] == "partial"
    assert (orders["records_created"], orders["error"]) == (3, None)
    assert "countries" in countries["error"]
    assert "Traceback" not in failed.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "acme/ordrs"), "no sync 'ordrs'; did you mean 'orders'?"),
        (("run", "rival/orders"), "no tenant 'rival'"),
        (("run", "acme/orders", "--stream", "order"), "did you mean 'orders'?"),
        (("trigger", "acme/orders", "--stream", "order"), "did you mean 'orders'?"),
        (("history", "acme/ordrs"), "no sync 'ordrs'"),
        (("connections", "check", "acme/sop"), "no connection 'sop'; did you mean 'shop'?"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(
    cli: Cli, shop: Path, catalog: Catalog, arguments: tuple[str, ...], message: str
) -> None:
    failed = cli(*arguments, fails=1)

    assert message in failed.stderr
    assert failed.stderr.count("\n") == 1
    with catalog.begin() as db:
        assert db.scalar(text("SELECT count(*) FROM sync.sync_executions")) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "acme"),
        ("run", "a/b/c"),
        ("history", "acme/orders", "--limit", "0"),
        ("apply",),
        ("nosuch",),
        ("run", "acme/orders", "--nosuch"),
        ("up", "--port", "0"),
    ],
)
def test_bad_usage_is_exit_code_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    failed = cli(*arguments, fails=2)

    assert failed.stdout == ""
    assert failed.stderr


def test_history_tells_newest_first_what_was_done_and_why_not(cli: Cli, shop: Path) -> None:
    """R106, R107."""
    cli("run", "acme/orders")
    change(shop, "DROP TABLE countries")
    cli("run", "acme/orders", fails=1)

    entries = json.loads(cli("history", "acme/orders", "--json").stdout)
    newest = json.loads(cli("history", "acme/orders", "--limit", "1", "--json").stdout)
    table = cli("history", "acme/orders").stdout

    assert [entry["status"] for entry in entries] == ["partial", "completed"]
    assert (entries[1]["records_created"], entries[1]["trigger"]) == (5, "manual")
    assert "countries" in entries[0]["error"]
    assert [entry["execution"] for entry in newest] == [entries[0]["execution"]]
    assert "partial" in table.splitlines()[1]


def test_status_shows_every_sync_with_result_next_run_and_watermark(cli: Cli, shop: Path) -> None:
    """R113."""
    fresh = json.loads(cli("status", "--json").stdout)["syncs"]
    cli("run", "acme/orders")

    (after,) = json.loads(cli("status", "--json").stdout)["syncs"]
    table = cli("status").stdout

    assert fresh[0]["last"] is None
    assert (after["sync"], after["source"], after["destination"]) == (
        "acme/orders",
        "shop",
        "house",
    )
    assert after["last"]["status"] == "completed"
    assert after["last"]["records_processed"] == 5
    assert after["next_run_at"].endswith("T02:00:00+00:00")
    assert list(after["watermarks"]) == ["orders"]
    assert after["running"] is None
    assert table.splitlines()[1].split()[:4] == ["acme/orders", "shop", "→", "house"]


def test_status_of_an_empty_catalog_says_what_to_do(cli: Cli) -> None:
    assert "apply -f FILE" in cli("status").stderr
    assert json.loads(cli("status", "--json").stdout) == {"incidents": [], "syncs": []}


def test_trigger_leaves_an_execution_for_dagster(cli: Cli, shop: Path, catalog: Catalog) -> None:
    """R38."""
    made = json.loads(
        cli("trigger", "acme/orders", "--stream", "orders", "--full", "--json").stdout
    )

    with catalog.begin() as db:
        row = db.execute(
            text("SELECT id, status, trigger, request FROM sync.sync_executions")
        ).one()
    assert (str(row.id), row.status, row.trigger) == (made["execution"], "pending", "manual")
    assert row.request == {"streams": ["orders"], "full": True}
    assert json.loads(cli("status", "--json").stdout)["syncs"][0]["waiting"] == 1
