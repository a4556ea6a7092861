"""``conflicts``, and what ``apply`` says of them."""

import json
from pathlib import Path

import pytest

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import SHOP, Cli

pytestmark = pytest.mark.usefixtures("catalog")

OFTEN = SHOP + "      often: {type: hourly}\n"
SENTENCE = (
    "two schedules of acme/orders fire together whenever the first does, as far as was looked"
)


def test_apply_warns_of_what_is_likely_to_clash_and_applies_it(cli: Cli) -> None:
    """R36."""
    planned = cli.apply(OFTEN, "--plan").stdout.splitlines()
    done = cli.apply(OFTEN).stdout.splitlines()
    again = json.loads(cli.apply(OFTEN, "--json").stdout)

    warning = f"! likely conflict: acme/orders/nightly, acme/orders/often: {SENTENCE}; delete"
    assert planned[-2].startswith(warning)
    assert done[-2].startswith(warning)
    assert done[-1] == "6 changes done"
    (told,) = again["conflicts"]
    assert (again["changes"], told["kind"], told["severity"]) == ([], "duplicate", "likely")
    assert told["schedules"] == ["acme/orders/nightly", "acme/orders/often"]


def test_apply_refuses_what_is_certain_to_clash_with_its_line(cli: Cli) -> None:
    """R33."""
    failed = cli.apply(SHOP + "      again: {type: daily}\n", fails=1)

    assert failed.stdout == ""
    assert failed.stderr.startswith(f"{cli.directory}/tenant.yaml:15: acme/orders/")
    assert "two schedules of acme/orders fire alike; delete the first of them" in failed.stderr


@pytest.mark.parametrize("what", ["schedules", "syncs"])
def test_resuming_warns_of_what_is_likely_and_refuses_what_is_certain(cli: Cli, what: str) -> None:
    """R33, R36."""
    key = "acme/orders/nightly" if what == "schedules" else "acme/orders"
    stocktaking = (what, "pause", key, "--reason", "stocktaking")
    cli.apply(SHOP)
    cli(*stocktaking)
    cli.apply(OFTEN)

    warned = cli(what, "resume", key)
    cli(*stocktaking)
    cli.apply(SHOP + "      again: {type: daily}\n      often: {type: hourly, is_active: false}\n")
    refused = cli(what, "resume", key, fails=1)

    assert warned.stderr.startswith(
        f"! likely conflict: acme/orders/nightly, acme/orders/often: {SENTENCE}"
    )
    assert warned.stdout.startswith(f"{key} is resumed")
    assert refused.stderr.startswith("error: acme/orders/")
    assert "two schedules of acme/orders fire alike; delete the first of them" in refused.stderr
    assert cli(what, "list", "acme").stdout.count("stocktaking") == 1


def test_conflicts_are_listed_while_open_and_with_all_when_resolved(
    cli: Cli, shop: Path, catalog: Catalog
) -> None:
    """R36."""
    cli.apply(OFTEN)
    open_ = json.loads(cli("conflicts", "acme", "--json").stdout)
    table = cli("conflicts", "acme").stdout.splitlines()

    cli.apply(OFTEN.replace("hourly", "hourly, is_active: false"))
    after = json.loads(cli("conflicts", "acme", "--json").stdout)
    resolved = json.loads(cli("conflicts", "acme", "--all", "--json").stdout)
    everything = cli("conflicts", "acme", "--all").stdout.splitlines()

    assert [(one["message"], one["resolved_at"]) for one in open_] == [(SENTENCE, None)]
    assert table[0].startswith("severity  kind")
    assert table[1].startswith("likely    duplicate  acme/orders/nightly, acme/orders/often")
    assert after == []
    assert resolved[0]["found_at"] == open_[0]["found_at"]
    assert resolved[0]["resolved_at"] is not None
    assert everything[0].endswith("resolved (UTC)")


def test_a_tenant_without_conflicts_is_told_so(cli: Cli, shop: Path) -> None:
    shown = cli("conflicts", "acme")

    assert (shown.stdout, shown.stderr) == ("", "nothing clashes among the schedules of acme\n")
    assert json.loads(cli("conflicts", "acme", "--json").stdout) == []


def test_a_tenant_that_is_not_there_is_one_line_with_the_nearest(cli: Cli, shop: Path) -> None:
    failed = cli("conflicts", "acm", fails=1)

    assert failed.stderr == "error: no tenant 'acm'; did you mean 'acme'?\n"


def test_policies_are_told_in_words_when_they_change(cli: Cli, shop: Path) -> None:
    changed = cli.apply(
        SHOP.replace(
            "{type: daily}",
            "{type: daily, overlap: queue, spread: 10m, "
            "blackouts: [{days: [sat, sun], from: '22:00', to: '06:00'}]}",
        )
        + "    breaker: {probe_after: 1h}\n",
        "--plan",
    ).stdout.splitlines()

    assert '    policies.overlap: "skip" → "queue"' in changed
    assert '    policies.spread: "exact" → "10m"' in changed
    assert "    policies.blackouts: (none) → sat, sun 22:00 to 06:00" in changed
    assert "    breaker.probe_after: 5m → 1h" in changed
