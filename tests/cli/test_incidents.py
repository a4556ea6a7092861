import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sync_pipelines.catalog.incidents import Alarm, Kind, raise_incident, resolve
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_tenant_id
from tests.cli.conftest import Cli

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def wrong(shop: Path, catalog: Catalog) -> None:
    """A dead daemon, seen twice, and a schedule of acme's that was silent."""
    daemon = Alarm(
        kind=Kind.DEAD_DAEMON, subject="daemon", message="nothing lives", remedy="start it"
    )
    with catalog.begin() as db:
        silent = Alarm(
            kind=Kind.SILENT_SCHEDULE,
            subject="acme/orders/nightly",
            message="it was silent",
            remedy="none is needed",
            tenant_id=find_tenant_id(db, "acme"),
        )
        for alarm in (daemon, daemon, silent):
            raise_incident(db, alarm, now=AT)
        resolve(db, silent.kind, silent.subject, now=AT)


@pytest.fixture(autouse=True)
def none_are_left(catalog: Catalog) -> None:
    with catalog.begin() as db:
        resolve(db, Kind.DEAD_DAEMON, "daemon", now=AT)


def test_status_begins_with_what_is_wrong_and_what_helps(cli: Cli, wrong: None) -> None:
    lines = cli("status").stdout.splitlines()
    found = json.loads(cli("status", "--json").stdout)

    assert lines[0] == "dead_daemon since 2026-03-02 12:00:00 UTC: nothing lives"
    assert lines[1] == "  what helps: start it"
    assert lines[2].startswith("sync ")
    (incident,) = found["incidents"]
    assert (incident["kind"], incident["remedy"], incident["seen"]) == (
        "dead_daemon",
        "start it",
        2,
    )
    assert [sync["sync"] for sync in found["syncs"]] == ["acme/orders"]


def test_what_is_wrong_with_something_of_a_tenants_names_it(
    cli: Cli, shop: Path, catalog: Catalog
) -> None:
    with catalog.begin() as db:
        failing = Alarm(
            kind=Kind.FAILING,
            subject="acme/warehouse: auth",
            message="the password is wrong",
            remedy="correct it",
            tenant_id=find_tenant_id(db, "acme"),
        )
        raise_incident(db, failing, now=AT)

    lines = cli("status").stdout.splitlines()

    with catalog.begin() as db:
        resolve(db, failing.kind, failing.subject, now=AT)
    said = "failing acme/warehouse: auth since 2026-03-02 12:00:00 UTC: the password is wrong"
    assert lines[0] == said


def test_incidents_are_the_open_ones_or_all_of_a_tenant_too(cli: Cli, wrong: None) -> None:
    still = json.loads(cli("incidents", "--json").stdout)
    of_acme = json.loads(cli("incidents", "acme", "--all", "--json").stdout)
    table = cli("incidents").stdout

    assert [one["subject"] for one in still] == ["daemon"]
    assert {"acme/orders/nightly", "daemon"} <= {one["subject"] for one in of_acme}
    assert "nothing lives" in table
    assert "start it" in table


def test_no_incident_is_said_to_be_well(cli: Cli) -> None:
    assert cli("incidents").stderr.strip() == "all is well"
    assert "no tenant 'acne'" in cli("incidents", "acne", fails=1).stderr
