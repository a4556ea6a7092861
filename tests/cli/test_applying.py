"""What `apply` prints of a file, and of its mistakes."""

import json

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import SHOP, Cli

pytestmark = pytest.mark.usefixtures("catalog")


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
