"""A person lets a connection in at its provider, and comes back: R131, R127."""

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from structlog.testing import capture_logs

from connectors.testing.fake_api import Reply, failing
from sync_pipelines.catalog import tokens_of_connections
from sync_pipelines.catalog.syncs import find_connection, find_tenant_id, put_connection
from sync_pipelines.catalog.tenants import find_tenant, set_active
from sync_pipelines.catalog.users import find_user, put_membership
from sync_pipelines.engine.surroundings import open_source
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings
from tests.gateway.people import PASSWORD, token, user
from tests.providers.intuit import REALM
from tests.providers.quickbooks import QuickBooks

HERE = "http://127.0.0.1:8000"
CALLBACK = "/connections/callback"


class Browser:
    """Somebody who is signed in."""

    def __init__(self, doors, email):
        app = create_app(doors)
        self.http = TestClient(
            app, base_url=HERE, raise_server_exceptions=False, follow_redirects=False
        )
        said = {"email": email, "password": PASSWORD}
        self.csrf = self.http.post("/api/v2/session", json=said).json()["csrf_token"]

    def begin(self, connection_id, tenant="acme", **body):
        headers = {"X-CSRF-Token": self.csrf, "X-Tenant": tenant}
        path = f"/api/v2/connections/{connection_id}/authorize"
        return self.http.post(path, json=body, headers=headers)

    def link(self, connection_id, **body):
        begun = self.begin(connection_id, **body)
        assert begun.status_code == 200, begun.text
        return begun.json()["browser"]

    def come_back(self, **answer):
        return self.http.get(f"{CALLBACK}?{urlencode(answer)}")


def state_in(link):
    return dict(parse_qsl(urlsplit(link).query))["state"]


