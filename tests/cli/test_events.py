"""``events send`` and ``events list``."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine.events import process
from tests.cli.conftest import SHOP, Cli

pytestmark = pytest.mark.usefixtures("shop")

WAITING = SHOP.replace(
    "nightly: {type: daily}",
    """paid:
        type: event
        trigger: api
        conditions: [{field: total, greater: 100}]""",
)


@pytest.fixture
def waiting(cli: Cli, shop: Path) -> None:
    """The shop's orders, moved when somebody says by the API that a dear one was paid."""
    cli.apply(WAITING)


def take_up(catalog: Catalog) -> None:
    """What a running `up` does every five seconds."""
    process(catalog, datetime.now(UTC) + timedelta(seconds=1))


def send(cli: Cli, *options: str, source: str = "api", fails: int = 0):
    return cli(
        "events", "send", "acme", "--source", source, "--type", "order.paid", *options, fails=fails
    )


def listed(cli: Cli, *options: str):
    return json.loads(cli("events", "list", "acme", "--json", *options).stdout)


@pytest.mark.usefixtures("waiting")
def test_an_event_that_is_sent_waits_and_is_then_answered_by_an_execution(
    cli: Cli, catalog: Catalog
) -> None:
    """R3, R5."""
    sent = send(cli, "--id", "evt_1", "--data", '{"total": 120}')
    (pending,) = listed(cli)
    take_up(catalog)

    (dispatched,) = listed(cli)
    (execution,) = json.loads(cli("history", "acme/orders", "--json").stdout)
    assert sent.stdout == (
        "event evt_1 of api waits; a running `sync-pipelines up` takes it up within 5 s\n"
    )
    assert (pending["status"], pending["payload"]) == ("pending", {"total": 120})
    assert (dispatched["status"], dispatched["execution"]) == ("dispatched", execution["execution"])
    assert execution["trigger"] == "realtime"
    assert execution["metadata"]["reason"] == "event order.paid of api (evt_1)"


def test_an_event_sent_twice_says_so_and_succeeds(cli: Cli) -> None:
    """R43."""
    send(cli, "--id", "evt_1", "--platform", "shop")

    again = send(cli, "--id", "evt_1", "--platform", "shop")

    assert again.stdout == "event evt_1 of shop was sent before; nothing is done twice\n"
    assert len(listed(cli)) == 1


def test_events_without_an_id_are_different_ones(cli: Cli) -> None:
    send(cli, source="user-action")
    send(cli, source="user-action")

    found = listed(cli)

    assert len({event["event_id"] for event in found}) == 2
    assert {event["platform"] for event in found} == {"user-action"}


@pytest.mark.usefixtures("waiting")
def test_the_list_says_why_nothing_came_of_an_event(cli: Cli, catalog: Catalog) -> None:
    send(cli, "--id", "cheap", "--data", '{"total": 12}')
    take_up(catalog)
    send(cli, "--id", "later")

    table = cli("events", "list", "acme").stdout.splitlines()
    ignored = listed(cli, "--status", "ignored")

    assert [line.split()[4] for line in table[1:]] == ["later", "cheap"]
    assert table[2].endswith(
        "a condition is not met: acme/orders/paid asks that total is greater than 100"
    )
    assert [event["event_id"] for event in ignored] == ["cheap"]


def test_an_event_may_be_meant_for_one_sync(cli: Cli, catalog: Catalog) -> None:
    cli.apply(SHOP.replace("nightly: {type: daily}", "live: {type: realtime}"))
    send(cli, "--sync", "orders")

    take_up(catalog)

    assert [event["status"] for event in listed(cli)] == ["dispatched"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "{total: 1}"], "error: --data is not JSON"),
        (["--data", '{"total": NaN}'], "error: --data is not JSON (NaN is no number there)"),
        (["--data", "[1]"], "error: --data [1] is not an object"),
        (["--data", '{"note": "\\u0000"}'], "error: event"),
        (["--sync", "order"], "error: no sync 'order'; did you mean 'orders'?"),
        (["--id", ""], "error: event_id '' of an event must have 1 to 255 characters"),
    ],
)
def test_a_wrong_event_is_one_clear_line_and_nothing_is_kept(
    cli: Cli, options: list[str], message: str
) -> None:
    failed = send(cli, *options, fails=1)

    assert failed.stderr.startswith(message)
    assert failed.stderr.count("\n") == 1
    assert listed(cli) == []


def test_an_unknown_tenant_is_named(cli: Cli) -> None:
    failed = cli("events", "list", "acne", fails=1)

    assert failed.stderr.startswith("error: no tenant 'acne'")


def test_a_list_without_events_says_so(cli: Cli) -> None:
    assert cli("events", "list", "acme").stderr == "acme has no such events\n"
