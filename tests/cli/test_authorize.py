"""``connections authorize``: a person consents, and the tokens are kept for every run."""

import json
import re
import socket
import webbrowser
from collections.abc import Callable
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import urlopen

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from tests.cli.conftest import Cli
from tests.providers.intuit import REALM, SECRET
from tests.providers.quickbooks import QuickBooks


@pytest.fixture
def connected(cli: Cli, catalog: Catalog, company: QuickBooks) -> QuickBooks:
    config = company.config()
    del config["realm_id"], config["refresh_token"]
    connections = {"books": {"connector": "quickbooks", "config": config}}
    cli.apply(json.dumps({"tenant": "acme", "connections": connections}))
    return company


def person(monkeypatch: pytest.MonkeyPatch, does: Callable[[str], object]) -> None:
    """Who sits in front of the browser."""
    monkeypatch.setattr(webbrowser, "open", lambda url: Thread(target=does, args=(url,)).start())


def consents(url: str) -> None:
    with urlopen(url) as page:
        page.read()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def authorize(cli: Cli, *options: str, fails: int = 0):
    back = f"http://localhost:{free_port()}/callback"
    return cli(
        "connections", "authorize", "acme/books", "--browser", "--redirect-uri", back, *options,
        fails=fails,
    )  # fmt: skip


def test_a_connection_is_authorized_and_works_from_then_on(
    cli: Cli, catalog: Catalog, connected: QuickBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = cli("connections", "check", "acme/books", fails=1)
    person(monkeypatch, consents)

    said = authorize(cli)
    checked = json.loads(cli("connections", "check", "acme/books", "--json").stdout)

    assert "connections authorize" in refused.stderr
    assert checked["source"].endswith(f"/v3/company/{REALM}")
    page = urlsplit(said.stdout.strip())
    asked = dict(parse_qsl(page.query))
    assert asked["scope"] == "com.intuit.quickbooks.accounting"
    assert asked["code_challenge_method"] == "S256"
    with catalog.begin() as db:
        sealed = db.scalar(text("SELECT sealed::text FROM sync.connection_tokens"))
        audited = db.scalars(text("SELECT action FROM sync.audit_log")).all()
    assert "connection.authorized" in audited
    for secret in (*connected.refresh, *connected.access, SECRET):
        assert secret not in said.output
        assert secret not in sealed


def test_an_answer_with_another_state_is_refused_and_waited_on(
    cli: Cli, connected: QuickBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody slips a foreign account under a tenant."""
    statuses = []

    def is_attacked(url: str) -> None:
        asked = dict(parse_qsl(urlsplit(url).query))
        for state in ("guessed", ""):
            forged = urlencode({"code": "evil", "state": state, "realmId": "1"})
            with pytest.raises(HTTPError) as answered:
                urlopen(f"{asked['redirect_uri']}?{forged}")
            statuses.append(answered.value.code)
            answered.value.close()
        consents(url)

    person(monkeypatch, is_attacked)

    authorize(cli)

    assert statuses == [400, 400]
    assert cli("connections", "check", "acme/books").stdout


def test_a_person_who_says_no_is_one_clear_line(
    cli: Cli, connected: QuickBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def says_no(url: str) -> None:
        asked = dict(parse_qsl(urlsplit(url).query))
        back = urlencode({"error": "access_denied", "state": asked["state"]})
        consents(f"{asked['redirect_uri']}?{back}")

    person(monkeypatch, says_no)

    failed = authorize(cli, fails=1)

    assert failed.stderr.splitlines()[-1] == (
        "error: the provider did not authorize it: access_denied"
    )


def test_a_person_who_does_not_come_is_waited_for_no_longer_than_said(
    cli: Cli, connected: QuickBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    person(monkeypatch, lambda url: None)

    failed = authorize(cli, "--wait", "0.2", fails=1)

    assert "nobody came back" in failed.stderr


def test_a_connection_without_oauth_says_where_its_credentials_are(
    cli: Cli, catalog: Catalog
) -> None:
    cli.apply(
        'tenant: acme\nconnections:\n  books: {connector: database, config: {url: "sqlite:////a"}}'
    )

    failed = cli("connections", "authorize", "acme/books", fails=1)

    assert re.search(r"acme/books \(database\) is not authorized by a person", failed.stderr)


def test_a_port_that_is_taken_is_said(cli: Cli, connected: QuickBooks) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        back = f"http://127.0.0.1:{taken.getsockname()[1]}/callback"

        failed = cli("connections", "authorize", "acme/books", "--redirect-uri", back, fails=1)

    assert "is taken; choose another" in failed.stderr
