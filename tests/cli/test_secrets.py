"""Secrets and settings on the command line: rotated, never printed, and clear when wrong."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.secrets import load_keys, new_key
from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("catalog")


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
