import json
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import Cli


@pytest.fixture
def tenant(shop, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SYNC_ALLOW_PRIVATE_ADDRESSES", "true")
    return "acme"


def make(cli: Cli, tenant: str, name: str = "hook", *more: str, fails: int = 0):
    url = "http://127.0.0.1:9/hooks/PRIVATE"
    where = ("--channel", "webhook", "--url", url)
    return cli("notifications", "rules", "add", tenant, name, *where, *more, fails=fails)


def test_a_rule_is_made_tried_and_removed(cli: Cli, tenant: str, catalog: Catalog) -> None:
    made = make(cli, tenant)
    cli("notifications", "rules", "test", tenant, "hook")
    rules = json.loads(cli("notifications", "rules", "list", tenant, "--json").output)
    sent = json.loads(cli("notifications", "deliveries", tenant, "--json").output)
    cli("notifications", "rules", "remove", tenant, "hook")

    assert "whsec_" in made.output
    assert [(one["name"], one["target"]) for one in rules] == [("hook", "http://127.0.0.1:9")]
    assert [(one["topic"], one["state"]) for one in sent] == [("test", "pending")]
    assert json.loads(cli("notifications", "rules", "list", tenant, "--json").output) == []
    with catalog.begin() as db:
        kept = str(db.execute(text("SELECT * FROM sync.audit_log")).all())
    assert "notifications.rule_stored" in kept
    assert "PRIVATE" not in kept
    assert "whsec_" not in kept


def test_a_rule_that_is_stored_anew_keeps_its_secret(cli: Cli, tenant: str) -> None:
    first, second = make(cli, tenant).output, make(cli, tenant).output
    fresh = cli("notifications", "rules", "rotate", tenant, "hook").output.strip()

    assert first == second
    assert fresh.startswith("whsec_")
    assert fresh not in first


def test_a_webhook_into_this_network_is_refused(
    cli: Cli, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNC_ALLOW_PRIVATE_ADDRESSES")
    where = ["--channel", "webhook", "--url", "https://127.0.0.1/hook"]

    refused = cli("notifications", "rules", "add", tenant, "hook", *where, fails=1)

    assert "inside this network" in refused.output


@pytest.mark.parametrize(
    "wrong", [["--quiet", "late"], ["--at", "25:00"], ["--timezone", "Mars/Base"], ["--on", "x"]]
)
def test_what_is_wrong_with_a_rule_is_said(cli: Cli, tenant: str, wrong: list[str]) -> None:
    where = ["--channel", "email", "--to", "ana@example.com"]

    refused = cli(
        "notifications",
        "rules",
        "add",
        tenant,
        "mail",
        *where,
        *wrong,
        fails=2 if (wrong[0] != "--timezone") else 1,
    )

    assert wrong[1] in refused.output


def test_a_delivery_is_sent_again_by_its_id(cli: Cli, tenant: str) -> None:
    make(cli, tenant)
    cli("notifications", "rules", "test", tenant, "hook")
    (sent,) = json.loads(cli("notifications", "deliveries", tenant, "--json").output)

    again = cli("notifications", "redeliver", tenant, sent["id"])
    cli("notifications", "redeliver", tenant, "00000000-0000-0000-0000-000000000000", fails=1)

    assert "1 on the way again" in again.output


def test_a_digest_is_shown_before_it_is_sent(cli: Cli, tenant: str) -> None:
    shown = cli("notifications", "digest", tenant, "--every", "weekly")

    assert "Nothing ran" in shown.output
    assert "Coming next: orders" in shown.output
    assert cli("notifications", "inbox", tenant).output.strip() == "no messages"


def test_a_rule_is_edited_in_part(cli: Cli, tenant: str) -> None:
    make(cli, tenant, "hook", "--on", "failure", "--quiet", "22:00-07:00")

    edit = ["notifications", "rules", "edit", tenant, "hook", "--json"]
    louder = json.loads(cli(*edit, "--quiet", "none", "--inactive").output)
    other = json.loads(cli(*edit, "--on", "stale", "--active", "--remind-after", "48").output)

    assert (louder["topics"], louder["quiet_hours"], louder["is_active"]) == (
        ["failure"],
        None,
        False,
    )
    assert (other["topics"], other["is_active"], other["remind_after_hours"]) == (
        ["stale"],
        True,
        48,
    )


def test_a_rule_about_a_tag_is_listed_by_it(cli: Cli, tenant: str) -> None:
    make(cli, tenant, "tagged", "--tag", "nightly")
    make(cli, tenant, "plain")

    (found,) = json.loads(
        cli("notifications", "rules", "list", tenant, "--tag", "nightly", "--json").output
    )
    make(cli, tenant, "both", "--tag", "nightly", "--sync", "orders", fails=2)

    assert (found["name"], found["scope"]) == ("tagged", "tag")


def test_a_tenants_thresholds_are_set_switched_off_and_back(cli: Cli, tenant: str) -> None:
    """R124."""
    command = ["notifications", "thresholds", tenant, "--json"]

    own = json.loads(cli(*command, "--set", "slowness=5:4", "--off", "staleness").output)
    kept = json.loads(cli(*command).output)
    back = json.loads(cli(*command, "--usual", "slowness").output)
    cli(*command, "--set", "slowness=4:5", fails=2)

    assert (own["slowness"], own["staleness"]) == ({"opens": 5.0, "closes": 4.0}, None)
    assert kept == own
    assert (back["slowness"]["opens"], back["staleness"]) == (3, None)


def test_columns_that_a_run_added_are_told(cli: Cli, tenant: str) -> None:
    """The destination's table was there; what its first run makes is no change."""
    where = ["--channel", "email", "--to", "ana@example.com", "--on", "schema_change"]
    cli("notifications", "rules", "add", tenant, "columns", *where)
    listed = ["notifications", "deliveries", tenant, "--json"]

    cli("run", "acme/orders")
    before = json.loads(cli(*listed).output)
    with closing(sqlite3.connect(cli.directory / "shop.db")) as shop, shop:
        shop.execute("ALTER TABLE orders ADD COLUMN total NUMERIC")
        shop.execute("INSERT INTO orders VALUES (4, '2026-01-03 10:00:00', 'd', 9)")
    cli("run", "acme/orders")
    cli("run", "acme/orders")

    (sent,) = json.loads(cli(*listed).output)
    assert before == []
    assert sent["topic"] == "schema_change"
    assert sent["payload"]["schema_changes"] == {"orders": {"added": ["total"], "widened": []}}


def test_the_history_says_what_helps(cli: Cli, tenant: str) -> None:
    """R95."""
    cli("run", "acme/orders")
    with closing(sqlite3.connect(cli.directory / "shop.db")) as shop, shop:
        shop.execute("DROP TABLE orders")
        shop.execute("DROP TABLE countries")
    cli("run", "acme/orders", fails=1)

    bad, good = json.loads(cli("history", "acme/orders", "--json").output)

    assert good["remedy"] is None
    assert bad["error"]
    assert bad["remedy"]
