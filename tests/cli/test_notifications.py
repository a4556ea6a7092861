import json

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import Cli


@pytest.fixture
def tenant(shop, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SYNC_ALLOW_PRIVATE_ADDRESSES", "true")
    return "acme"


def make(cli: Cli, tenant: str, name: str = "hook", *more: str):
    url = "http://127.0.0.1:9/hooks/PRIVATE"
    return cli("notifications", "add", tenant, name, "--channel", "webhook", "--url", url, *more)


def test_a_rule_is_made_tried_and_removed(cli: Cli, tenant: str, catalog: Catalog) -> None:
    made = make(cli, tenant)
    cli("notifications", "test", tenant, "hook")
    rules = json.loads(cli("notifications", "rules", tenant, "--json").output)
    sent = json.loads(cli("notifications", "deliveries", tenant, "--json").output)
    cli("notifications", "remove", tenant, "hook")

    assert "whsec_" in made.output
    assert [(one["name"], one["target"]) for one in rules] == [("hook", "http://127.0.0.1:9")]
    assert [(one["topic"], one["state"]) for one in sent] == [("test", "pending")]
    assert json.loads(cli("notifications", "rules", tenant, "--json").output) == []
    with catalog.begin() as db:
        kept = str(db.execute(text("SELECT * FROM sync.audit_log")).all())
    assert "notifications.rule_stored" in kept
    assert "PRIVATE" not in kept
    assert "whsec_" not in kept


def test_a_rule_that_is_stored_anew_keeps_its_secret(cli: Cli, tenant: str) -> None:
    first, second = make(cli, tenant).output, make(cli, tenant).output
    fresh = cli("notifications", "rotate", tenant, "hook").output.strip()

    assert first == second
    assert fresh.startswith("whsec_")
    assert fresh not in first


def test_a_webhook_into_this_network_is_refused(
    cli: Cli, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNC_ALLOW_PRIVATE_ADDRESSES")
    where = ["--channel", "webhook", "--url", "https://127.0.0.1/hook"]

    refused = cli("notifications", "add", tenant, "hook", *where, fails=1)

    assert "inside this network" in refused.output


@pytest.mark.parametrize(
    "wrong", [["--quiet", "late"], ["--at", "25:00"], ["--timezone", "Mars/Base"], ["--on", "x"]]
)
def test_what_is_wrong_with_a_rule_is_said(cli: Cli, tenant: str, wrong: list[str]) -> None:
    where = ["--channel", "email", "--to", "ana@example.com"]

    refused = cli(
        "notifications",
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
    cli("notifications", "test", tenant, "hook")
    (sent,) = json.loads(cli("notifications", "deliveries", tenant, "--json").output)

    again = cli("notifications", "redeliver", tenant, sent["id"])
    cli("notifications", "redeliver", tenant, "00000000-0000-0000-0000-000000000000", fails=1)

    assert "1 on the way again" in again.output


def test_a_digest_is_shown_before_it_is_sent(cli: Cli, tenant: str) -> None:
    shown = cli("notifications", "digest", tenant, "--every", "weekly")

    assert "Your weekly digest: nothing ran" in shown.output
    assert cli("notifications", "inbox", tenant).output.strip() == "no messages"
