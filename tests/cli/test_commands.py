"""What the commands print, and how they fail."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.secrets import load_keys, new_key
from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import SHOP, Cli

pytestmark = pytest.mark.usefixtures("catalog")


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(statement)


# --- apply ---------------------------------------------------------------------------


def test_apply_tells_what_is_new_what_changed_and_what_stays(cli: Cli) -> None:
    new = cli.apply(SHOP)
    changed = cli.apply(SHOP.replace("write_mode: upsert", "write_mode: upsert, lag: 5m"))

    assert new.stdout.splitlines() == [
        "+ tenant acme",
        "+ connection acme/shop",
        "+ connection acme/house",
        "+ sync acme/orders",
        "+ schedule acme/orders/nightly",
        "= 0 unchanged",
        "5 changes done",
    ]
    assert changed.stdout.splitlines() == [
        "~ sync acme/orders",
        "    streams.orders.lag: (none) → 5m",
        "= 4 unchanged",
        "1 change done",
    ]


def test_apply_plan_changes_nothing(cli: Cli, catalog: Catalog) -> None:
    planned = cli.apply(SHOP, "--plan")

    assert planned.stdout.splitlines()[-1] == "5 changes planned; nothing was changed"
    with catalog.begin() as db:
        assert db.scalar(text("SELECT count(*) FROM sync.tenants")) == 0


def test_apply_prints_its_plan_as_json(cli: Cli) -> None:
    cli.apply(SHOP)

    plan = json.loads(
        cli.apply(SHOP.replace("type: daily", "type: daily, at: '03:00'"), "--json").stdout
    )

    assert (plan["tenant"], plan["applied"], plan["unchanged"]) == ("acme", True, 4)
    (one,) = plan["changes"]
    assert (one["change"], one["name"]) == ("changed", "acme/orders/nightly")
    assert one["fields"][0] == {"field": "cadence.at", "from": "02:00", "to": "03:00"}


def test_every_mistake_of_a_file_is_a_line_with_its_place_on_standard_error(cli: Cli) -> None:
    failed = cli.apply("tenant: Acme\nconnections:\n  a: {connector: nosuch}\n", fails=1)

    file = cli.directory / "tenant.yaml"
    assert failed.stdout == ""
    first, second = failed.stderr.splitlines()
    assert first.startswith(f"{file}:1: tenant 'Acme' cannot be a name")
    assert second.startswith(f"{file}:3: unknown connector 'nosuch'")


def test_a_file_that_is_not_there_or_not_text_is_one_clear_line(cli: Cli) -> None:
    (cli.directory / "image.yaml").write_bytes(b"\xff\xd8")

    missing = cli("apply", "-f", str(cli.directory / "none.yaml"), fails=1)
    binary = cli("apply", "-f", str(cli.directory / "image.yaml"), fails=1)

    assert (
        missing.stderr
        == f"error: cannot read {cli.directory}/none.yaml: No such file or directory\n"
    )
    assert binary.stderr.endswith("is not UTF-8 text: byte 0 is wrong\n")


# --- connectors and connections ------------------------------------------------------


def test_connectors_are_listed_with_their_roles(cli: Cli) -> None:
    listed = json.loads(cli("connectors", "list", "--json").stdout)
    table = cli("connectors", "list").stdout

    assert {"name": "database", "roles": ["source", "destination"]}.items() <= listed[0].items()
    assert "database" in table.splitlines()[1]


def test_a_connector_shows_its_fields_and_which_are_secret(cli: Cli) -> None:
    shown = json.loads(cli("connectors", "show", "database", "--json").stdout)
    people = cli("connectors", "show", "database").stdout

    fields = {field["name"]: field for field in shown["config"]}
    assert (fields["url"]["type"], fields["url"]["secret"], fields["url"]["required"]) == (
        "text",
        True,
        True,
    )
    assert fields["connect_timeout_seconds"] | {"description": ""} == {
        "name": "connect_timeout_seconds",
        "type": "whole number",
        "required": False,
        "default": 10,
        "description": "",
        "secret": False,
    }
    assert "text (secret)" in people


def test_an_unknown_connector_is_one_line_with_the_nearest_name(cli: Cli) -> None:
    failed = cli("connectors", "show", "databse", fails=1)

    assert failed.stderr == "error: unknown connector 'databse'; did you mean 'database'?\n"


def test_a_connection_is_checked_in_every_role(cli: Cli, shop: Path) -> None:
    checked = json.loads(cli("connections", "check", "acme/shop", "--json").stdout)

    assert checked["ok"] is True
    assert "SQLite" in checked["source"]
    assert "SQLite" in checked["destination"]


def test_a_connection_that_does_not_work_is_exit_code_1_without_its_password(cli: Cli) -> None:
    cli.apply(
        "tenant: acme\nconnections:\n  far: {connector: database, "
        "config: {url: 'postgresql://u:hunter2@127.0.0.1:1/db', connect_timeout_seconds: 1}}\n"
    )

    failed = cli("connections", "check", "acme/far", fails=1)

    assert failed.stderr.startswith("error: ")
    assert "127.0.0.1" in failed.stderr
    assert "hunter2" not in failed.output


def test_discover_shows_key_cursor_candidates_and_columns(cli: Cli, shop: Path) -> None:
    streams = json.loads(cli("connections", "discover", "acme/shop", "--json").stdout)
    table = cli("connections", "discover", "acme/shop").stdout

    countries, orders = streams
    assert orders["primary_key"] == ["id"]
    assert orders["cursor_candidates"] == ["updated_at", "id"]
    assert [column["name"] for column in orders["columns"]] == ["id", "updated_at", "note"]
    assert countries["note"]
    assert "updated_at, id" in table


# --- run, history, status ------------------------------------------------------------


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


# --- secrets, settings ---------------------------------------------------------------


def test_no_command_prints_a_secret(cli: Cli, shop: Path) -> None:
    """R131."""
    cli.apply(
        "tenant: acme\n"
        "connections:\n"
        "  far: {connector: database, config: {url: 'postgresql://u:hunter2@127.0.0.1:1/db'}}\n"
        "syncs:\n"
        "  far: {source: far, destination: far, streams: [a], retry: {max_attempts: 1}}\n"
    )

    outputs = [
        cli("connections", "check", "acme/far", fails=1).output,
        cli("connections", "discover", "acme/far", fails=1).output,
        cli("-v", "run", "acme/far", fails=1).output,
        cli("history", "acme/far", "--json").output,
        cli("status", "--json").output,
    ]

    assert [output for output in outputs if "hunter2" in output] == []


def test_rotating_makes_a_new_key_and_drops_the_old_one(
    cli: Cli, shop: Path, catalog: Catalog
) -> None:
    """R131."""
    home = cli.directory / "home"
    (old,) = load_keys(home, None)

    rotated = json.loads(cli("secrets", "rotate", "--json").stdout)

    (new,) = load_keys(home, None)
    with catalog.begin() as db:
        keys = set(db.scalars(text("SELECT secrets_key_id FROM sync.connections")))
        audited = db.scalar(
            text("SELECT count(*) FROM sync.audit_log WHERE action = 'secrets.rotated'")
        )
    assert new != old
    assert rotated["connections"] == 2
    assert keys == {rotated["key"]}
    assert audited == 1
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600
    cli("run", "acme/orders")


def test_with_a_key_in_the_environment_rotating_says_which_to_remove(
    cli: Cli, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = load_keys(cli.directory / "home", None)
    new = cli("secrets", "new-key").stdout.strip()
    monkeypatch.setenv("SYNC_SECRET_KEY", f"{new},{old}")

    said = cli("secrets", "rotate").stdout

    assert "2 connections are now encrypted" in said
    assert "remove all keys but the first" in said
    assert new not in said
    monkeypatch.setenv("SYNC_SECRET_KEY", new)
    cli("run", "acme/orders")


def test_secrets_under_a_key_that_is_lost_are_one_clear_line(
    cli: Cli, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNC_SECRET_KEY", new_key())

    failed = cli("run", "acme/orders", fails=1)
    looked = cli("status")

    assert "under a key that is not here" in failed.stderr
    assert "acme/orders" in looked.stdout


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SYNC_DATABASE_URL", "not a url with hunter2", "SYNC_DATABASE_URL is not a URL"),
        ("SYNC_DATABASE_URL", "mysql://u:hunter2@h/d", "names a mysql database"),
        ("SYNC_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d", "does not answer"),
        ("SYNC_DAGSTER_PORT", "hunter2", "SYNC_DAGSTER_PORT is wrong"),
        ("SYNC_SECRET_KEY", "hunter2", "SYNC_SECRET_KEY must hold Fernet keys"),
        ("SYNC_HOME", "/dev/null", "SYNC_HOME /dev/null cannot be made a directory: File exists"),
        ("SYNC_HOME", "/proc/no/home", "set SYNC_HOME to a directory that you may write to"),
    ],
)
def test_a_wrong_setting_is_one_clear_line_that_does_not_repeat_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)

    failed = cli("status", fails=1)

    assert message in failed.stderr
    assert "hunter2" not in failed.output
    assert failed.stdout == ""