def consented(link):
    """What the provider sends the person back with."""
    back = urlsplit(httpx.get(link).headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{HERE}{CALLBACK}"
    return dict(parse_qsl(back.query))


@pytest.fixture
def company():
    company = QuickBooks(lambda: datetime.now(UTC))
    with company.api:
        yield company


@pytest.fixture
def connection(world, company):
    """A connection that nobody has let in yet."""
    config = company.config()
    del config["realm_id"], config["refresh_token"]
    return put(world, "acme", config)


def put(world, tenant, config, **more):
    world.sync(f"{tenant}/any")
    with world.catalog.begin() as db:
        return put_connection(
            db,
            find_tenant_id(db, tenant),
            name="books",
            connector="quickbooks",
            config={},
            sealed=world.catalog.secrets.seal(config),
            key_id=world.catalog.secrets.key_id,
            now=world.clock(),
            **more,
        )


@pytest.fixture
def ana(world, doors, connection):
    return Browser(doors, user(world, acme=Role.ADMIN))


def kept(world):
    with world.catalog.begin() as db:
        tokens = db.scalar(text("SELECT count(*) FROM sync.connection_tokens"))
        audited = db.execute(
            text("SELECT actor, subject FROM sync.audit_log WHERE action = 'connection.authorized'")
        ).all()
    return tokens, [tuple(row) for row in audited]


def test_a_person_lets_a_connection_in_and_it_works_from_then_on(ana, world, company, connection):
    path = f"/api/v2/connections/{connection}/authorize"
    before = ana.http.get(path).json()
    link = ana.link(connection)

    done = ana.come_back(**consented(link))

    asked = dict(parse_qsl(urlsplit(link).query))
    assert asked["code_challenge_method"] == "S256"
    assert (before["by_person"], before["is_authorized"]) == (True, False)
    assert before["redirect_uri"] == asked["redirect_uri"] == f"{HERE}{CALLBACK}"
    assert (done.status_code, "acme/books" in done.text) == (200, True)
    assert done.headers["cache-control"] == "no-store"
    assert ana.http.get(path).json()["is_authorized"]
    assert kept(world) == (1, [("user:ana@example.com", "acme/books")])
    with world.catalog.begin() as db:
        found = find_connection(db, world.catalog.secrets, "acme/books")
        sealed = db.scalar(text("SELECT sealed FROM sync.connection_tokens"))
    source = open_source(world.catalog, found)
    assert REALM in source.check()
    source.close()
    for secret in (*company.access, *company.refresh):
        assert secret not in done.text
        assert secret not in sealed


def test_the_person_comes_to_where_they_wanted_and_never_elsewhere(ana, connection):
    inside = ana.come_back(**consented(ana.link(connection, next="/syncs/acme/orders")))
    outside = ana.come_back(**consented(ana.link(connection, next="https://evil.example")))

    assert (inside.status_code, inside.headers["location"]) == (303, "/syncs/acme/orders")
    assert outside.headers["location"] == "/account"


def test_an_answer_is_used_once(ana, world, connection):
    answer = consented(ana.link(connection))

    first, replayed = ana.come_back(**answer), ana.come_back(**answer)

    assert (first.status_code, replayed.status_code) == (200, 400)
    assert len(kept(world)[1]) == 1


@pytest.mark.parametrize("state", ["", "guessed", "x" * 200])
def test_an_answer_that_nobody_waits_for_is_refused_and_its_code_not_sent(
    ana, world, company, connection, state
):
    answer = consented(ana.link(connection))

    refused = ana.come_back(**{**answer, "state": state})

    assert refused.status_code == 400
    assert kept(world) == (0, [])
    assert company.granted == 0
    assert ana.come_back(**answer).status_code == 200


def test_an_answer_that_comes_too_late_is_refused(ana, world, connection):
    answer = consented(ana.link(connection))
    world.clock.advance(minutes=11)

    assert ana.come_back(**answer).status_code == 400
    assert kept(world) == (0, [])


def test_another_persons_answer_is_refused_and_stays_good_for_them(ana, world, doors, connection):
    """Nobody lets their own account be put under another's tenant, or another's under theirs."""
    rival = Browser(doors, user(world, "eve@example.com", rival=Role.ADMIN))
    colleague = Browser(doors, user(world, "ben@example.com", acme=Role.ADMIN))
    answer = consented(ana.link(connection))

    refused = [rival.come_back(**answer), colleague.come_back(**answer)]

    assert [one.status_code for one in refused] == [400, 400]
    assert kept(world) == (0, [])
    assert ana.come_back(**answer).status_code == 200


def test_who_is_not_signed_in_is_told_so_and_uses_nothing_up(ana, world, doors, connection):
    answer = consented(ana.link(connection))
    stranger = TestClient(create_app(doors), base_url=HERE)

    told = stranger.get(f"{CALLBACK}?{urlencode(answer)}")

    assert (told.status_code, "Sign in" in told.text) == (401, True)
    assert ana.come_back(**answer).status_code == 200


def test_who_is_no_admin_any_more_lets_nothing_in(ana, world, connection):
    answer = consented(ana.link(connection))
    with world.catalog.begin() as db:
        found = find_user(db, "ana@example.com")
        put_membership(db, found, tenant_id=find_tenant_id(db, "acme"), role=Role.VIEWER)

    assert ana.come_back(**answer).status_code == 400
    assert kept(world) == (0, [])


def test_for_a_suspended_tenant_nothing_is_let_in(ana, world, company, connection):
    answer = consented(ana.link(connection))
    with world.catalog.begin() as db:
        set_active(db, find_tenant(db, "acme"), is_active=False, now=world.clock())

    assert ana.come_back(**answer).status_code == 422
    assert (company.granted, kept(world)) == (0, (0, []))


def test_another_tenants_connection_is_not_there(ana, world, connection):
    theirs = put(world, "rival", {})

    begun = [ana.begin(theirs), ana.begin(theirs, tenant="rival")]

    assert [one.status_code for one in begun] == [404, 404]


def test_a_person_who_says_no_reads_why_and_nothing_is_kept(ana, world, company, connection):
    state = state_in(ana.link(connection))

    said = {"error": "access_denied", "error_description": "<b>not today</b>", "state": state}
    told = ana.come_back(**said)

    assert told.status_code == 400
    assert "&lt;b&gt;not today" in told.text
    assert kept(world) == (0, [])
    assert company.granted == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (lambda request, route: Reply.json({"error": "invalid_grant"}, status=400), 400),
        (failing(503), 502),
        (lambda request, route: Reply(body=b"<html>maintenance</html>"), 502),
        (lambda request, route: Reply.json({"error": "invalid_client"}, status=401), 400),
    ],
)
def test_a_code_that_brings_nothing_is_said_and_another_try_is_good(
    ana, world, company, connection, fault, status
):
    answer = consented(ana.link(connection))
    company.api.at(1, fault)

    told = ana.come_back(**answer)

    assert told.status_code == status
    assert answer["code"] not in told.text
    assert kept(world) == (0, [])
    assert ana.come_back(**consented(ana.link(connection))).status_code == 200


