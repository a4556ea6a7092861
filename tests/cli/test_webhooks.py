"""``webhooks``: making endpoints, looking at them, changing them, and taking things in again."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import select

from connectors.webhooks.contract import Received
from connectors.webhooks.schemes import scheme_of
from sync_pipelines.catalog import deliveries, endpoints
from sync_pipelines.catalog.secrets import SecretBox, load_keys
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import AuditRow, StateRow
from sync_pipelines.engine.events import process
from sync_pipelines.engine.intake import judge
from sync_pipelines.engine.run import Engine
from tests.cli.conftest import SHOP, Cli
from tests.gateway.hooks import SECRET, order, signed

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def listening(cli: Cli, shop: Path) -> None:
    """The shop's orders, moved whenever the shop says that something changed."""
    cli.apply(SHOP.replace("nightly: {type: daily}", "live: {type: realtime}"))


def make(cli: Cli, *options: str, name: str = "hook", scheme: str = "woocommerce", fails: int = 0):
    return cli("webhooks", "create", "acme", name, "--scheme", scheme, *options, fails=fails)


def made(cli: Cli, *options: str, scheme: str = "woocommerce"):
    return json.loads(make(cli, *options, "--json", scheme=scheme).stdout)


def shown(cli: Cli, name: str = "hook"):
    return json.loads(cli("webhooks", "show", "acme", name, "--json").stdout)


def found(catalog: Catalog, name: str = "hook"):
    with catalog.begin() as db:
        return endpoints.find(db, catalog.secrets, name, tenant="acme")


def came(catalog: Catalog, number: int, at: datetime) -> None:
    """What the gateway does with a genuine request."""
    endpoint, body = found(catalog), order(number)
    headers = {name.lower(): value for name, value in signed(body, f"d-{number}").items()}
    delivery = judge(
        endpoint,
        scheme_of(endpoint.scheme, endpoint.config),
        Received(at=at, body=body, headers=headers),
    )
    assert isinstance(delivery, deliveries.Delivery)
    with catalog.begin() as db:
        deliveries.store_for_all_tenants(db, [delivery])


def listed_events(cli: Cli):
    found = json.loads(cli("events", "list", "acme", "--json", "--limit", "100").stdout)
    return list(reversed(found))


@pytest.mark.usefixtures("shop")
def test_an_endpoint_is_made_with_a_secret_that_is_shown_once(cli: Cli, catalog: Catalog) -> None:
    """R49."""
    new = made(cli, "--connection", "shop", "--silence-after", "90")

    (listed,) = json.loads(cli("webhooks", "list", "acme", "--json").stdout)
    assert len(new["secret"]) >= 40
    assert new["path"] == f"/webhooks/{found(catalog).key}"
    assert found(catalog).secrets_at(NOW) == [new["secret"]]
    assert "secret" not in listed
    assert (listed["connection"], listed["silence_after_minutes"]) == ("shop", 90)
    assert new["secret"] not in cli("webhooks", "show", "acme", "hook").stdout


