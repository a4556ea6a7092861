"""``tenants``: limits and weights."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import SHOP, Cli

pytestmark = pytest.mark.usefixtures("catalog")


def limits(cli: Cli, *options: str) -> dict:
    held: dict = json.loads(cli("tenants", "limits", "acme", *options, "--json").stdout)
    return held


def test_limits_are_shown_as_they_are_and_as_they_become(cli: Cli, shop: Path) -> None:
    """R73, R134."""
    before = limits(cli)
    after = limits(cli, "--concurrent", "3", "--schedules", "9", "--per-hour", "60")
    weighted = limits(cli, "--weight", "2", "--schedules", "none")
    held = limits(cli)

    none = {"tenant": "acme", "switched_on": 1, "is_active": True}
    assert before == none | {
        "concurrent": None,
        "schedules": None,
        "executions_per_hour": None,
        "weight": 1,
    }
    assert after == before | {"concurrent": 3, "schedules": 9, "executions_per_hour": 60}
    assert weighted == after | {"schedules": None, "weight": 2}
    assert held == weighted


def test_another_limit_is_audited_and_the_same_one_is_not(
    cli: Cli, shop: Path, catalog: Catalog
) -> None:
    """R133."""
    for _ in range(2):
        limits(cli, "--concurrent", "3")
    limits(cli)

    with catalog.begin() as db:
        (row,) = db.execute(
            text(
                "SELECT actor, subject, before, after FROM sync.audit_log"
                " WHERE action = 'tenant.changed'"
            )
        ).all()
    assert row.actor.startswith("cli:")
    assert row.subject == "acme"
    assert row.before == {"limits": {}, "weight": 1}
    assert row.after == {"limits": {"concurrent": 3}, "weight": 1}


def test_a_lower_limit_shows_at_once_what_is_beyond_it(cli: Cli, shop: Path) -> None:
    """R35."""
    cli.apply(SHOP + "      noon: {type: daily, at: '12:00'}\n")

    limits(cli, "--schedules", "1")

    (conflict,) = json.loads(cli("conflicts", "acme", "--json").stdout)
    assert (conflict["kind"], conflict["severity"]) == ("limit", "certain")
    assert conflict["message"] == "2 schedules are switched on; acme may have 1"


@pytest.mark.parametrize(
    "options",
    [("--concurrent", "0"), ("--schedules", "-1"), ("--per-hour", "many"), ("--weight", "0")],
)
def test_a_limit_that_is_none_and_no_number_is_bad_usage(
    cli: Cli, shop: Path, options: tuple[str, ...]
) -> None:
    failed = cli("tenants", "limits", "acme", *options, fails=2)

    assert options[0] in failed.stderr
    assert limits(cli)["weight"] == 1


def test_tenants_are_listed_with_what_each_may_use(cli: Cli, shop: Path) -> None:
    cli.apply("tenant: zeta\n")
    limits(cli, "--concurrent", "3")

    listed = json.loads(cli("tenants", "list", "--json").stdout)
    table = cli("tenants", "list").stdout.splitlines()

    assert [(one["tenant"], one["concurrent"]) for one in listed] == [("acme", 3), ("zeta", None)]
    assert table[1].split() == ["acme", "3", "none", "none", "1", "1", "active"]
    assert table[2].split() == ["zeta", "none", "none", "none", "1", "0", "active"]


def test_an_empty_catalog_has_no_tenants(cli: Cli) -> None:
    assert "apply -f FILE" in cli("tenants", "list").stderr
    assert json.loads(cli("tenants", "list", "--json").stdout) == []


def test_limits_of_a_tenant_that_is_not_there_are_one_line(cli: Cli, shop: Path) -> None:
    failed = cli("tenants", "limits", "acm", "--weight", "2", fails=1)

    assert failed.stderr == "error: no tenant 'acm'; did you mean 'acme'?\n"


def test_a_tenant_is_suspended_and_resumed_and_each_is_done_once(
    cli: Cli, shop: Path, catalog: Catalog
) -> None:
    said = [
        cli("tenants", how, "acme", *more).stdout.strip()
        for how, *more in (
            ("suspend", "--reason", "unpaid"),
            ("suspend",),
            ("show",),
            ("resume",),
            ("resume",),
        )
    ]

    assert said[0] == "acme is suspended"
    assert said[1] == "acme is suspended already; nothing was changed"
    assert said[2].split()[-1] == "suspended"
    assert said[3] == "acme goes on"
    assert said[4] == "acme is not suspended; nothing was changed"
    with catalog.begin() as db:
        actions = db.scalars(
            text("SELECT action FROM sync.audit_log WHERE subject = 'acme' ORDER BY id")
        ).all()
    assert actions[-2:] == ["tenant.suspended", "tenant.resumed"]


def test_nothing_of_a_suspended_tenant_is_triggered_by_command(cli: Cli, shop: Path) -> None:
    cli("tenants", "suspend", "acme")

    failed = cli("trigger", "acme/orders", fails=1)

    assert "sync-pipelines tenants resume acme" in failed.stderr