def test_a_process_that_dies_with_the_tokens_in_hand_leaves_nothing_half(
    ana, world, company, connection, monkeypatch
):
    answer = consented(ana.link(connection))
    put = tokens_of_connections.put

    def dies(*what, **more):
        put(*what, **more)
        raise RuntimeError("the process is gone")

    with monkeypatch.context() as dying, capture_logs():
        dying.setattr(tokens_of_connections, "put", dies)
        gone = ana.come_back(**answer)

    assert (gone.status_code, company.granted) == (500, 1)
    assert kept(world) == (0, [])
    assert ana.come_back(**answer).status_code == 400
    assert ana.come_back(**consented(ana.link(connection))).status_code == 200
    assert kept(world)[0] == 1


def test_a_connection_that_was_removed_meanwhile_is_not_there(ana, world, connection):
    answer = consented(ana.link(connection))
    with world.catalog.begin() as db:
        db.execute(text("DELETE FROM sync.connections WHERE name = 'books'"))

    assert ana.come_back(**answer).status_code == 400


def test_a_token_cannot_consent(client, world, connection):
    answer = client.post(
        f"/api/v2/connections/{connection}/authorize", headers=token(world, "acme", Role.ADMIN)
    )

    assert answer.status_code == 403
    assert "connections authorize acme/books" in answer.json()["detail"]


def test_who_is_no_admin_cannot_begin(world, doors, connection):
    ben = Browser(doors, user(world, "ben@example.com", acme=Role.OPERATOR))

    assert ben.begin(connection).status_code == 403


def test_a_connection_that_no_person_lets_in_says_so(ana, world):
    with world.catalog.begin() as db:
        other = find_connection(db, world.catalog.secrets, "acme/any-source").id
        db.execute(
            text("UPDATE sync.connections SET secrets = :sealed WHERE id = :id"),
            {"sealed": world.catalog.secrets.seal({"url": "sqlite:////a"}), "id": other},
        )

    begun = ana.begin(other)
    told = ana.http.get(f"/api/v2/connections/{other}/authorize").json()

    assert (begun.status_code, told["by_person"]) == (422, False)


def test_where_one_comes_back_to_is_the_public_address_and_no_callers_word(
    ana, world, doors, connection
):
    """A forged Host leads nobody's code elsewhere."""
    headers = {"X-CSRF-Token": ana.csrf, "Host": "evil.example"}
    path = f"/api/v2/connections/{connection}/authorize"
    public = replace(doors, settings=Settings(public_url="http://127.0.0.1:8000/"))
    behind = Browser(public, "ana@example.com")

    forged = ana.http.post(path, json={}, headers=headers)
    named = behind.http.post(path, json={}, headers={**headers, "X-CSRF-Token": behind.csrf})

    assert forged.status_code == 409
    assert "SYNC_PUBLIC_URL" in forged.json()["detail"]
    assert named.json()["redirect_uri"] == f"{HERE}{CALLBACK}"


def test_a_tenants_token_endpoint_inside_is_not_asked(ana, world, company, connection):
    """SSRF: the code goes to no address inside, where the connection may not go there."""
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.connections SET reaches_private = false"))

    told = ana.come_back(**consented(ana.link(connection)))

    assert told.status_code == 422
    assert company.granted == 0
    assert kept(world) == (0, [])


def test_nothing_of_what_is_waited_for_can_be_read_in_the_catalog(ana, world, connection):
    link = ana.link(connection)

    with world.catalog.begin() as db:
        row = str(db.execute(text("SELECT * FROM sync.connection_authorizations")).all())

    assert state_in(link) not in row
    assert HERE not in row