@pytest.mark.usefixtures("shop")
def test_a_secret_that_the_provider_issued_is_taken_from_the_environment(
    cli: Cli, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_SECRET", "whsec_from_the_dashboard")

    new = made(cli, "--secret-env", "STRIPE_SECRET", scheme="stripe")

    assert new["secret"] is None
    assert found(catalog).secrets_at(NOW) == ["whsec_from_the_dashboard"]


@pytest.mark.usefixtures("shop")
def test_after_a_rotation_both_secrets_are_good_until_the_overlap_is_over(
    cli: Cli, catalog: Catalog
) -> None:
    old = made(cli)["secret"]

    new = json.loads(cli("webhooks", "rotate", "acme", "hook", "--overlap", "60", "--json").stdout)[
        "secret"
    ]

    now = datetime.now(UTC)
    endpoint = found(catalog)
    assert endpoint.secrets_at(now) == [new, old]
    assert endpoint.secrets_at(now + timedelta(minutes=61)) == [new]
    assert shown(cli)["secrets"] == 2


@pytest.mark.usefixtures("shop")
def test_the_keys_of_secrets_may_change_and_endpoints_go_on(cli: Cli, catalog: Catalog) -> None:
    secret = made(cli)["secret"]

    cli("secrets", "rotate")

    with catalog.begin() as db:
        box = cli_box(cli)
        again = endpoints.find(db, box, "hook", tenant="acme")
    assert again.secrets_at(NOW) == [secret]


def cli_box(cli: Cli):
    return SecretBox(load_keys(cli.directory / "home", None))


@pytest.mark.usefixtures("shop")
def test_webhooks_are_switched_off_and_on_one_or_all_of_a_tenant(cli: Cli) -> None:
    """R48."""
    make(cli)

    states = []
    for words in (["off", "acme", "hook"], ["on", "acme", "hook"], ["off", "acme"], ["on", "acme"]):
        said = cli("webhooks", *words).stdout
        states.append((shown(cli)["on"], said))

    assert [is_on for is_on, _ in states] == [False, True, False, True]
    assert states[2][1] == "all webhooks of acme are off\n"


@pytest.mark.usefixtures("shop")
def test_a_removed_endpoint_is_gone_and_all_that_was_done_is_in_the_audit(
    cli: Cli, catalog: Catalog
) -> None:
    """R133."""
    secret = made(cli)["secret"]
    cli("webhooks", "rotate", "acme", "hook")

    cli("webhooks", "remove", "acme", "hook")

    failed = cli("webhooks", "show", "acme", "hook", fails=1)
    with catalog.begin() as db:
        rows = db.execute(select(AuditRow.__table__)).all()
    actions = [row.action for row in rows if row.action.startswith("webhook.")]
    assert actions == ["webhook.created", "webhook.rotated", "webhook.removed"]
    assert secret not in str(rows)
    assert failed.stderr.startswith("error: no webhook endpoint 'hook'")


@pytest.mark.usefixtures("listening")
def test_a_replay_takes_in_again_what_came_in_a_time_in_its_order(
    cli: Cli, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R50: twice the same range gives twice the same events, each of its own."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    make(cli, "--connection", "shop", "--secret-env", "HOOK_SECRET")
    for number in range(5):
        came(catalog, number, NOW - timedelta(minutes=50 - 10 * number))
    since, until = (NOW - timedelta(minutes=minutes) for minutes in (40, 10))

    replays = [
        cli("webhooks", "replay", "acme", "hook", "--since", str(since), "--until", str(until))
        for _ in range(2)
    ]

    told = [event["entity_id"] for event in listed_events(cli)]
    assert replays[0].stdout.startswith("3 webhooks with 3 events, 0 unreadable\n")
    assert told == ["0", "1", "2", "3", "4", "1", "2", "3", "1", "2", "3"]
    assert process(catalog, datetime.now(UTC) + timedelta(seconds=1)) == 11


@pytest.mark.usefixtures("listening")
def test_a_replay_into_a_shadow_leaves_the_real_dataset_and_its_state_alone(
    cli: Cli, catalog: Catalog, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    make(cli, "--connection", "shop", "--secret-env", "HOOK_SECRET")
    came(catalog, 1, NOW - timedelta(minutes=5))
    with closing(sqlite3.connect(shop)) as source, source:
        last = source.execute("SELECT * FROM orders WHERE id = 3").fetchone()
        source.execute("DELETE FROM orders WHERE id = 3")
    cli("run", "acme/orders")
    with closing(sqlite3.connect(shop)) as source, source:
        source.execute("INSERT INTO orders VALUES (?, ?, ?)", last)
    since = str(NOW - timedelta(hours=1))

    failed = cli("webhooks", "replay", "acme", "hook", "--since", since, "--into", "main", fails=1)
    done = json.loads(
        cli(
            "webhooks", "replay", "acme", "hook", "--since", since, "--into", "shadow", "--json"
        ).stdout
    )

    Engine(catalog=catalog, rng=Random(1)).run(UUID(done["executions"][0]), attempt=1, run_id=None)
    with closing(sqlite3.connect(shop.parent / "house.db")) as house:
        copied = [
            house.execute(f"SELECT count(*) FROM {dataset}__orders").fetchone()[0]
            for dataset in ("main", "shadow")
        ]
    with catalog.begin() as db:
        mirrored = (
            db.execute(select(StateRow.watermark).where(StateRow.stream == "orders"))
            .scalars()
            .all()
        )
    (execution, _) = json.loads(cli("history", "acme/orders", "--json").stdout)
    assert copied == [2, 3]
    assert mirrored == ["2026-01-01T11:00:00.000000"]
    assert failed.stderr == (
        "error: dataset 'main' is where acme/orders writes; a shadow needs its own\n"
    )
    assert done["executions"] == [execution["execution"]]
    assert execution["trigger"] == "backfill"


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("options", "scheme", "message"),
    [
        ([], "stipe", "error: no webhook scheme 'stipe'; did you mean 'stripe'?"),
        ([], "stripe", "error: stripe issues the secret itself; give the one that it shows"),
        (["--option", "header"], "token", "error: --option 'header' should be NAME=VALUE"),
        (["--option", "heder=x"], "token", "error: scheme token has no option 'heder'"),
        (["--connection", "shpo"], "token", "error: no connection 'shpo'; did you mean 'shop'?"),
        (["--secret-env", "NOT_THERE"], "token", "error: the environment has no NOT_THERE"),
        (["--secret-env", "SHORT"], "token", "error: the secret must have 8 to 1024 characters"),
        (["--secret-env", "PLAIN"], "standard-webhooks", "error: a Standard Webhooks secret"),
    ],
)
def test_a_wrong_endpoint_is_one_clear_line(
    cli: Cli, options: list[str], scheme: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORT", "short")
    monkeypatch.setenv("PLAIN", "a plain long secret")

    failed = make(cli, *options, scheme=scheme, fails=1)

    assert failed.stderr.startswith(message)
    assert failed.stderr.count("\n") == 1
    assert json.loads(cli("webhooks", "list", "acme", "--json").stdout) == []


@pytest.mark.usefixtures("shop")
def test_two_endpoints_of_a_tenant_have_two_names(cli: Cli) -> None:
    make(cli)

    failed = make(cli, fails=1)

    assert failed.stderr.startswith("error: tenant 'acme' has a webhook endpoint 'hook' already")


@pytest.mark.usefixtures("shop")
def test_only_of_a_provider_that_can_be_asked_is_anything_switched_on(cli: Cli) -> None:
    """R50. What a shop is asked is tested with its double, in tests/gateway."""
    make(cli, "--connection", "shop")

    refused = cli("webhooks", "revive", "acme", "hook", fails=1)

    assert "acme/shop is of connector 'database'" in refused.output
