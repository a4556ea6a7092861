"""What the commands tell of connectors and connections."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("catalog")


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
